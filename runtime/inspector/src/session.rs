//! One debugger's WebSocket, joined to one target.
//!
//! Text messages go to the isolate nearly as they are (`view.rs`): V8 answers garbage with an error of the protocol. Binary
//! messages are no part of it and end the connection. When the target goes, the debugger is told so by the close frame.

use partyrun_engine::Session;
use partyrun_limits::Limits;
use partyrun_net::Upgrade;

use crate::Paused;
use crate::client::{self, Client};
use crate::view::{self, View};

/// A session as its debugger sees it.
pub(crate) struct Line {
    session: Session,
    view: View,
    paused: Paused,
}

impl Line {
    /// Of an isolate that pauses before its scripts if `pauses_before_scripts` says so.
    pub(crate) fn new(session: Session, paused: Paused, pauses_before_scripts: bool) -> Self {
        Self { session, view: View::new(pauses_before_scripts), paused }
    }

    /// Gives the isolate a debugger's message. False when it is gone.
    pub(crate) fn send(&mut self, message: String) -> bool {
        self.view.to_isolate(message).into_iter().all(|message| self.session.send(message))
    }

    /// The isolate's next message that its debugger shall see.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            let message = self.session.next().await?;
            if view::is_pause(&message) {
                (self.paused)(self.session.title());
            }
            if let Some(seen) = self.view.seen_of(message) {
                return Some(seen);
            }
        }
    }
}

/// Joins both ends; must be called on a front's thread. It goes on until one of them ends.
pub(crate) fn start(upgrade: Upgrade, session: Session, limits: &Limits, paused: Paused) {
    client::start(upgrade, limits, async move |client| {
        carry(client, Line::new(session, paused, false)).await
    });
}

async fn carry(mut client: Client, mut line: Line) {
    loop {
        tokio::select! {
            message = client.next() => match message {
                Some(message) => {
                    if !line.send(message) {
                        return client.close(1001, "The target is gone.");
                    }
                }
                None => return client.close(1000, ""),
            },
            answer = line.next() => match answer {
                Some(answer) => {
                    if !client.send(&answer) {
                        return;
                    }
                }
                None => return client.close(1001, "The target is gone."),
            },
        }
    }
}

//! One debugger's WebSocket, joined to one target.
//!
//! Text messages go to the isolate nearly as they are (`view.rs`): V8 answers garbage with an error of the protocol. Binary
//! messages are no part of it and end the connection. When the target goes, the debugger is told so by the close frame.

use partyrun_engine::Session;
use partyrun_limits::Limits;
use partyrun_net::Upgrade;

use crate::Paused;
use crate::client::{self, Client};
use crate::view;

/// Joins both ends; must be called on a front's thread. It goes on until one of them ends.
pub(crate) fn start(upgrade: Upgrade, session: Session, limits: &Limits, paused: Paused) {
    client::start(upgrade, limits, async move |client| carry(client, session, &paused).await);
}

async fn carry(mut client: Client, mut session: Session, paused: &Paused) {
    loop {
        tokio::select! {
            message = client.next() => match message {
                Some(message) => {
                    if !forward(&mut session, message) {
                        return client.close(1001, "The target is gone.");
                    }
                }
                None => return client.close(1000, ""),
            },
            answer = next(&mut session, paused) => match answer {
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

/// Gives an isolate a debugger's message. False when it is gone.
pub(crate) fn forward(session: &mut Session, message: String) -> bool {
    view::to_isolate(message).into_iter().all(|message| session.send(message))
}

/// The isolate's next message that a debugger shall see.
pub(crate) async fn next(session: &mut Session, paused: &Paused) -> Option<String> {
    loop {
        let message = session.next().await?;
        if view::is_pause(&message) {
            paused(session.title());
        }
        if let Some(seen) = view::from_isolate(message) {
            return Some(seen);
        }
    }
}

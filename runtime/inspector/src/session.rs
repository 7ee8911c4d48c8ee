//! One debugger's WebSocket, joined to its target.
//!
//! Text messages go to the isolate as they are: V8 answers garbage with an error of the protocol. Binary messages are no
//! part of it and end the connection. When the target goes, the debugger is told so by the close frame.

use std::cell::RefCell;
use std::rc::Rc;

use crate::Paused;
use partyrun_engine::Session;
use partyrun_limits::Limits;
use partyrun_net::{CloseFrame, Socket, SocketEvent, SocketSink, Upgrade};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// How V8 tells that code waits at a breakpoint.
const PAUSED: &str = r#"{"method":"Debugger.paused""#;

/// Joins both ends; must be called on a front's thread. It goes on until one of them ends.
pub(crate) fn start(upgrade: Upgrade, session: Session, limits: &Limits, paused: Paused) {
    let limits = Rc::new(limits.clone());
    tokio::task::spawn_local(async move {
        // A client that left during the handshake ends the session with it.
        let Ok(transport) = upgrade.transport().await else { return };
        let (sender, messages) = unbounded_channel();
        let socket = Socket::new(limits, Rc::new(Debugger { sender: RefCell::new(Some(sender)) }));
        if socket.attach(transport).is_ok() {
            carry(&socket, session, messages, &paused).await;
        }
    });
}

async fn carry(
    socket: &Socket,
    mut session: Session,
    mut messages: tokio::sync::mpsc::UnboundedReceiver<String>,
    paused: &Paused,
) {
    let close = |code, reason: &str| {
        socket.close(Some(CloseFrame { code, reason: reason.to_string() }));
        socket.flush();
    };
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Some(message) => {
                    if !session.send(message) {
                        return close(1001, "The target is gone.");
                    }
                }
                None => return close(1000, ""),
            },
            answer = session.next() => match answer {
                Some(answer) => {
                    if answer.starts_with(PAUSED) {
                        paused(session.title());
                    }
                    if socket.send_text(&answer).is_err() {
                        return;
                    }
                    socket.flush();
                }
                None => return close(1001, "The target is gone."),
            },
        }
    }
}

// Takes what the debugger says. Without its sender the session ends.
struct Debugger {
    sender: RefCell<Option<UnboundedSender<String>>>,
}

impl SocketSink for Debugger {
    fn event(&self, event: SocketEvent<'_>) {
        match event {
            SocketEvent::Text(text) => {
                if let Some(sender) = &*self.sender.borrow() {
                    // A session that has ended takes nothing more.
                    let _ended = sender.send(text.into_owned());
                }
            }
            SocketEvent::Binary(_) | SocketEvent::Close(_) | SocketEvent::Lost | SocketEvent::Failed(_) => {
                self.sender.borrow_mut().take();
            }
        }
    }
}

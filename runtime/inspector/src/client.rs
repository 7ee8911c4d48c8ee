//! A debugger's end of its WebSocket: what it says comes in order, and its going is heard when it is asked for more.

use std::cell::RefCell;
use std::rc::Rc;

use partyrun_limits::Limits;
use partyrun_net::{CloseFrame, Socket, SocketEvent, SocketSink, Upgrade};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What it says, and the way to it.
pub(crate) struct Client {
    socket: Rc<Socket>,
    messages: UnboundedReceiver<String>,
}

/// Accepts a debugger and lets `carry` serve it; must be called on a front's thread.
pub(crate) fn start(upgrade: Upgrade, limits: &Limits, carry: impl AsyncFnOnce(Client) + 'static) {
    let limits = Rc::new(limits.clone());
    tokio::task::spawn_local(async move {
        // A client that left during the handshake ends the session with it.
        let Ok(transport) = upgrade.transport().await else { return };
        let (sender, messages) = unbounded_channel();
        let socket = Rc::new(Socket::new(limits, Rc::new(Debugger { sender: RefCell::new(Some(sender)) })));
        if socket.attach(transport).is_ok() {
            carry(Client { socket, messages }).await;
        }
    });
}

impl Client {
    /// The debugger's next message; none when it has left.
    pub(crate) async fn next(&mut self) -> Option<String> {
        self.messages.recv().await
    }

    /// Sends it a message. False when it has left.
    pub(crate) fn send(&self, message: &str) -> bool {
        if self.socket.send_text(message).is_err() {
            return false;
        }
        self.socket.flush();
        true
    }

    /// Says goodbye.
    pub(crate) fn close(&self, code: u16, reason: &str) {
        self.socket.close(Some(CloseFrame { code, reason: reason.to_string() }));
        self.socket.flush();
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

//! Sockets by their index: what is sent leaves now, or waits behind the output gate.

use deno_error::JsErrorBox;
use partyrun_extensions as ext;
use partyrun_extensions::wire::{SENT, TOO_LONG, TOO_MUCH_HELD};
use partyrun_net::close::close_code_allowed;
use partyrun_net::{CloseFrame, SharedFrame};
use partyrun_telemetry::limit_hit;

use super::HostSlot;
use crate::room::actor::Actor;
use crate::room::outgoing;
use crate::room::output_gate::Output;

impl HostSlot {
    // Sends a frame now or when the gate opens.
    fn send(
        &self,
        room: u32,
        index: u32,
        bytes: usize,
        now: impl FnOnce(&Actor),
        later: impl FnOnce() -> SharedFrame,
    ) -> u32 {
        let Some(actor) = self.room(room) else { return SENT };
        if bytes > actor.shared.limits.message_out_bytes_max {
            limit_hit!(message_out_bytes_max);
            return TOO_LONG;
        }
        if actor.gate.is_open() {
            now(&actor);
        } else if actor.gate.is_full() {
            limit_hit!(held_bytes_max);
            return TOO_MUCH_HELD;
        } else if !overflows(&actor, index, bytes) {
            actor.gate.hold(Output::Frame(index, later()));
        }
        SENT
    }
}

impl ext::Sockets for HostSlot {
    fn socket_send_text(&self, room: u32, index: u32, text: &str) -> u32 {
        let now = |actor: &Actor| actor.sockets.borrow_mut().send_text(index, text);
        self.send(room, index, text.len(), now, || SharedFrame::text(text))
    }

    fn socket_send_binary(&self, room: u32, index: u32, bytes: &[u8]) -> u32 {
        let now = |actor: &Actor| actor.sockets.borrow_mut().send_binary(index, bytes);
        self.send(room, index, bytes.len(), now, || SharedFrame::binary(bytes))
    }

    fn socket_close(&self, room: u32, index: u32, code: i32, reason: &str) {
        let Some(actor) = self.room(room) else { return };
        let close = close_frame(code, reason);
        actor.sockets.borrow_mut().closing(index);
        if actor.gate.is_open() {
            actor.sockets.borrow_mut().close(index, close);
        } else {
            actor.gate.hold(Output::Close(index, close));
        }
    }

    fn socket_connect(
        &self,
        room: u32,
        url: String,
        protocols: String,
        headers: String,
    ) -> ext::LocalFuture<Result<ext::Reply, JsErrorBox>> {
        let actor = self.room(room);
        Box::pin(async move {
            let actor = actor.ok_or_else(|| {
                JsErrorBox::generic("A WebSocket cannot be opened while modules are loaded.")
            })?;
            outgoing::connect(actor, &url, &protocols, &headers).await
        })
    }

    fn socket_forget(&self, room: u32, index: u32) {
        if let Some(actor) = self.room(room) {
            actor.sockets.borrow_mut().remove(index);
        }
    }

    fn socket_buffered(&self, room: u32, index: u32) -> usize {
        let Some(actor) = self.room(room) else { return 0 };
        let queued = actor.sockets.borrow_mut().socket(index).map_or(0, |socket| socket.waiting_bytes());
        queued + actor.gate.held_bytes(index)
    }
}

// Whether `bytes` more behind the gate are more than a socket's queue may have; then it is closed, as without a gate.
pub(super) fn overflows(actor: &Actor, index: u32, bytes: usize) -> bool {
    let mut sockets = actor.sockets.borrow_mut();
    let waiting = actor.gate.held_bytes(index) + sockets.queued_bytes(index);
    let too_much = waiting > 0 && waiting.saturating_add(bytes) > actor.shared.limits.send_queue_bytes_max;
    if too_much {
        sockets.overflow(index, true);
    }
    too_much
}

// A code that no close frame may hold, as that of a broken one which is handed on, is left out.
fn close_frame(code: i32, reason: &str) -> Option<CloseFrame> {
    let code = u16::try_from(code).ok().filter(|code| close_code_allowed(*code))?;
    Some(CloseFrame { code, reason: reason.to_string() })
}

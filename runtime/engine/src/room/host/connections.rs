//! Connections of a room: what outlives hibernation, and broadcasts.

use partyrun_extensions as ext;
use partyrun_extensions::wire::{SENT, TOO_LONG, TOO_MUCH_HELD};
use partyrun_net::SharedFrame;
use partyrun_telemetry::limit_hit;

use super::HostSlot;
use super::sockets::overflows;
use crate::room::output_gate::Output;

impl HostSlot {
    fn broadcast(&self, room: u32, bytes: usize, frame: impl FnOnce() -> SharedFrame) -> u32 {
        let Some(actor) = self.room(room) else { return SENT };
        if bytes > actor.shared.limits.message_out_bytes_max {
            limit_hit!(message_out_bytes_max);
            return TOO_LONG;
        }
        if actor.gate.is_open() {
            let mut sockets = actor.sockets.borrow_mut();
            let frame = frame().counted(sockets.queued());
            sockets.broadcast(&frame);
        } else if actor.gate.is_full() {
            limit_hit!(held_bytes_max);
            return TOO_MUCH_HELD;
        } else {
            let mut targets = actor.sockets.borrow_mut().broadcast_targets();
            targets.retain(|index| !overflows(&actor, *index, bytes));
            let frame = frame().counted(actor.sockets.borrow().queued());
            actor.gate.hold(Output::Frames(targets, frame));
        }
        SENT
    }
}

impl ext::Connections for HostSlot {
    fn connection_accept(&self, room: u32, index: u32) {
        let Some(actor) = self.room(room) else { return };
        if actor.gate.is_open() {
            actor.sockets.borrow_mut().accept(index);
        } else {
            actor.gate.hold(Output::Accept(index));
        }
    }

    fn connection_list(&self, room: u32, index: u32, listed: bool) {
        if let Some(actor) = self.room(room) {
            actor.sockets.borrow_mut().list(index, listed);
        }
    }

    fn connection_attach(&self, room: u32, index: u32, bytes: &[u8]) {
        if let Some(actor) = self.room(room) {
            actor.sockets.borrow_mut().attach(index, bytes);
        }
    }

    fn connection_tags(&self, room: u32, index: u32, tags: Vec<String>) {
        if let Some(actor) = self.room(room) {
            actor.sockets.borrow_mut().tag(index, tags);
        }
    }

    fn broadcast_skip(&self, room: u32, index: u32) {
        if let Some(actor) = self.room(room) {
            actor.sockets.borrow_mut().skip(index);
        }
    }

    fn broadcast_text(&self, room: u32, text: &str) -> u32 {
        self.broadcast(room, text.len(), || SharedFrame::text(text))
    }

    fn broadcast_binary(&self, room: u32, bytes: &[u8]) -> u32 {
        self.broadcast(room, bytes.len(), || SharedFrame::binary(bytes))
    }
}

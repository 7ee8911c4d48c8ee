//! What a room's JavaScript tells the engine about itself: that it is held, has started, hibernates or must be reset, and how an
//! alarm ended.

use partyrun_extensions as ext;
use partyrun_telemetry::Reset;

use super::HostSlot;

impl ext::Room for HostSlot {
    fn room_hold(&self, room: u32, held: bool) {
        if let Some(actor) = self.room(room) {
            actor.startup.hold(held);
            actor.wake();
        }
    }

    fn room_reset(&self, room: u32, reason: &str) {
        if let Some(actor) = self.room(room) {
            actor.reset_soon(Reset::Failure, reason);
            actor.wake();
        }
    }

    fn room_hibernates(&self, room: u32, hibernates: bool) {
        if let Some(actor) = self.room(room) {
            actor.rest.set_hibernates(hibernates);
        }
    }

    fn room_started(&self, room: u32, failure: &str) {
        if let Some(actor) = self.room(room) {
            actor.started(failure);
        }
    }

    fn room_alarm_done(&self, room: u32, token: u32, succeeded: bool) {
        if let Some(actor) = self.room(room) {
            actor.alarm_done(token, succeeded);
            actor.wake();
        }
    }
}

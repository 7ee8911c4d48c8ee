//! What a room says of itself.

use partyrun_extensions as ext;

use super::HostSlot;

impl ext::Room for HostSlot {
    fn room_hold(&self, held: bool) {
        if let Some(actor) = self.actor() {
            actor.held.set(held);
            actor.wake();
        }
    }

    fn room_reset(&self, reason: &str) {
        if let Some(actor) = self.actor() {
            actor.reset_soon(reason);
            actor.wake();
        }
    }

    fn room_hibernates(&self, hibernates: bool) {
        if let Some(actor) = self.actor() {
            actor.hibernates.set(hibernates);
        }
    }

    fn room_started(&self, failure: &str) {
        if let Some(actor) = self.actor() {
            actor.started(failure);
        }
    }

    fn room_alarm_done(&self, token: u32, succeeded: bool) {
        if let Some(actor) = self.actor() {
            actor.alarm_done(token, succeeded);
            actor.wake();
        }
    }
}

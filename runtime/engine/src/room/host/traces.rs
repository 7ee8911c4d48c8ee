//! The traces of what user code asks of others, and of what it prints.

use partyrun_extensions as ext;
use partyrun_telemetry::{Place, within};

use super::HostSlot;

impl ext::Traces for HostSlot {
    fn trace_begin(&self, room: u32, place: &str, method: &str, url: &str) -> String {
        self.room(room).map(|actor| actor.traces.begin_call(place, method, url)).unwrap_or_default()
    }

    fn trace_end(&self, room: u32, place: &str, status: u32) {
        if let Some(actor) = self.room(room) {
            actor.traces.end_call(place, status);
        }
    }

    fn trace_console(&self, room: u32, place: &str, level: u32, text: &str) {
        within(Place::of_text(place), || ext::Console::console(self, room, level, text));
    }
}

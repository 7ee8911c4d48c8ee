//! What user code prints, told to whoever observes the server.

use partyrun_extensions as ext;
use partyrun_extensions::wire;
use partyrun_telemetry as telemetry;

use super::HostSlot;
use crate::api::{Level, Source};

impl ext::Console for HostSlot {
    fn console(&self, room: u32, level: u32, text: &str) {
        let level = match level {
            wire::LEVEL_DEBUG => Level::Debug,
            wire::LEVEL_LOG => Level::Log,
            wire::LEVEL_WARN => Level::Warn,
            _ => Level::Error,
        };
        match (self.room(room), &self.top_level) {
            (Some(actor), _) => {
                actor.meters.printed(counted_as(level));
                actor.shared.observer.console(&actor.source, level, text);
            }
            (None, Some(observer)) => observer.console(&Source::Edge, level, text),
            (None, None) => {}
        }
    }
}

fn counted_as(level: Level) -> telemetry::Console {
    match level {
        Level::Debug => telemetry::Console::Debug,
        Level::Log => telemetry::Console::Log,
        Level::Warn => telemetry::Console::Warn,
        Level::Error => telemetry::Console::Error,
    }
}

//! The tasks that watch the time limits of a thread's connections: one coarse tick for all, instead of a timer for each.

use std::rc::Rc;
use std::time::Duration;

use partyrun_limits::Limits;

use super::trunk::{Course, Shared};

/// Watches the time limits of a thread's connections.
pub(super) async fn sweep<H>(shared: Rc<Shared<H>>) {
    let mut ticks = ticks(&shared.trunk.limits);
    loop {
        ticks.tick().await;
        shared.roster.sweep(&shared.trunk.limits);
        if let Some(clients) = &shared.trunk.options.clients {
            clients.tick();
        }
    }
}

/// Watches the time limits of a thread's guests, and that they leave when the front stops, while there are any.
pub(super) async fn sweep_guests<H>(shared: Rc<Shared<H>>) {
    let mut ticks = ticks(&shared.trunk.limits);
    let mut course = shared.trunk.course.clone();
    let mut serving = true;
    while !shared.roster.is_empty() {
        tokio::select! {
            _ = ticks.tick() => shared.roster.sweep(&shared.trunk.limits),
            // An error means that the front is gone.
            _stopped = course.wait_for(|course| *course != Course::Serving), if serving => serving = false,
            () = shared.roster.empty() => {}
        }
        if !serving {
            shared.roster.drain();
        }
    }
    shared.swept.set(false);
}

fn ticks(limits: &Limits) -> tokio::time::Interval {
    let shortest =
        [limits.header_time_max, limits.body_idle_max, limits.keep_alive_idle_max, limits.request_time_max]
            .into_iter()
            .min()
            .unwrap_or_default();
    let period = (shortest / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

//! Tells what a room of the project takes: its isolate holds a copy of the program, so that a room costs what the program does.
//!
//! It is measured once, with a room that nobody asked for. Beyond `room_memory_warn` or `room_cpu_warn` the packages with the most
//! code are named, and that rooms can share an isolate.

use std::sync::Arc;
use std::time::Duration;

use partyrun_engine::{Engine, Program, RoomCost};
use partyrun_limits::Limits;
use partyrun_server::Reporter;

use crate::output::Output;

/// So many packages are named.
const NAMED_MAX: usize = 3;
/// A server that has just started has other things to do.
const AFTER: Duration = Duration::from_secs(1);

/// Tells of a server that runs, in a moment.
pub(crate) fn tell_later(
    engine: &Engine,
    program: &Arc<Program>,
    limits: &Limits,
    output: &Arc<Output>,
    wanted: bool,
) {
    let (engine, program, limits, output) = (engine.clone(), program.clone(), limits.clone(), output.clone());
    tokio::spawn(async move {
        tokio::time::sleep(AFTER).await;
        tell(&engine, &program, &limits, &output, wanted).await;
    });
}

/// Measures and tells; what is within the limits only where it is `wanted`.
pub(crate) async fn tell(engine: &Engine, program: &Program, limits: &Limits, output: &Output, wanted: bool) {
    let Some(cost) = engine.room_cost().await else { return };
    if cost.bytes > limits.room_memory_warn || cost.cpu > limits.room_cpu_warn {
        Reporter::warn(output, &warning(&cost, limits, &program.packages()));
    } else if wanted {
        output.note(&sentence(&cost));
    }
}

fn sentence(cost: &RoomCost) -> String {
    let (mib, ms) = (cost.bytes as f64 / f64::from(1 << 20), cost.cpu.as_secs_f64() * 1000.0);
    let of = if cost.party == "main" { String::new() } else { format!(" of party `{}`", cost.party) };
    format!("A room{of} takes {mib:.1} MiB of memory, and {ms:.0} ms of CPU time to start.")
}

// The packages are those of the whole bundle: V8 does not tell whose an object is.
fn warning(cost: &RoomCost, limits: &Limits, packages: &[(String, usize)]) -> String {
    let limit = if cost.bytes > limits.room_memory_warn {
        format!("`room_memory_warn`: {} MiB", limits.room_memory_warn >> 20)
    } else {
        format!("`room_cpu_warn`: {:?}", limits.room_cpu_warn)
    };
    let named: Vec<String> = packages
        .iter()
        .take(NAMED_MAX)
        .map(|(name, bytes)| format!("{name} ({} KiB)", bytes.div_ceil(1024)))
        .collect();
    let largest =
        if named.is_empty() { String::new() } else { format!(" The largest imports: {}.", named.join(", ")) };
    format!(
        "{} That is more than usual (limit {limit}), because each room has a copy of the program.{largest} With \
         `--isolation worker` rooms share one copy for each thread (see docs/isolation.md).",
        sentence(cost)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warning_names_what_is_too_much_and_what_it_comes_from() {
        let limits = Limits::default();
        let packages = [("openai".to_string(), 700 << 10), ("zod".to_string(), 1)];
        let mut cost =
            RoomCost { party: "main".to_string(), cpu: Duration::from_millis(61), bytes: 17 << 19 };
        assert_eq!(
            warning(&cost, &limits, &packages),
            "A room takes 8.5 MiB of memory, and 61 ms of CPU time to start. That is more than usual (limit \
             `room_memory_warn`: 6 MiB), because each room has a copy of the program. The largest imports: openai (700 KiB), \
             zod (1 KiB). With `--isolation worker` rooms share one copy for each thread (see docs/isolation.md)."
        );
        cost = RoomCost { party: "game".to_string(), cpu: Duration::from_secs(1), bytes: 3 << 20 };
        assert_eq!(
            warning(&cost, &limits, &[]),
            "A room of party `game` takes 3.0 MiB of memory, and 1000 ms of CPU time to start. That is more than usual \
             (limit `room_cpu_warn`: 100ms), because each room has a copy of the program. With `--isolation worker` rooms share \
             one copy for each thread (see docs/isolation.md)."
        );
    }
}

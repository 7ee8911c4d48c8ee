//! The clock of the configured crons (spec 2.12): calls the main party's `onCron` when an expression says so, in UTC.
//!
//! One task for all crons. It looks at the wall clock at least twice a minute, because that clock may jump; a time
//! that was missed while the process slept is not made up for.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use partyrun_engine::Engine;

use crate::Reporter;

const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Runs the crons until the future is dropped. Expressions were checked when the configuration was read.
pub async fn run_crons(engine: Engine, crons: Vec<(String, String)>, reporter: Arc<dyn Reporter>) {
    let mut last = Utc::now();
    loop {
        let now = Utc::now();
        let next = crons.iter().filter_map(|(_, expression)| next_after(expression, now)).min();
        let until = next.and_then(|next| (next - now).to_std().ok()).unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
        tokio::time::sleep(until.max(Duration::from_millis(10))).await;
        let now = Utc::now();
        for (name, expression) in &crons {
            let due = next_after(expression, last)
                .filter(|due| *due <= now && now - *due < chrono::Duration::minutes(1));
            if let Some(due) = due {
                tokio::spawn(fire(engine.clone(), name.clone(), expression.clone(), due, reporter.clone()));
            }
        }
        last = now;
    }
}

async fn fire(
    engine: Engine,
    name: String,
    expression: String,
    due: DateTime<Utc>,
    reporter: Arc<dyn Reporter>,
) {
    if !engine.parties().iter().any(|party| party.name == "main" && party.cron) {
        reporter.warn(&format!("The cron `{name}` is due, but the main party has no static `onCron`."));
        return;
    }
    let response = engine.cron(name.clone(), expression, due.timestamp_millis()).await;
    if response.status >= 400 {
        reporter.warn(&format!("The cron `{name}` failed; the lines above say why."));
    }
}

fn next_after(expression: &str, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
    Cron::from_str(expression).ok()?.find_next_occurrence(&time, false).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        let time: DateTime<Utc> = "2024-01-31T23:59:30Z".parse().unwrap();
        assert_eq!(next_after("0 0 * * *", time), "2024-02-01T00:00:00Z".parse().ok());
        assert_eq!(next_after("nonsense", time), None);
    }
}

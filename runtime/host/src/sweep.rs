//! What the host does by the clock: it wakes projects whose alarms and crons are due, stops those that nobody needs, holds
//! them to their quotas, writes down what they used, and removes what was deleted long ago.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::Common;
use crate::quota;
use crate::registry::now_ms;
use crate::site::Site;
use crate::sites::Sites;

/// How often alarms and idle projects are looked for.
const EVERY: Duration = Duration::from_millis(250);
/// Looks between two at the quotas, and between two that write the usage down.
const QUOTAS_EVERY: u32 = 8;
const STORAGE_EVERY: u32 = 120;
const USAGE_EVERY: u32 = 40;
const DELETED_EVERY: u32 = 4 * 3600;

/// What a process had used at the last look.
#[derive(Clone, Copy)]
struct Seen {
    pid: u32,
    cpu: Duration,
    at: std::time::Instant,
    is_low: bool,
}

/// Looks until the host ends.
pub(crate) async fn run(sites: Arc<Sites>, common: Arc<Common>) {
    let mut seen = HashMap::new();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for number in 0u32.. {
        ticks.tick().await;
        let all = sites.all();
        for site in &all {
            if site.is_due() {
                tokio::spawn(wake(site.clone()));
            } else if site.running().is_some() {
                let site = site.clone();
                tokio::spawn(async move { site.stop_if_idle().await });
            }
        }
        if number.is_multiple_of(QUOTAS_EVERY) {
            hold(&all, &common, &mut seen);
        }
        if number.is_multiple_of(STORAGE_EVERY) {
            tokio::spawn(measure(all.clone(), common.clone()));
        }
        if number.is_multiple_of(USAGE_EVERY) {
            write_down(&all, &common).await;
        }
        if number.is_multiple_of(DELETED_EVERY) {
            remove_deleted(&common).await;
        }
    }
}

async fn wake(site: Arc<Site>) {
    let _used = site.enter();
    if site.ensure().await.is_err() {
        site.put_off();
    }
}

fn hold(all: &[Arc<Site>], common: &Common, seen: &mut HashMap<i64, Seen>) {
    for site in all {
        let running = site.running();
        let Some(used) = running.as_ref().and_then(|running| quota::used(running.child.pid)) else {
            seen.remove(&site.id);
            continue;
        };
        let Some(running) = running else { continue };
        let pid = running.child.pid;
        let now = std::time::Instant::now();
        let before = seen.get(&site.id).copied().filter(|seen| seen.pid == pid);
        let gained = used.cpu.saturating_sub(before.map_or(Duration::ZERO, |seen| seen.cpu));
        site.meter.cpu_ms.fetch_add(i64::try_from(gained.as_millis()).unwrap_or(0), Ordering::Relaxed);
        let mut is_low = before.is_some_and(|seen| seen.is_low);
        // A control group has done all of this already.
        if common.groups.is_none() {
            if used.memory > common.quota.memory {
                let limit = common.limits.cite("host_memory_bytes_max");
                let text =
                    format!("The project's process was ended: it used more memory than it may ({limit}).");
                site.live.say("error", &text);
                common.output.problem(&format!("{}: {text}", site.address));
                running.child.kill();
            }
            if let Some(before) = before {
                let share = gained.as_secs_f64() / now.duration_since(before.at).as_secs_f64().max(0.001);
                let is_over = share > common.quota.cores;
                if is_over != is_low {
                    quota::set_priority(pid, is_over);
                    is_low = is_over;
                }
            }
        }
        seen.insert(site.id, Seen { pid, cpu: used.cpu, at: now, is_low });
    }
}

// How much each has stored. Walking folders takes its time and is nobody's hurry.
async fn measure(all: Vec<Arc<Site>>, common: Arc<Common>) {
    let measuring = tokio::task::spawn_blocking(move || {
        for site in all {
            let bytes = quota::stored(&site.folder.join("data"));
            site.meter.keep_storage(bytes);
            let is_full = bytes > common.quota.storage;
            if is_full && !site.is_full.swap(is_full, Ordering::Relaxed) {
                let limit = common.limits.cite("host_storage_bytes_max");
                let text = format!(
                    "The project has stored more than it may ({limit}): it cannot be deployed until it has less."
                );
                site.live.say("error", &text);
                common.output.problem(&format!("{}: {text}", site.address));
            }
            site.is_full.store(is_full, Ordering::Relaxed);
        }
    });
    let _done = measuring.await;
}

/// Writes down what was used since the last time.
pub(crate) async fn write_down(all: &[Arc<Site>], common: &Common) {
    let used: Vec<_> = all.iter().filter_map(|site| Some((site.id, site.meter.take()?))).collect();
    if used.is_empty() {
        return;
    }
    let day = chrono::Utc::now().format("%Y-%m-%d").to_string();
    let written = common.registry(move |registry| {
        used.iter().try_for_each(|(site, usage)| registry.add_usage(*site, &day, usage))
    });
    if let Err(error) = written.await {
        common.output.problem(&format!("What projects used is not written down: {error}"));
    }
}

async fn remove_deleted(common: &Common) {
    let Ok(gone) = common.registry(|registry| registry.deleted_until(now_ms())).await else { return };
    for (folder, name) in gone {
        let path = common.data.join("deleted").join(&folder);
        let removing = tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        });
        if let Ok(Ok(())) = removing.await {
            let _kept = common.registry(move |registry| registry.forget_deleted(&folder)).await;
            common.output.note(&format!("The data of the deleted project {name} is removed."));
        }
    }
}

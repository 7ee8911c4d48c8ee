//! What a process is told that `partyrun host` started: the project's variables, and whether it only shows that a release
//! starts. It stands in a file in memory that the process inherits, so that no variable is in the environment or on the
//! command line. In turn the process tells the host, its supervisor, when its next alarm or cron is due.

use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use partyrun_config::Config;
use partyrun_server::Crons;
use partyrun_store::{Look, Store, StoreError};
use serde::Deserialize;

use crate::stop::{Link, Voice};

/// Names the descriptor of the file.
const HOSTED: &str = "PARTYRUN_HOSTED";
/// How often the host is told of what is due, where that has changed.
const DUE_EVERY: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Told {
    probe: bool,
    environment: serde_json::Map<String, serde_json::Value>,
}

/// What the host has told.
pub(crate) struct Hosted {
    /// The release only shows that it starts: no cron runs.
    pub(crate) probe: bool,
    pub(crate) environment: Vec<(String, String)>,
}

/// What the host has told this process, if a host started it. To be asked before there is a second thread.
pub(crate) fn take() -> Option<Hosted> {
    let descriptor = std::env::var(HOSTED).ok()?.parse().ok()?;
    // SAFETY: no other thread exists yet.
    unsafe { std::env::remove_var(HOSTED) };
    let mut text = String::new();
    std::fs::File::from(inherited(descriptor)?).read_to_string(&mut text).ok()?;
    let told: Told = serde_json::from_str(&text).ok()?;
    let environment = told.environment.into_iter().filter_map(|(name, value)| match value {
        serde_json::Value::String(value) => Some((name, value)),
        _ => None,
    });
    Some(Hosted { probe: told.probe, environment: environment.collect() })
}

// A descriptor that the host left open, closed for programs that this process starts.
fn inherited(descriptor: RawFd) -> Option<OwnedFd> {
    if descriptor <= 2 {
        return None;
    }
    // SAFETY: fcntl takes integers; a descriptor that is not open makes it fail.
    if unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return None;
    }
    // SAFETY: it is open, and the host gave it to this process alone.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Tells the host what is due next.
pub(crate) struct Due {
    voice: Voice,
    store: Arc<dyn Store>,
    /// The data folder, if there is one.
    data: Option<PathBuf>,
    crons: Arc<Crons>,
    told: Option<i64>,
}

impl Due {
    /// Over this line, of this store and the crons of this configuration.
    pub(crate) fn new(link: &Link, store: Arc<dyn Store>, config: &Config) -> Self {
        let data = config.persist.path().map(Path::to_path_buf);
        Self { voice: link.voice(), store, data, crons: Crons::new(config.crons.clone()), told: None }
    }

    /// Tells it whenever it changes.
    pub(crate) async fn follow(mut self) {
        loop {
            let telling = tokio::task::spawn_blocking(move || {
                self.tell();
                self
            });
            match telling.await {
                Ok(same) => self = same,
                Err(_) => return,
            }
            tokio::time::sleep(DUE_EVERY).await;
        }
    }

    /// Tells it once more when the store is closed: what is on disk then is all that there is.
    pub(crate) fn tell_last(&mut self) {
        let alarm = match &self.data {
            None => Ok(None),
            Some(data) => {
                Look::open(data).and_then(|look| look.map_or(Ok(None), |look| look.next_alarm_ms()))
            }
        };
        self.tell_of(alarm);
    }

    fn tell(&mut self) {
        self.tell_of(self.store.next_alarm());
    }

    fn tell_of(&mut self, alarm: Result<Option<i64>, StoreError>) {
        // A store that cannot be read now keeps what was told.
        let Ok(alarm) = alarm else { return };
        let now = chrono::Utc::now() + chrono::TimeDelta::milliseconds(partyrun_clock::offset_ms());
        let cron = self.crons.states(now).into_iter().filter_map(|cron| cron.next_ms).min();
        let due = [alarm, cron].into_iter().flatten().min().unwrap_or(i64::MAX);
        if self.told.replace(due) != Some(due) {
            self.voice.say(&format!("due {due}"));
        }
    }
}

//! A project or preview: whether its process runs, who uses it, and how its releases follow one another.
//!
//! Requests take a running process from a slot without waiting. Whoever finds the slot empty passes the gate, behind which one
//! at a time starts, stops or replaces the process. So a project is started once for a thousand requests that come together,
//! and two deployments come one after the other.

use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::child::{Child, NEVER, Phase, Plan};
use crate::common::{Common, FOREIGN};
use crate::live::Live;
use crate::meter::Meter;
use crate::names::Address;
use crate::pool::Pool;
use crate::quota::{self, Bounds, UID_BASE};
use crate::registry::{Release, SiteRow, now_ms};

/// A process that lived so long has not crashed at its start.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
const PAUSE_FIRST: Duration = Duration::from_millis(250);

/// Why a project does not serve.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Down {
    #[error("Nothing is deployed here yet")]
    Empty,
    #[error("The project crashed {failures} times in a row and rests for {} s", .wait.as_secs().max(1))]
    Resting { failures: u32, wait: Duration },
    #[error("The project does not start")]
    Failed(String),
}

/// What stands behind the gate.
#[derive(Default)]
pub(crate) struct Gate {
    failures: u32,
    not_before: Option<Instant>,
}

/// A running process.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) pool: Pool,
    begun: Instant,
}

/// A project or preview.
pub(crate) struct Site {
    pub(crate) id: i64,
    pub(crate) address: Address,
    pub(crate) created_ms: i64,
    pub(crate) folder: PathBuf,
    pub(crate) live: Arc<Live>,
    pub(crate) meter: Meter,
    pub(crate) common: Arc<Common>,
    slot: RwLock<Option<Arc<Running>>>,
    gate: tokio::sync::Mutex<Gate>,
    /// Held while a release is sent and tried.
    pub(crate) deploying: tokio::sync::Mutex<()>,
    release: Mutex<Option<Release>>,
    due: AtomicI64,
    open: AtomicUsize,
    used: Mutex<Instant>,
    pub(crate) is_full: std::sync::atomic::AtomicBool,
}

/// Counts as use of a project as long as it is kept.
pub(crate) struct Use(Arc<Site>);

impl Drop for Use {
    fn drop(&mut self) {
        *self.0.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Use {
    /// What is used.
    pub(crate) fn site(&self) -> Arc<Site> {
        self.0.clone()
    }
}

impl Site {
    /// The project of a row. It is not running.
    pub(crate) fn new(row: SiteRow, common: Arc<Common>) -> Self {
        let folder = common.data.join("sites").join(row.address.folder());
        let live = Arc::new(Live::new(&folder.join("log"), common.limits.host_log_bytes_max));
        Self {
            id: row.id,
            address: row.address,
            created_ms: row.created_ms,
            folder,
            live,
            meter: Meter::default(),
            common,
            slot: RwLock::default(),
            gate: tokio::sync::Mutex::default(),
            deploying: tokio::sync::Mutex::default(),
            release: Mutex::new(row.release),
            due: AtomicI64::new(row.due_ms.unwrap_or(NEVER)),
            open: AtomicUsize::new(0),
            used: Mutex::new(Instant::now()),
            is_full: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// The process, if it runs.
    pub(crate) fn running(&self) -> Option<Arc<Running>> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_running(&self, running: Option<Arc<Running>>) -> Option<Arc<Running>> {
        std::mem::replace(&mut *self.slot.write().unwrap_or_else(PoisonError::into_inner), running)
    }

    /// The release that runs.
    pub(crate) fn release(&self) -> Option<Release> {
        self.release.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests and sockets are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// When the next alarm or cron is due, in milliseconds since 1970.
    pub(crate) fn due_ms(&self) -> i64 {
        self.running()
            .map_or(self.due.load(Ordering::Relaxed), |running| running.child.due.load(Ordering::Relaxed))
    }

    /// Says that somebody uses it. Before the slot is looked at, so that nobody stops what is about to be used.
    pub(crate) fn enter(self: &Arc<Self>) -> Use {
        self.open.fetch_add(1, Ordering::SeqCst);
        Use(self.clone())
    }

    /// The process, which is started if it does not run.
    pub(crate) async fn ensure(self: &Arc<Self>) -> Result<Arc<Running>, Down> {
        if let Some(running) = self.running() {
            return Ok(running);
        }
        // In a task of its own: a client that goes away meanwhile takes nothing with it that is half done.
        let site = self.clone();
        let starting = tokio::spawn(async move { site.start_once().await });
        starting.await.unwrap_or_else(|_| Err(Down::Failed("this is a bug in partyrun".to_string())))
    }

    // Starts the process, unless somebody else has meanwhile.
    async fn start_once(self: &Arc<Self>) -> Result<Arc<Running>, Down> {
        let mut gate = self.gate.lock().await;
        if let Some(running) = self.running() {
            return Ok(running);
        }
        let release = self.release().ok_or(Down::Empty)?;
        if let Some(wait) = gate.not_before.and_then(|until| until.checked_duration_since(Instant::now())) {
            return Err(Down::Resting { failures: gate.failures, wait });
        }
        match self.start(&release).await {
            Ok(running) => Ok(running),
            Err(text) => {
                self.failed(&mut gate, &format!("Release {} does not start: {text}", release.number));
                Err(Down::Failed(text))
            }
        }
    }

    // One more failure: the pause doubles.
    fn failed(&self, gate: &mut Gate, text: &str) {
        gate.failures += 1;
        let pause = PAUSE_FIRST.saturating_mul(1 << gate.failures.min(16).saturating_sub(1));
        let pause = pause.min(self.common.limits.host_crash_pause_max);
        gate.not_before = Some(Instant::now() + pause);
        let text = format!(
            "{text} (failure {}; the next start is in {:.1} s at the earliest)",
            gate.failures,
            pause.as_secs_f64()
        );
        self.live.say("error", &text);
        self.common.output.problem(&format!("{}: {text}", self.address));
    }

    // Starts the process of a release and puts it into the slot. The gate is held.
    async fn start(self: &Arc<Self>, release: &Release) -> Result<Arc<Running>, String> {
        let path = self.place(release).map_err(|error| error.to_string())?;
        let data = self.folder.join("data");
        let running = Arc::new(self.spawn(&path, Some(&data)).await?);
        self.set_running(Some(running.clone()));
        tokio::spawn(watching(self.clone(), running.clone()));
        Ok(running)
    }

    // Puts a release where the process looks for what it serves.
    fn place(&self, release: &Release) -> std::io::Result<PathBuf> {
        let file = self.folder.join(&release.file);
        if let Some(uid) = self.uid() {
            quota::give(&file, uid)?;
        }
        let (path, draft) = (self.folder.join("current.partyrun"), self.folder.join("next.partyrun"));
        let _none = std::fs::remove_file(&draft);
        std::fs::hard_link(file, &draft)?;
        // Of a link to the same file nothing would be renamed.
        let _none = std::fs::remove_file(&path);
        std::fs::rename(&draft, &path)?;
        Ok(path)
    }

    // A lock that the process holds as long as it lives, whatever becomes of its host. One whose host was killed still stops.
    async fn alone(&self) -> std::io::Result<std::fs::File> {
        const LOOK_AGAIN: Duration = Duration::from_millis(20);
        let mut options = std::fs::OpenOptions::new();
        options.create(true).truncate(false).write(true).custom_flags(FOREIGN);
        let file = options.open(self.folder.join("running"))?;
        let until = Instant::now() + self.common.limits.stop_time_max;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(std::fs::TryLockError::WouldBlock) if Instant::now() < until => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn uid(&self) -> Option<u32> {
        self.common.own_users.then(|| UID_BASE + u32::try_from(self.id).unwrap_or(0))
    }

    /// Starts a process and waits until it is ready.
    async fn spawn(&self, release: &Path, data: Option<&Path>) -> Result<Running, String> {
        let common = &self.common;
        let environment = common.environment(self.id).await.map_err(|error| error.to_string())?;
        let failed = |error: std::io::Error| error.to_string();
        let path = common.sockets.path();
        let listener = UnixListener::bind(&path).map_err(failed)?;
        let pool = Pool::new(path);
        let uid = self.uid();
        prepare(&self.folder, data, uid).map_err(failed)?;
        let lock = match data {
            Some(_) => Some(self.alone().await.map_err(failed)?),
            None => None,
        };
        let group = match &common.groups {
            Some(groups) => groups.group(&self.address.folder(), &common.quota).ok(),
            None => None,
        };
        let bounds =
            Bounds { quota: common.quota, uid, group: group.as_ref().map(std::os::fd::AsRawFd::as_raw_fd) };
        let plan = Plan {
            program: &common.program,
            release,
            folder: &self.folder,
            data,
            environment: &environment,
            listener,
            lock,
            bounds,
            limits: &common.limits,
            settings: &common.settings,
        };
        let child = Child::start(plan, data.map(|_| self.live.clone())).map_err(failed)?;
        if let Err(text) = child.ready(common.limits.host_start_time_max).await {
            child.stop(Duration::ZERO).await;
            return Err(text);
        }
        Ok(Running { child, pool, begun: Instant::now() })
    }

    // What a process has told of its next alarm or cron outlives it.
    fn learn_due(&self, running: &Running) {
        self.due.store(running.child.due.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    // Stops what runs. The gate is held.
    async fn halt(&self) {
        if let Some(running) = self.running() {
            // What was due before it ran is not due again.
            self.learn_due(&running);
            self.set_running(None);
            running.child.stop(self.common.limits.stop_time_max).await;
            self.learn_due(&running);
        }
        self.live.rest();
    }

    /// Stops the process.
    pub(crate) async fn stop(&self) {
        let _gate = self.gate.lock().await;
        self.halt().await;
        self.keep_due().await;
    }

    /// Stops the process for good: without a release nothing starts it. Answers the release.
    pub(crate) async fn retire(&self) -> Option<Release> {
        let _gate = self.gate.lock().await;
        self.halt().await;
        self.release.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes that back.
    pub(crate) fn revive(&self, release: Option<Release>) {
        *self.release.lock().unwrap_or_else(PoisonError::into_inner) = release;
    }

    async fn keep_due(&self) {
        let (id, due) = (self.id, self.due.load(Ordering::Relaxed));
        let due = (due != NEVER).then_some(due);
        if let Err(error) = self.common.registry(move |registry| registry.set_due(id, due)).await {
            self.common.output.problem(&format!("{}: {error}", self.address));
        }
    }

    /// Stops the process if nobody has needed it for a while, and nothing is due soon.
    pub(crate) async fn stop_if_idle(&self) {
        let idle = self.common.limits.host_idle_max;
        let since = || self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        let is_idle = || self.open() == 0 && since() >= idle;
        let Some(running) = self.running() else { return };
        let soon = now_ms().saturating_add(i64::try_from(idle.as_millis()).unwrap_or(i64::MAX));
        if !is_idle() || running.begun.elapsed() < idle || running.child.due.load(Ordering::Relaxed) <= soon {
            return;
        }
        let Ok(_gate) = self.gate.try_lock() else { return };
        self.learn_due(&running);
        let Some(taken) = self.set_running(None) else { return };
        // Whoever came after the look has found the process in the slot, and uses it.
        if !is_idle() {
            self.set_running(Some(taken));
            return;
        }
        taken.child.stop(self.common.limits.stop_time_max).await;
        self.learn_due(&taken);
        self.live.rest();
        self.keep_due().await;
    }

    /// Whether an alarm or cron is due, and nothing runs that would see to it.
    pub(crate) fn is_due(&self) -> bool {
        self.running().is_none() && self.due.load(Ordering::Relaxed) <= now_ms()
    }

    /// Puts off what is due, where the project cannot be started.
    pub(crate) fn put_off(&self) {
        let pause = i64::try_from(self.common.limits.host_crash_pause_max.as_millis()).unwrap_or(NEVER);
        self.due.store(now_ms().saturating_add(pause), Ordering::Relaxed);
    }

    /// Shows that a release starts, beside the one that runs and without its data.
    pub(crate) async fn probe(&self, release: &Path) -> Result<(), String> {
        let running = self.spawn(release, None).await?;
        running.child.stop(self.common.limits.stop_time_max).await;
        Ok(())
    }

    /// Replaces what runs by a release. If that does not start, what ran before runs again, and the error says why.
    pub(crate) async fn swap(self: &Arc<Self>, release: Release) -> Result<(), String> {
        let mut gate = self.gate.lock().await;
        let before = self.release();
        self.settle(&release).await?;
        if self.reload(&release).await {
            return Ok(());
        }
        self.halt().await;
        *gate = Gate::default();
        let Err(text) = self.start(&release).await else { return Ok(()) };
        match before {
            Some(before) => {
                self.settle(&before).await?;
                let again = self.start(&before).await;
                let but =
                    again.err().map(|error| format!("\nThe release before does not start either: {error}"));
                Err(format!("{text}{}", but.unwrap_or_default()))
            }
            None => {
                let id = self.id;
                let cleared = self.common.registry(move |registry| registry.set_release(id, 0)).await;
                *self.release.lock().unwrap_or_else(PoisonError::into_inner) = None;
                cleared.map_err(|error| error.to_string())?;
                Err(text)
            }
        }
    }

    // Has a process that runs load the release, with rooms and sockets that can stay. What a process cannot change while it runs,
    // another one does.
    async fn reload(&self, release: &Release) -> bool {
        let Some(running) = self.running() else { return false };
        self.place(release).is_ok() && running.child.reload(self.common.limits.host_start_time_max).await
    }

    // Makes a release the one that runs, on disk: the one moment at which the new one is there.
    async fn settle(&self, release: &Release) -> Result<(), String> {
        let (site, id) = (self.id, release.id);
        let settled = self.common.registry(move |registry| registry.set_release(site, id)).await;
        settled.map_err(|error| error.to_string())?;
        *self.release.lock().unwrap_or_else(PoisonError::into_inner) = Some(release.clone());
        Ok(())
    }

    /// Starts the process anew, with the variables as they are now; one that does not run is left so.
    pub(crate) async fn restart(self: &Arc<Self>) {
        let mut gate = self.gate.lock().await;
        let Some(release) = self.release() else { return };
        *gate = Gate::default();
        if self.running().is_none() {
            return;
        }
        self.halt().await;
        if let Err(text) = self.start(&release).await {
            self.failed(&mut gate, &format!("Release {} does not start: {text}", release.number));
        }
    }
}

// Its folders, which belong to its user.
fn prepare(folder: &Path, data: Option<&Path>, uid: Option<u32>) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(folder.join("releases"))?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    if let Some(data) = data {
        std::fs::create_dir_all(data)?;
    }
    if let Some(uid) = uid {
        use std::os::unix::fs::MetadataExt;
        if folder.metadata()?.uid() != uid {
            quota::give(folder, uid)?;
        }
        // Releases come in as the host's.
        quota::give(&folder.join("releases"), uid)?;
        if let Some(data) = data.filter(|data| data.metadata().is_ok_and(|data| data.uid() != uid)) {
            quota::give(data, uid)?;
        }
    }
    Ok(())
}

// A type of its own, because what watches starts what is watched.
fn watching(site: Arc<Site>, running: Arc<Running>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(watch(site, running))
}

// Waits for the end of a process that nobody asked for.
async fn watch(site: Arc<Site>, running: Arc<Running>) {
    let mut phase = running.child.phase.clone();
    let text = match phase.wait_for(|phase| matches!(phase, Phase::Ended(_))).await {
        Ok(phase) => match &*phase {
            Phase::Ended(text) => text.clone(),
            Phase::Starting | Phase::Ready => return,
        },
        Err(_) => return,
    };
    let mut gate = site.gate.lock().await;
    let is_current = site.running().is_some_and(|current| Arc::ptr_eq(&current, &running));
    if !is_current {
        return;
    }
    site.learn_due(&running);
    site.set_running(None);
    if running.begun.elapsed() >= HEALTHY_AFTER {
        *gate = Gate::default();
    }
    let first = gate.failures == 0;
    site.failed(&mut gate, &format!("The project's process crashed: {text}"));
    // A project that ran well is back at once: its clients are about to come again.
    if first {
        gate.not_before = None;
        if let Some(release) = site.release()
            && let Err(text) = site.start(&release).await
        {
            site.failed(&mut gate, &format!("Release {} does not start: {text}", release.number));
        }
    }
}

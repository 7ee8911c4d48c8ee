//! The server that the API is about: what of it is asked, and how long an answer is waited for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use partyrun_engine::{Engine, RoomReport};
use partyrun_limits::Limits;
use partyrun_server::{Crons, Probe};
use partyrun_store::{RoomKey, Store, Survey};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::answer::Problem;

/// How the listener behaves.
#[derive(Clone)]
pub struct Options {
    /// What a request must bear.
    pub token: String,
    /// Names that the listener is reached by, beside addresses and `localhost`.
    pub names: Vec<String>,
    /// The limits in force.
    pub limits: Limits,
    /// Pages that others serve on this listener.
    pub extras: Vec<Arc<dyn Extra>>,
}

/// Serves pages of its own on the administrative listener, behind its checks of `Host` and `Origin`.
pub trait Extra: Send + Sync {
    /// The page of a path; `None` if it has none. It is asked again with `authorized` once the request has shown its token, if
    /// it answered `None` without.
    fn page(&self, path: &str, authorized: bool) -> Option<Page>;
}

/// A page of an [`Extra`].
#[derive(Clone, Debug)]
pub struct Page {
    /// Its status.
    pub status: u16,
    /// Its type.
    pub content_type: &'static str,
    /// Header fields beside those of every answer.
    pub headers: Vec<(&'static str, &'static str)>,
    /// Its body.
    pub body: Bytes,
}

/// What is served.
#[derive(Clone, Debug, Default)]
pub struct Release {
    /// The version of partyrun.
    pub version: String,
    /// `dev` or `start`.
    pub command: &'static str,
    /// The project's name.
    pub project: String,
    /// The file that `partyrun build` wrote, if one is served.
    pub file: Option<String>,
    /// Where it listens for the public.
    pub url: String,
    /// Where storage is kept; none if it is kept in memory.
    pub storage: Option<PathBuf>,
    /// The configuration in force, without values that could be secret.
    pub configuration: Value,
}

/// What may be done to the process that serves.
pub trait Control: Send + Sync {
    /// Loads anew what is served: whether anything changed. An error says why it could not be, and nothing has changed.
    fn reload(&self) -> BoxFuture<'static, Result<bool, String>>;

    /// Begins to let another process take over. False where nobody is there who could start one.
    fn upgrade(&self) -> bool;
}

/// A server that runs.
pub struct Target {
    /// Its rooms.
    pub engine: Engine,
    /// Its store.
    pub store: Arc<dyn Store>,
    /// Its limits.
    pub limits: Limits,
    /// Its crons.
    pub crons: Arc<Crons>,
    /// What it serves.
    pub release: Release,
    /// The hash of the bundle, which changes when the code is replaced.
    pub bundle_hash: Mutex<Option<String>>,
    /// When it started.
    pub started: Instant,
    /// The number of connections of its front.
    pub connections: Box<dyn Fn() -> usize + Send + Sync>,
    /// Whether it can serve.
    pub health: Arc<Health>,
    /// What may be done to it; none in development.
    pub control: Option<Arc<dyn Control>>,
}

impl Target {
    /// How long the thread of a room is waited for.
    pub(crate) fn patience(&self) -> Duration {
        self.limits.admin_answer_time_max
    }

    /// Looks into the store on a thread that may wait for the disk.
    pub(crate) async fn survey<T: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn Survey) -> Result<T, partyrun_store::StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let store = self.store.clone();
        self.blocking(move || Ok(look(&*store.survey()?)?)).await
    }

    /// Does what waits for the disk elsewhere.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let ended = tokio::task::spawn_blocking(work).await;
        ended.unwrap_or_else(|_| Err(Problem::busy("The store could not be asked.")))
    }

    /// Those of `keys` that are in memory, by their names.
    pub(crate) async fn in_memory(&self, keys: &[RoomKey]) -> BTreeMap<RoomKey, RoomReport> {
        let reports = self.engine.which_rooms(keys, self.patience()).await;
        reports.into_iter().map(|report| (report.key.clone(), report)).collect()
    }
}

/// Whether a server can do its work; asked by whoever balances load over several.
pub struct Health {
    engine: Engine,
    store: Arc<dyn Store>,
    patience: Duration,
    last: tokio::sync::Mutex<Option<(Instant, Found)>>,
}

/// What must work, and what is wrong about it.
type Found = Vec<(&'static str, Result<(), String>)>;

/// What was found is believed for so long: each look at the store costs a sync of the disk.
const BELIEVED_FOR: Duration = Duration::from_secs(1);

impl Health {
    /// The health of a server.
    pub fn new(engine: Engine, store: Arc<dyn Store>, limits: &Limits) -> Self {
        Self { engine, store, patience: limits.admin_answer_time_max, last: tokio::sync::Mutex::default() }
    }

    /// Whether requests should be sent here: a status and what was found.
    pub async fn summary(&self) -> (u16, Value) {
        let found = self.look().await;
        let well = found.iter().all(|(_, result)| result.is_ok());
        let check = |(name, result): (&str, Result<(), String>)| {
            (name.to_string(), Value::from(result.err().unwrap_or_else(|| "ok".to_string())))
        };
        let checks: serde_json::Map<_, _> = found.into_iter().map(check).collect();
        let status = if well { "ready" } else { "not ready" };
        (if well { 200 } else { 503 }, serde_json::json!({ "status": status, "checks": checks }))
    }

    // The store takes writes, and the static handlers' thread answers.
    async fn look(&self) -> Found {
        let mut last = self.last.lock().await;
        if let Some((at, found)) = &*last
            && at.elapsed() < BELIEVED_FOR
        {
            return found.clone();
        }
        let (store, edge) = tokio::join!(self.store(), self.engine.edge_answers(self.patience));
        let edge =
            if edge { Ok(()) } else { Err("the thread of static handlers does not answer".to_string()) };
        let found = vec![("store", store), ("edge", edge)];
        *last = Some((Instant::now(), found.clone()));
        found
    }

    async fn store(&self) -> Result<(), String> {
        let (told, answer) = oneshot::channel();
        self.store.probe(Box::new(move |result| drop(told.send(result))));
        match tokio::time::timeout(self.patience, answer).await {
            Ok(Ok(result)) => result.map_err(|error| error.to_string()),
            Ok(Err(_)) => Err("the store is closed".to_string()),
            Err(_) => Err(format!("the disk took longer than {:?}", self.patience)),
        }
    }
}

impl Probe for Health {
    fn ready(&self) -> BoxFuture<'_, (u16, String)> {
        Box::pin(async {
            let (status, found) = self.summary().await;
            (status, found.to_string())
        })
    }
}

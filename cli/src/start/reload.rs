//! SIGHUP: what is served is read again, tried, and put in the place of what runs. Whatever is wrong with it, the server goes on as
//! it was.
//!
//! Rooms change when nothing of them is in progress; those that hibernate keep their sockets. What a running server cannot change
//! (where data is kept, what is bound, who listens) is left to another process, which takes over from this one.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use partyrun_config::Config;
use partyrun_engine::Program;

use super::Command;
use super::load::{self, Port, Servable};
use crate::admin;
use crate::build::CodeCache;
use crate::error::{RunError, labelled};
use crate::release::Unpacked;
use crate::serve::Running;

/// What is served now.
pub(super) struct Served {
    pub(super) config: Arc<Config>,
    pub(super) port: u16,
    pub(super) url: String,
    pub(super) program: Arc<Program>,
    pub(super) hash: String,
    pub(super) cache: CodeCache,
    pub(super) folder: Option<Unpacked>,
}

impl Served {
    /// The data folder, if there is one.
    pub(super) fn data(&self) -> Option<&Path> {
        self.config.persist.path()
    }

    /// Loads anew what is served, if that can be: whether anything changed, or why it could not.
    pub(super) async fn reload(
        &mut self,
        command: &Command<'_>,
        running: &mut Running,
    ) -> Result<bool, String> {
        let (begun, output) = (Instant::now(), command.output);
        let result = self.try_reload(command, running).await;
        match &result {
            Ok(true) => {
                let took_ms = begun.elapsed().as_millis();
                output.note(&format!("Updated and ready on the same port in {took_ms} ms"));
            }
            Ok(false) => output.note("Nothing has changed."),
            Err(error) => {
                let text = error.to_string();
                output.problem(&if output.is_json() { text } else { labelled(&text) });
                output.note("The last working version keeps running.");
            }
        }
        result.map_err(|error| error.to_string())
    }

    async fn try_reload(&mut self, command: &Command<'_>, running: &mut Running) -> Result<bool, RunError> {
        let Command { args, hosted, limits, output, .. } = *command;
        let port = self.port;
        let loaded =
            tokio::task::block_in_place(|| load::load(args, hosted, limits, Port::Kept(port), output, true))?;
        let Servable { config, program, hash, cache, release, folder, .. } = loaded;
        if let Some(what) = changed_for_good(&self.config, &config) {
            return Err(RunError::Fixed { what });
        }
        if hosted.is_some() && self.config.crons != config.crons {
            // The host is told by those of the start.
            return Err(RunError::Fixed { what: "crons of a hosted project" });
        }
        let same =
            self.hash == hash && self.config.serve == config.serve && self.config.crons == config.crons;
        if same && self.config.vars == config.vars && self.config.process_env == config.process_env {
            return Ok(false);
        }
        let told = admin::release(&config, "start", self.url.clone(), release);
        running.swap(&config, &program, told, &hash, limits).await?;
        self.cache.keep(&self.program);
        (self.config, self.program, self.hash, self.cache) = (config, program, hash, cache);
        if let Some(folder) = folder {
            folder.forget_others();
            self.folder = Some(folder);
        }
        Ok(true)
    }
}

// What another configuration would change that a running server keeps.
fn changed_for_good(old: &Config, new: &Config) -> Option<&'static str> {
    let differs = [
        (old.persist != new.persist, "where storage is kept"),
        (old.bindings != new.bindings || old.vectorize != new.vectorize, "what is bound"),
        (old.host != new.host || old.port != new.port, "where the server listens"),
        (old.shares_isolates != new.shares_isolates, "the isolation of rooms"),
        (old.compression != new.compression, "compression"),
        (old.cors != new.cors || old.allowed_origins != new.allowed_origins, "which origins may connect"),
    ];
    differs.into_iter().find_map(|(differs, what)| differs.then_some(what))
}

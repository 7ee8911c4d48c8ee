//! Flags that several commands share: what the project is, and where it listens and keeps its data.

use std::path::{Path, PathBuf};

use clap::Args;
use partyrun_config::{Host, Overrides, Request};
use partyrun_engine::Workers;
use partyrun_limits::{Limits, SettingError};

/// What the project is made from.
#[derive(Debug, Default, Args)]
pub(crate) struct ProjectArgs {
    /// A folder of static files.
    #[arg(long, value_name = "PATH")]
    pub(crate) serve: Option<String>,
    /// The configuration file.
    #[arg(short, long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    /// Variables for `room.env`, each `NAME=VALUE`.
    #[arg(short = 'v', long, value_name = "NAME=VALUE", num_args = 1.., value_parser = pair)]
    pub(crate) var: Vec<(String, String)>,
    /// Names that the build replaces with JavaScript expressions, each `NAME=EXPRESSION`.
    #[arg(short, long, value_name = "NAME=EXPRESSION", num_args = 1.., value_parser = pair)]
    pub(crate) define: Vec<(String, String)>,
    /// An environment file to read in place of `.env` and `.env.local`.
    #[arg(long, value_name = "PATH")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Make the keys of environment files global constants.
    #[arg(long)]
    pub(crate) with_env: bool,
    /// A Workers compatibility date; accepted, and without effect.
    #[arg(long, value_name = "DATE")]
    pub(crate) compatibility_date: Option<String>,
    /// Workers compatibility flags; accepted, and without effect.
    #[arg(long, value_name = "FLAG", num_args = 1..)]
    pub(crate) compatibility_flags: Vec<String>,
    /// Remove white space from the server bundle.
    #[arg(long)]
    pub(crate) minify: bool,
}

/// How the server runs.
#[derive(Debug, Default, Args)]
pub(crate) struct ListenArgs {
    /// The port [default: the configuration's, else 1999, else a free one if 1999 is taken].
    #[arg(short, long)]
    pub(crate) port: Option<u16>,
    /// The address to listen on, or `localhost` [default: all addresses, of IPv4 and IPv6].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<Host>,
    /// Where storage is kept; `false` keeps it in memory [default: .partyrun].
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) persist: Option<String>,
    /// Threads that run rooms: a number, or `per-room` [default: twice the cores, at least 4].
    #[arg(long, value_name = "COUNT", value_parser = workers)]
    pub(crate) workers: Option<Workers>,
    /// A proxy, or a network of proxies, whose `x-forwarded-for` and `-proto` headers are trusted. Repeatable.
    #[arg(long, value_name = "ADDRESS[/BITS]")]
    pub(crate) trusted_proxy: Vec<partyrun_server::Network>,
    /// Change a limit (see docs/limits.md), `NAME=VALUE`; a time is written `200ms` or `10s`. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) limit: Vec<(String, String)>,
    /// Print each line as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

impl ListenArgs {
    /// The limits in force, from those of the command.
    pub(crate) fn limits(&self, mut limits: Limits) -> Result<Limits, SettingError> {
        for (name, value) in &self.limit {
            limits.set(name, value)?;
        }
        Ok(limits)
    }
}

impl ProjectArgs {
    /// What the configuration needs to know of the flags.
    pub(crate) fn request(&self, cwd: &Path, script: Option<String>, listen: &ListenArgs) -> Request {
        Request {
            cwd: cwd.to_path_buf(),
            config: self.config.clone(),
            env_files: self.env_file.clone(),
            without_env_files: false,
            env_local: false,
            overrides: Overrides {
                main: script,
                name: None,
                port: listen.port,
                host: listen.host,
                serve: self.serve.clone(),
                persist: listen.persist.clone(),
                vars: self.var.clone(),
                defines: self.define.clone(),
                with_env: self.with_env,
                minify: self.minify.then_some(true),
                live: false,
                compatibility_date: self.compatibility_date.clone(),
                compatibility_flags: self.compatibility_flags.clone(),
            },
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err("write it as NAME=VALUE".to_string()),
    }
}

fn workers(text: &str) -> Result<Workers, String> {
    if text == "per-room" {
        return Ok(Workers::PerRoom);
    }
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(Workers::Count(count)),
        _ => Err("write a number from 1 to 1024, or `per-room`".to_string()),
    }
}

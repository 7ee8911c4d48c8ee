//! The commands that talk to a host: those of the hosted platform, and a few beyond them.

pub(crate) mod client;
pub(crate) mod deploy;
pub(crate) mod env;
mod kept;
pub(crate) mod login;
pub(crate) mod projects;
pub(crate) mod tail;
pub(crate) mod token;

use std::io::Write as _;

use partyrun_config::{Config, ConfigError};

use crate::args::{ListenArgs, ProjectArgs, WhichArgs};
use crate::error::RunError;
use client::{Client, ClientError, segment};

/// Why a command has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostingError {
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Run(#[from] RunError),
    #[error("{0}.")]
    Host(#[from] partyrun_host::HostError),
    #[error("The project has no name. Add `\"name\"` to partykit.json, or name it with `--name`.")]
    NoName,
    #[error("{path} cannot be written: {error}")]
    Write { path: String, error: std::io::Error },
    #[error("{path} cannot be read: {error}")]
    Read { path: String, error: std::io::Error },
    #[error("{0}")]
    Refused(String),
}

/// A project on a host.
pub(crate) struct Target {
    pub(crate) client: Client,
    pub(crate) name: String,
    pub(crate) preview: Option<String>,
}

impl Target {
    /// The project that flags and configuration name, on the host that is meant.
    pub(crate) fn of(which: &WhichArgs) -> Result<Self, HostingError> {
        let name = name(which)?;
        Ok(Self { client: Client::find(which.at.to.as_deref())?, name, preview: which.preview.clone() })
    }

    /// A path below the project's, with its preview.
    pub(crate) fn path(&self, rest: &str) -> String {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut path = format!("/v1/projects/{}{rest}", segment(&self.name));
        let preview = self.preview.as_ref().map(|preview| format!("preview={}", segment(preview)));
        let query: Vec<String> = [preview, Some(query.to_string())]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        if !query.is_empty() {
            path.push_str(&format!("?{}", query.join("&")));
        }
        path
    }

    /// The project as people read it.
    pub(crate) fn shown(&self) -> String {
        match &self.preview {
            None => self.name.clone(),
            Some(preview) => format!("{} (preview: {preview})", self.name),
        }
    }
}

/// The configuration of the folder that a command runs in.
pub(crate) fn config(which: &WhichArgs) -> Result<Config, HostingError> {
    let cwd = std::env::current_dir().map_err(|error| HostingError::Read { path: ".".to_string(), error })?;
    let project = ProjectArgs { config: which.config.clone(), ..ProjectArgs::default() };
    let mut request = project.request(&cwd, &cwd, None, &ListenArgs::default());
    request.overrides.name.clone_from(&which.name);
    Ok(partyrun_config::load(&request)?)
}

fn name(which: &WhichArgs) -> Result<String, HostingError> {
    match &which.name {
        Some(name) => Ok(name.clone()),
        None => config(which)?.name.ok_or(HostingError::NoName),
    }
}

/// Prints a text; a pipe that is closed ends nothing.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints JSON as people read it.
pub(crate) fn print_json(value: &serde_json::Value) {
    // Of a value in memory nothing can fail.
    print(&format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default()));
}

/// A question that is answered with yes or no; no, where nobody can answer.
pub(crate) fn asks(question: &str) -> bool {
    print(&format!("{question} (y/N) "));
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// A time as people read it.
pub(crate) fn time(ms: Option<i64>) -> String {
    let time = ms.and_then(chrono::DateTime::from_timestamp_millis);
    time.map(|time| time.format("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

/// Rows as a table whose columns are as wide as they must be.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(ToString::to_string).collect();
    let all = || std::iter::once(&heading).chain(rows);
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in all() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{:<width$}", crate::output::escape(cell)))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

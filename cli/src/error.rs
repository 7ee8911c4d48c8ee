//! Why a command ends with an error: one type for all that go wrong in the same words, and those of its parts that several
//! files make.

use std::net::SocketAddr;
use std::path::Path;

use partyrun_bindings::BindingError;
use partyrun_bundle::BundleErrors;
use partyrun_config::{Config, ConfigError};
use partyrun_engine::{ProgramError, StartError};
use partyrun_limits::SettingError;
use partyrun_server::AssetsError;
use partyrun_store::StoreError;

use crate::command::CommandError;
use crate::doors::passed::PassedError;
use crate::https::HttpsError;
use crate::secure::error::SecureError;
use crate::stack::Files;

/// The port of the original.
pub(crate) const PORT: u16 = 1999;

/// Why the command ends with exit code 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Command(#[from] CommandError),
    #[error("{0}")]
    Build(#[from] BuildError),
    #[error("{0}")]
    Client(#[from] partyrun_client::ClientError),
    #[error("{0}")]
    Start(StartError),
    /// The project's own modules threw, or export what cannot be served; explained.
    #[error("{0}")]
    Load(String),
    #[error("{0}")]
    Release(#[from] ReleaseError),
    #[error("The storage in {path} cannot be opened: {error}{}", other_folder(error))]
    Store { path: String, error: StoreError },
    #[error(
        "Port {port} is in use. Stop the program that listens there, or choose another port with `--port` \
         (`--port 0`: any free one)."
    )]
    PortInUse { port: u16 },
    #[error("An address follows its flag with an equals sign: write `{flag}`.")]
    StrayAddress { flag: String },
    #[error("The debugger's port {port} is in use. Choose another with `--inspect={}`.", port.wrapping_add(1))]
    DebuggerPortInUse { port: u16 },
    #[error(
        "The administrative API cannot listen on {address}: {error}. Choose another place with `--admin ADDRESS`."
    )]
    Admin { address: String, error: std::io::Error },
    #[error(
        "The administrative API needs a token: set PARTYRUN_ADMIN_TOKEN, because without a data folder none can be kept."
    )]
    AdminToken,
    #[error("Nothing can be exported: {0}")]
    Export(partyrun_telemetry::ExportError),
    #[error("The port {port} of the metrics is in use. Choose another with `--metrics {}`.", port.wrapping_add(1))]
    MetricsPortInUse { port: u16 },
    #[error("Cannot listen on {address}: {error}{}.", advice(address, error))]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error("Cannot listen at {place}: {error}.")]
    ListenAt { place: String, error: std::io::Error },
    #[error("{0}")]
    Passed(#[from] PassedError),
    #[error("{0}")]
    Secure(#[from] SecureError),
    #[error("{0}")]
    Https(#[from] HttpsError),
    #[error(
        "{path} does not exist. Name a file that `partyrun build` wrote, a project's folder, or a script."
    )]
    Nothing { path: String },
    #[error("{path} was not written by `partyrun build`. Build it again.")]
    NoRelease { path: String },
    #[error("`serve` in the configuration: {0}")]
    Assets(#[from] AssetsError),
    #[error("{0}")]
    Bindings(#[from] BindingError),
    #[error("{0}")]
    Backup(#[from] crate::backup::CommandError),
    #[error("The flag `--limit`: {}", limit_problem(.0))]
    Limit(#[from] SettingError),
    #[error(
        "The new version changes {what}, which a running server keeps. Let another process take over \
         (SIGUSR2, `kill -USR2`), or restart the server."
    )]
    Fixed { what: &'static str },
    #[error("{0}")]
    Take(#[from] crate::upgrade::TakeError),
    #[error("{what}: {error}")]
    Machine { what: &'static str, error: std::io::Error },
}

// What an error at a place says in addition, where there is something to say.
fn advice(address: &SocketAddr, error: &std::io::Error) -> &'static str {
    if error.kind() == std::io::ErrorKind::PermissionDenied && address.port() < 1024 {
        ". Ports below 1024 are root's: grant CAP_NET_BIND_SERVICE (docs/tls.md), or choose another port with `--port`"
    } else {
        ""
    }
}

// What is wrong, and the limit that was probably meant.
fn limit_problem(error: &SettingError) -> String {
    let SettingError::Unknown(name) = error else { return format!("{error}.") };
    let rows = partyrun_limits::TABLE.iter().filter(|row| !row.name.ends_with("_ceiling"));
    let distance = |known: &str| {
        let is_part = name.len() > 3 && known.contains(name.as_str());
        if is_part { 0 } else { strsim::osa_distance(name, known) }
    };
    match rows.map(|row| (distance(row.name), row.name)).min() {
        Some((distance, near)) if distance <= 3 => format!("{error}; did you mean `{near}`?"),
        _ => format!("{error}: docs/limits.md names them all."),
    }
}

// What to do about a folder that cannot be used; one that is in use says so itself.
fn other_folder(error: &StoreError) -> &'static str {
    match error {
        StoreError::Io(_) => {
            ". Name another folder with `--persist PATH`, or keep nothing with `--persist false`."
        }
        _ => "",
    }
}

impl RunError {
    /// An error of the engine's start or of a swap, with what user code threw explained.
    pub(crate) fn starting(error: StartError, config: &Config) -> Self {
        match error {
            StartError::Program(text) => Self::Load(files(config).explain_load(&text)),
            StartError::Export { party, problem } => {
                let other = config.parties.iter().find(|(name, _)| *name == party).map(|(_, path)| path);
                match other.or(config.main.as_ref()) {
                    Some(path) => {
                        let file = path.strip_prefix(&config.root).unwrap_or(path).display();
                        Self::Load(format!("{file} (party {party}): {problem}"))
                    }
                    None => Self::Load(problem),
                }
            }
            error => Self::Start(error),
        }
    }
}

/// The project's files as messages name them.
pub(crate) fn files(config: &Config) -> Files {
    let shell = std::env::current_dir().unwrap_or_else(|_| config.cwd.clone());
    Files::new(&config.root, &shell)
}

/// The text of an error with the word before it that clap and the bundler write, too.
pub(crate) fn labelled(text: &str) -> String {
    if text.starts_with("error") { text.to_string() } else { format!("error: {text}") }
}

/// Makes the error of something that the machine refused.
pub(crate) fn machine(what: &'static str) -> impl FnOnce(std::io::Error) -> RunError {
    move |error| RunError::Machine { what, error }
}

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Bundle(#[from] BundleErrors),
    #[error("The bundle cannot be run: {0}. This is a bug in partyrun.")]
    Program(#[from] ProgramError),
    #[error("Could not write the bundle to {path}: {error}")]
    Write { path: String, error: std::io::Error },
}

/// Why a release could not be written or served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReleaseError {
    #[error("{path} cannot be read: {error}")]
    Read { path: String, error: std::io::Error },
    #[error("{path} cannot be written: {error}")]
    Write { path: String, error: std::io::Error },
    #[error("{path} cannot be written: {what}.")]
    Refused { path: String, what: String },
    #[error("{path} was not written by `partyrun build`: it has no {missing}.")]
    Foreign { path: String, missing: &'static str },
    #[error("{path} has format {found}, but this partyrun serves format {served}. Build it again.")]
    Format { path: String, found: u32, served: u32 },
    #[error("{path} is damaged: {what}. Build it again.")]
    Damaged { path: String, what: String },
}

impl ReleaseError {
    /// A damaged file. What is wrong may be told in words of the file, which are not to be obeyed, and need not be read to
    /// their end.
    pub(crate) fn damaged(path: &Path, what: String) -> Self {
        const CHARS_MAX: usize = 300;
        let mut line: String = what.chars().take(CHARS_MAX).collect();
        if line.len() < what.len() {
            line.push_str("...");
        }
        Self::Damaged {
            path: path.display().to_string(),
            what: crate::output::escape(&line).replace('\t', "\\t"),
        }
    }
}

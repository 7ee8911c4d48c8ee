//! The two runtimes that a case can run on, and how each is called.
//!
//! Everything that the runner must know about one of them stands here: its command line, the line that says that it
//! serves, the line that says that a changed file is in effect. Their behaviour belongs into the cases.

use std::path::{Path, PathBuf};
use tokio::process::Command;

/// Where a case runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Runtime {
    /// Ours.
    Partyrun,
    /// npm `partykit`, the oracle.
    Original,
}

impl Runtime {
    /// The name used in the data, in flags and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Partyrun => "partyrun",
            Self::Original => "original",
        }
    }
}

/// The programs of this run.
#[derive(Debug, Clone)]
pub struct Programs {
    /// partyrun's binary.
    pub partyrun: PathBuf,
    /// The folder whose `node_modules` fixtures see, with the original among them.
    pub packages: PathBuf,
    /// What partyrun's isolates are for: its flag `--isolation`, if one is given.
    pub isolation: Option<String>,
}

/// Printed by both when the server takes requests.
pub const READY_PATTERN: &str = r"(?i)\bready on https?://";

/// Printed by both when changed code is in effect.
pub const SWAPPED_PATTERN: &str = r"(?i)updated and ready on";

impl Programs {
    /// `RUNTIME ARGS...` in a folder.
    pub fn command(&self, runtime: Runtime, folder: &Path, args: &[String]) -> Command {
        let mut command = match runtime {
            Runtime::Partyrun => Command::new(&self.partyrun),
            Runtime::Original => {
                let mut command = Command::new("node");
                command.arg(self.packages.join("node_modules/partykit/dist/bin.mjs"));
                command
            }
        };
        command.args(args).current_dir(folder).stdin(std::process::Stdio::null()).env("NO_COLOR", "1");
        // What is kept for a user goes with the project's copy.
        command.env("XDG_STATE_HOME", folder.join(".partyrun"));
        command
    }

    /// The arguments of `dev` for a project.
    pub fn dev_args(
        &self,
        runtime: Runtime,
        entry: Option<&str>,
        port: u16,
        extra: &[String],
    ) -> Vec<String> {
        let mut args = vec!["dev".to_owned()];
        args.extend(entry.map(str::to_owned));
        args.extend(["--port".to_owned(), port.to_string(), "--no-hotkeys".to_owned()]);
        if runtime == Runtime::Original {
            // Without this flag it asks a remote host for `request.cf`.
            args.push("--disable-request-cf-fetch".to_owned());
        }
        if let (Runtime::Partyrun, Some(isolation)) = (runtime, &self.isolation) {
            args.extend(["--isolation".to_owned(), isolation.clone()]);
        }
        args.extend(extra.iter().cloned());
        args
    }
}

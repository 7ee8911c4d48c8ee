//! `build.command`: the project's own build, before the start and after changes of its sources.
//!
//! It runs in its own process group, so that everything it started ends with it: at its time limit, or when partyrun is
//! asked to stop. Its output goes to partyrun's output; it has no input.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use partyrun_config::Config;
use tokio::process::Command;
use tokio::runtime::Runtime;

use crate::stop::Link;

/// The exit code of a command that was asked to stop before it was done.
const STOPPED: i32 = 130;

/// Why the project's own build is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("Custom build failed: `{command}` ended with {status}.")]
    Failed { command: String, status: ExitStatus },
    #[error("Custom build failed: `{command}` could not be started: {error}")]
    Start { command: String, error: std::io::Error },
    #[error(
        "Custom build failed: `{command}` did not end within {time_max:?} and was ended (`build_command_time_max`)."
    )]
    Overdue { command: String, time_max: Duration },
    #[error("Custom build failed: signals cannot be received: {0}")]
    Machine(#[from] std::io::Error),
}

/// Ends the process when it is asked to stop, as long as this value lives: for what comes before there is a server.
pub(crate) struct Interruptible {
    _runtime: Option<Runtime>,
}

/// Runs the command, if there is one, before there is a server. A request to stop ends the command and the process; what
/// follows the command can be interrupted until the returned value is dropped.
pub(crate) fn run_first(
    config: &Config,
    time_max: Duration,
    link: Option<&Link>,
) -> Result<Interruptible, CommandError> {
    if config.build.command.is_none() {
        return Ok(Interruptible { _runtime: None });
    }
    // The server that is asked to stop ends well; a build that is not done does not.
    let exit_code = if link.is_some() { 0 } else { STOPPED };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut requests = runtime.block_on(async { link.unwrap_or(&Link::default()).requests() })?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = run(config, time_max) => Some(ended),
            () = requests.next() => None,
        }
    });
    let Some(ended) = ended else { std::process::exit(exit_code) };
    ended?;
    runtime.spawn(async move {
        requests.next().await;
        std::process::exit(exit_code);
    });
    Ok(Interruptible { _runtime: Some(runtime) })
}

/// Runs the command, if there is one, with the project's own tools on its path as npm scripts have them. Dropping the
/// future ends it.
pub(crate) async fn run(config: &Config, time_max: Duration) -> Result<(), CommandError> {
    let Some(command) = config.build.command.clone() else { return Ok(()) };
    let tools = config.root.join("node_modules/.bin");
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([tools].into_iter().chain(std::env::split_paths(&inherited)));
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(&command).current_dir(&config.build.cwd).stdin(Stdio::null()).process_group(0);
    if let Ok(path) = path {
        shell.env("PATH", path);
    }
    let mut child = match shell.spawn() {
        Ok(child) => child,
        Err(error) => return Err(CommandError::Start { command, error }),
    };
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()));
    match tokio::time::timeout(time_max, child.wait()).await {
        Ok(ended) => {
            group.release();
            match ended {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => Err(CommandError::Failed { command, status }),
                Err(error) => Err(CommandError::Start { command, error }),
            }
        }
        Err(_) => Err(CommandError::Overdue { command, time_max }),
    }
}

/// A process group, killed when dropped.
struct Group(Option<i32>);

impl Group {
    // Its leader has ended and been waited for: the number may be another's by now.
    fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // SAFETY: killpg takes two integers; the group's leader is a child that has not been waited for.
            unsafe { libc::killpg(group, libc::SIGKILL) };
        }
    }
}

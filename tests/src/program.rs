//! Programs that a case runs to their end, and the bare TCP exchange.
//!
//! A Node program runs in the project's folder with `HOST`, `PORT`, `ROOM` and `RUNTIME` in its environment, so real
//! clients (partysocket, y-partykit's provider, ws, fetch) can be steps; `HELPERS` is the folder of what several of them
//! need. Commands of the runtime run the same way.

use crate::context::Context;
use crate::server::Process;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<u64>,
    /// What it printed, both streams.
    pub lines: Vec<String>,
}

/// Runs a Node program of the fixture.
pub async fn run_node(
    cx: &Context,
    program: &str,
    args: &[String],
    limit: Duration,
) -> Result<Ended, String> {
    let file = cx.server.project.file(program)?;
    if !file.is_file() {
        return Err(format!("no such program: `{program}`"));
    }
    let mut command = Command::new("node");
    command.arg(file).args(args).current_dir(cx.server.project.path()).stdin(std::process::Stdio::null());
    command.env("HOST", format!("127.0.0.1:{}", cx.server.port)).env("PORT", cx.server.port.to_string());
    command.env("ROOM", cx.variables.text("$room")?).env("RUNTIME", cx.server.runtime.name());
    command.env("HELPERS", cx.programs.packages.join("clients"));
    end_of(command, limit).await
}

/// Runs a command of the runtime in the project's folder.
pub async fn run_cli(
    cx: &Context,
    args: &[String],
    env: &[(String, String)],
    limit: Duration,
) -> Result<Ended, String> {
    let mut command = cx.programs.command(cx.server.runtime, cx.server.project.path(), args);
    command.envs(env.iter().cloned());
    end_of(command, limit).await
}

async fn end_of(command: Command, limit: Duration) -> Result<Ended, String> {
    let process = Process::start(command)?;
    match process.output.wait_end(limit).await {
        Some(status) => {
            let code = status.code().and_then(|code| u64::try_from(code).ok());
            Ok(Ended { code, lines: process.output.since(0) })
        }
        None => {
            let printed = process.output.since(0).join("\n");
            Err(format!("the program did not end within {} ms; it printed:\n{printed}", limit.as_millis()))
        }
    }
}

/// Sends bytes and returns what comes until the server ends the stream or is silent for a while.
pub async fn tcp_exchange(port: u16, bytes: &[u8], limit: Duration) -> Result<String, String> {
    const QUIET: Duration = Duration::from_millis(700);
    let problem = |error: std::io::Error| format!("bare connection: {error}");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(problem)?;
    stream.write_all(bytes).await.map_err(problem)?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    let mut patience = limit;
    loop {
        match tokio::time::timeout(patience, stream.read(&mut buffer)).await {
            Ok(Ok(count)) if count > 0 => answer.extend(&buffer[..count]),
            Err(_) if answer.is_empty() => return Err(format!("no answer within {} ms", limit.as_millis())),
            _ => return Ok(String::from_utf8_lossy(&answer).into_owned()),
        }
        patience = QUIET;
    }
}

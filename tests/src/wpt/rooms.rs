//! Runs tests inside rooms, on partyrun or on the original.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use futures_util::StreamExt;
use serde_json::Value;

use super::origin::Origin;
use super::suite::Test;
use super::{Ran, project};
use crate::request::{Ask, exchange};
use crate::runtime::{Programs, READY_PATTERN, Runtime};
use crate::server::{Process, free_port, wait_for_line};

/// So many tests run side by side: most of the time they wait.
const AT_ONCE: usize = 4;

/// Where tests run.
#[derive(Debug)]
pub struct Rooms<'a> {
    /// The programs of this run.
    pub programs: &'a Programs,
    /// The checkout of the tests.
    pub root: &'a Path,
    /// Its server.
    pub origin: &'a Origin,
}

impl Rooms<'_> {
    /// Runs tests, each in a room of its own.
    ///
    /// # Errors
    /// When a server does not start.
    pub async fn run(&self, runtime: Runtime, tests: &[Test]) -> Result<BTreeMap<String, Ran>> {
        // Rooms of the original share their globals, which tests change: there each has a server of its own.
        let together = if runtime == Runtime::Original { 1 } else { tests.len() };
        let parts = tests.chunks(together).map(|part| self.run_part(runtime, part));
        let mut parts = futures_util::stream::iter(parts).buffer_unordered(AT_ONCE);
        let mut ran = BTreeMap::new();
        while let Some(part) = parts.next().await {
            ran.extend(part?);
        }
        Ok(ran)
    }

    async fn run_part(&self, runtime: Runtime, tests: &[Test]) -> Result<Vec<(String, Ran)>> {
        let folder = tempfile::tempdir()?;
        project::write(self.root, folder.path(), tests, self.origin).await?;
        let port = free_port().map_err(|error| anyhow!(error))?;
        let process = match self.serve(runtime, folder.path(), port).await {
            Ok(process) => process,
            // A test that the original cannot bundle has failed there.
            Err(error) if runtime == Runtime::Original => {
                let broken = |test: &Test| (test.name.clone(), Ran::broken(format!("(harness) {error}")));
                return Ok(tests.iter().map(broken).collect());
            }
            Err(error) => return Err(error),
        };
        let asking = tests.iter().enumerate().map(|(number, test)| async move {
            let ran = ask(port, number, self.origin).await;
            (test.name.clone(), ran)
        });
        let ran = futures_util::stream::iter(asking).buffer_unordered(AT_ONCE).collect().await;
        process.stop(Duration::from_millis(500)).await;
        Ok(ran)
    }

    async fn serve(&self, runtime: Runtime, folder: &Path, port: u16) -> Result<Process> {
        let args = self.programs.dev_args(runtime, None, port, &[]);
        let process = Process::start(self.programs.command(runtime, folder, &args));
        let process = process.map_err(|error| anyhow!(error))?;
        let pattern = regex::Regex::new(READY_PATTERN)?;
        let ready = wait_for_line(&process.output, &pattern, 0, Duration::from_secs(60)).await;
        if let Err(error) = ready {
            bail!("{error}\n{}", process.output.tail(20).join("\n"));
        }
        Ok(process)
    }
}

async fn ask(port: u16, number: usize, origin: &Origin) -> Ran {
    let target = format!("/party/{number}");
    let ask = Ask { method: "GET".into(), target, headers: Vec::new(), body: bytes::Bytes::new() };
    let answer = match tokio::time::timeout(Duration::from_secs(60), exchange(port, &ask)).await {
        Ok(Ok(answer)) => answer.text(),
        Ok(Err(error)) => return Ran::broken(format!("(harness) {error}")),
        Err(_) => return Ran::broken("(harness) no answer in time".into()),
    };
    let Ok(Value::Array(results)) = serde_json::from_str(&answer) else {
        return Ran::broken("(harness)".into());
    };
    let mut ran = Ran::default();
    for result in results {
        let name = origin.without_ports(result["name"].as_str().unwrap_or_default());
        if result["status"].as_u64() == Some(0) {
            ran.passed.insert(name);
        } else {
            let message = result["message"].as_str().unwrap_or_default();
            ran.messages.push((name.clone(), message.to_string()));
            ran.failed.insert(name);
        }
    }
    // Of several subtests with one name, one that fails counts for all.
    let Ran { passed, failed, .. } = &mut ran;
    passed.retain(|name| !failed.contains(name));
    ran
}

//! The tests' own server, which is part of a checkout and written in Python: it answers the requests of network tests.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde_json::json;
use tokio::process::Command;

use crate::request::{Ask, exchange};
use crate::server::{Process, free_port};

/// The running server.
#[derive(Debug)]
pub struct Origin {
    process: Process,
    ports: Vec<u16>,
    // Its configuration, which it reads again for each of its processes.
    _folder: tempfile::TempDir,
}

impl Origin {
    /// Starts the server of a checkout on free ports.
    pub async fn start(root: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut ports = Vec::new();
        for _ in 0..7 {
            ports.push(free_port().map_err(|error| anyhow!(error))?);
        }
        // The server's templates want ports for everything, also for what no room is asked to reach.
        let certificates = "tools/certs";
        let config = json!({
            "browser_host": "localhost",
            "alternate_hosts": { "alt": "127.0.0.1" },
            "check_subdomains": false,
            "ports": {
                "http": [ports[0], ports[1]], "http-local": [], "http-public": [],
                "https": [ports[2], ports[3]], "https-local": [], "https-public": [],
                "ws": [ports[4]], "wss": [ports[5]], "h2": [ports[6]], "webtransport-h3": [], "dns": [],
            },
            "ssl": { "type": "pregenerated", "pregenerated": {
                "ca_cert_path": format!("{certificates}/cacert.pem"),
                "host_cert_path": format!("{certificates}/web-platform.test.pem"),
                "host_key_path": format!("{certificates}/web-platform.test.key"),
            } },
        });
        let path = folder.path().join("config.json");
        std::fs::write(&path, config.to_string())?;
        let mut command = Command::new("python3");
        command.args(["wpt", "--skip-venv-setup", "serve", "--config"]).arg(&path);
        command.current_dir(root).stdin(std::process::Stdio::null());
        let process = Process::start(command).map_err(|error| anyhow!(error))?;
        let origin = Self { process, ports, _folder: folder };
        let ready = async {
            while origin.get("/resources/testharness.js").await.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(60), ready).await.is_err() {
            bail!("the tests' own server does not start:\n{}", origin.process.output.tail(20).join("\n"));
        }
        Ok(origin)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.ports[0])
    }

    /// A name of a subtest as it is in every run: names hold the ports of the server.
    pub fn without_ports(&self, name: &str) -> String {
        self.ports.iter().fold(name.to_string(), |name, port| name.replace(&format!(":{port}"), ":PORT"))
    }

    /// A file as it serves it, with its templates filled in.
    pub async fn get(&self, path: &str) -> Result<String> {
        let headers = vec![("host".to_string(), format!("localhost:{}", self.ports[0]))];
        let ask = Ask { method: "GET".into(), target: path.into(), headers, body: bytes::Bytes::new() };
        let answer = exchange(self.ports[0], &ask).await.map_err(|error| anyhow!(error))?;
        if answer.status != 200 {
            bail!("{path}: {}", answer.status);
        }
        Ok(answer.text())
    }

    /// Ends it.
    pub async fn stop(self) {
        self.process.stop(Duration::from_secs(5)).await;
    }
}

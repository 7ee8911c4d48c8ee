//! Who is measured, and how each is started: partyrun and the original serve the same project; Node, Deno and Bun serve
//! a small server written for each (`tests/bench/`), as the mark that a user compares with.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tempfile::TempPath;

use super::client;
use crate::project::Project;
use crate::server::free_port;

/// How long a server may take until its first answer.
const START_MAX: Duration = Duration::from_secs(60);

/// A server that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Contender {
    /// Ours.
    Partyrun,
    /// npm `partykit`.
    Original,
    /// Node with `ws`.
    Node,
    /// Deno.
    Deno,
    /// Bun.
    Bun,
    /// hyper with a file read for each request, for `assets` only.
    Hyper,
    /// nginx, for `assets` and `assets-http2` only.
    Nginx,
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Places {
    /// partyrun's binary.
    pub partyrun: PathBuf,
    /// This program.
    pub bench: PathBuf,
    /// The folder `tests/`, with its `node_modules`.
    pub tests: PathBuf,
    /// The folder `fixtures/`.
    pub fixtures: PathBuf,
    /// What partyrun's isolates are for: its flag `--isolation`, if one is given.
    pub isolation: Option<String>,
}

/// A server that runs; it ends with this value.
#[derive(Debug)]
pub struct Running {
    /// The process whose tree is measured.
    pub pid: u32,
    /// Where it answers.
    pub address: SocketAddr,
    /// From the start of the process to the end of its first answer.
    pub first_answer: Duration,
    /// The project's copy that it serves.
    pub project: Arc<Project>,
    log_path: TempPath,
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = self.pid as i32;
        // SAFETY: killpg takes two integers; the group is the child's own, and the child has not been waited for.
        unsafe { libc::killpg(group, libc::SIGKILL) };
        let _gone = self.child.wait();
    }
}

impl Contender {
    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Partyrun => "partyrun",
            Self::Original => "original",
            Self::Node => "Node ws",
            Self::Deno => "Deno",
            Self::Bun => "Bun",
            Self::Hyper => "plain hyper",
            Self::Nginx => "nginx",
        }
    }

    /// Whether it knows rooms, storage and reloading; the others only echo, broadcast and answer.
    pub fn runs_projects(self) -> bool {
        matches!(self, Self::Partyrun | Self::Original)
    }

    /// Starts it with a copy of a fixture, and waits for the first answer of a room.
    pub fn start(self, places: &Places, fixture: &str, extra: &[&str]) -> io::Result<Running> {
        // The benchmark's own programs import packages that nothing else needs.
        let own = places.tests.join("bench");
        let packages = if fixture.starts_with("bench-") { &own } else { &places.tests };
        if !packages.join("node_modules").is_dir() {
            let folder = packages.display();
            return Err(io::Error::other(format!("{folder} has no packages: `npm ci --prefix {folder}`")));
        }
        let project = Project::copy(&places.fixtures.join(fixture), packages)?;
        let port = free_port().map_err(io::Error::other)?;
        self.start_in(Arc::new(project), port, places, extra)
    }

    /// The same in a project that may have been served before.
    pub fn start_in(
        self,
        project: Arc<Project>,
        port: u16,
        places: &Places,
        extra: &[&str],
    ) -> io::Result<Running> {
        if self == Self::Nginx {
            std::fs::write(project.path().join("public/nginx.conf"), nginx_config(port))?;
        }
        let mut command = self.command(places, port, project.path());
        command.args(extra);
        let began = Instant::now();
        let mut running = self.spawn(command, project, port)?;
        running.first_answer = running.wait_for_answer(began)?;
        Ok(running)
    }

    /// Starts a command as this server, and waits for nothing.
    pub fn spawn(self, mut command: Command, project: Arc<Project>, port: u16) -> io::Result<Running> {
        // The output goes to a file, so that the load generator does not pay for reading it; outside of the project,
        // whose folder the server watches.
        let log_path = tempfile::Builder::new().prefix("bench-").suffix(".log").tempfile()?.into_temp_path();
        let log = File::create(&log_path)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        // SAFETY: between fork and exec only prctl, an async-signal-safe system call, is made.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            });
        }
        let child = command
            .spawn()
            .map_err(|error| io::Error::other(format!("{} could not be started: {error}", self.name())))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let pid = child.id();
        Ok(Running { pid, address, first_answer: Duration::ZERO, project, log_path, child })
    }

    fn command(self, places: &Places, port: u16, folder: &Path) -> Command {
        let port = port.to_string();
        let own = places.tests.join("bench");
        let binaries = own.join("node_modules/.bin");
        let mut command = match self {
            Self::Partyrun => {
                let mut command = Command::new(&places.partyrun);
                command.args(["dev", "--port", &port]);
                if let Some(isolation) = &places.isolation {
                    command.args(["--isolation", isolation]);
                }
                command
            }
            Self::Original => {
                let mut command = Command::new("node");
                command.arg(places.tests.join("node_modules/partykit/dist/bin.mjs"));
                command.args(["dev", "--port", &port, "--no-hotkeys", "--disable-request-cf-fetch"]);
                command
            }
            Self::Node => {
                let mut command = Command::new("node");
                command.arg(own.join("node.mjs")).arg(&port);
                command
            }
            Self::Deno => {
                let mut command = Command::new(binaries.join("deno"));
                command.args(["run", "--allow-net", "--no-config", "--no-lock"]);
                command.arg(own.join("deno.mjs")).arg(&port);
                command
            }
            Self::Bun => {
                let mut command = Command::new(binaries.join("bun"));
                command.arg(own.join("bun.mjs")).arg(&port);
                command
            }
            Self::Hyper => {
                let mut command = Command::new(&places.bench);
                command.args(["--serve-files", &port]);
                command
            }
            Self::Nginx => {
                let mut command = Command::new("nginx");
                command.args(["-p", "public", "-c", "nginx.conf", "-e", "stderr"]);
                command
            }
        };
        command.current_dir(folder).env("NO_COLOR", "1");
        command
    }
}

// As its packages set it up, but for places. Started by root it would become a user who may not read the folder.
fn nginx_config(port: u16) -> String {
    // SAFETY: geteuid has no precondition.
    let user = if unsafe { libc::geteuid() } == 0 { "user root;" } else { "" };
    let files = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let files: String = files.iter().map(|name| format!("{name}_temp_path nginx-{name};\n")).collect();
    format!(
        "{user} daemon off; worker_processes auto; pid nginx.pid; error_log stderr;
events {{ worker_connections 1024; }}
http {{
{files}access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
server {{ listen 127.0.0.1:{port}; root .; location = /party/first {{ return 200; }} }}
}}
"
    )
}

impl Running {
    fn wait_for_answer(&mut self, began: Instant) -> io::Result<Duration> {
        let request = client::get_request(self.address, "/party/first");
        loop {
            let answered =
                client::connect(self.address).and_then(|mut stream| client::ask(&mut stream, &request));
            match answered {
                Ok(answer) if answer.status == 200 => return Ok(began.elapsed()),
                Ok(answer) => {
                    let (status, body) = (answer.status, answer.body);
                    return Err(io::Error::other(format!("the first answer was {status}: {body}")));
                }
                Err(_) => {}
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("it ended with {status}:\n{}", self.output())));
            }
            if began.elapsed() > START_MAX {
                return Err(io::Error::other(format!("it did not answer in time:\n{}", self.output())));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What it has printed.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log_path).unwrap_or_default()
    }
}

//! The state of a running case: its server, whose process may be replaced, its variables and its sockets.

use crate::case::Variant;
use crate::project::Project;
use crate::runtime::{Programs, READY_PATTERN, Runtime};
use crate::server::{self, Output, Process};
use crate::socket::Socket;
use crate::variables::Variables;
use regex::Regex;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// The server that a case talks to: its process can be replaced by a restart, its folder and port stay.
pub struct Server {
    /// Which runtime this is.
    pub runtime: Runtime,
    /// Its project folder.
    pub project: Project,
    /// Where it listens.
    pub port: u16,
    /// The process, while there is one.
    pub process: RefCell<Option<Rc<Process>>>,
    /// The arguments it is started with.
    pub args: Vec<String>,
    /// The environment it is started with.
    pub env: Vec<(String, String)>,
}

impl Server {
    /// Starts the process and waits until it takes requests.
    pub async fn start(&self, programs: &Programs, within: Duration) -> Result<(), String> {
        let mut command = programs.command(self.runtime, self.project.path(), &self.args);
        command.envs(self.env.iter().cloned());
        let process = Rc::new(Process::start(command)?);
        let output = process.output.clone();
        *self.process.borrow_mut() = Some(process);
        let ready = Regex::new(READY_PATTERN).map_err(|error| error.to_string())?;
        server::wait_for_line(&output, &ready, 0, within).await.map(|_| ())
    }

    /// What the process prints.
    pub fn output(&self) -> Rc<Output> {
        self.process.borrow().as_ref().map(|process| process.output.clone()).unwrap_or_default()
    }

    /// How the process ended, if it has.
    pub fn exit(&self) -> Option<std::process::ExitStatus> {
        self.output().exit()
    }
}

/// The state of a running case.
pub struct Context {
    /// Where it runs.
    pub server: Rc<Server>,
    /// The programs of this run.
    pub programs: Programs,
    /// How it runs.
    pub variant: Variant,
    /// Captured values.
    pub variables: Variables,
    /// The limit of a step that names none.
    pub step_limit: Duration,
    /// The limit for starting a server.
    pub start_limit: Duration,
    /// Expectations that held.
    pub held: Cell<u64>,
    /// The open sockets by name.
    pub sockets: RefCell<HashMap<String, Rc<Socket>>>,
    /// Where the server's output was when the case began.
    pub log_mark: Cell<usize>,
}

//! The administrative API of `dev` and `start`: its listener, its token, and the file by which commands of the same folder find
//! it.
//!
//! `dev` makes a new token at each start and prints it. `start` takes PARTYRUN_ADMIN_TOKEN, or keeps one in `admin.token` in the
//! data folder. The running server is described in `admin.json` there, which only its user may read.

pub(crate) mod ask;
pub(crate) mod client;
mod found;
pub(crate) mod top;

use std::io::Read as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use partyrun_admin::{Address, Admin, Extra, Listening, Log, Options, Release};
use partyrun_config::Config;
use partyrun_limits::Limits;
use serde_json::{Map, json};

use crate::args::{ADMIN_TOKEN, AdminArgs};
use crate::error::RunError;
use crate::inherit;
use crate::metrics::Page;
use crate::output::Output;
use found::Found;

const TOKEN_FILE: &str = "admin.token";
/// Random bytes of a token that is made here.
const TOKEN_BYTES: usize = 24;

/// The API of this process, as long as it is kept.
pub(crate) struct Administration {
    pub(crate) admin: Admin,
    pub(crate) log: Arc<Log>,
    // Unless it came from the environment.
    token: Option<String>,
    // Removed at the end.
    _found: Option<Found>,
}

impl Administration {
    /// Opens the API of `dev`: on unless it is turned off, at a free port if the usual one is taken.
    pub(crate) fn of_dev(
        args: &AdminArgs,
        data: Option<&Path>,
        limits: &Limits,
    ) -> Result<Option<Self>, RunError> {
        if args.is_off() {
            return Ok(None);
        }
        let listening = match (&args.admin, Listening::open(&args.address())) {
            (None, Err(error)) if error.kind() == std::io::ErrorKind::AddrInUse => {
                open(&Address::Tcp(std::net::SocketAddr::from(([127, 0, 0, 1], 0))))
            }
            (_, opened) => opened.map_err(|error| refused(&args.address(), error)),
        }?;
        let given = std::env::var(ADMIN_TOKEN).ok().filter(|token| !token.is_empty());
        let is_given = given.is_some();
        let token = given.map_or_else(new_token, Ok)?;
        Ok(Some(Self::start(listening, args, token, is_given, data, limits)?))
    }

    /// Opens the API of `start`, if a flag asks for it.
    pub(crate) fn of_start(
        args: &AdminArgs,
        data: Option<&Path>,
        limits: &Limits,
        output: &Output,
    ) -> Result<Option<Self>, RunError> {
        if args.admin.is_none() || args.is_off() {
            return Ok(None);
        }
        let given = std::env::var(ADMIN_TOKEN).ok().filter(|token| !token.is_empty());
        let is_given = given.is_some();
        let token = match (given, data) {
            (Some(token), _) => token,
            (None, Some(folder)) => kept_token(folder)?,
            (None, None) => return Err(RunError::AdminToken),
        };
        let this = Self::start(open(&args.address())?, args, token, is_given, data, limits)?;
        output.note(&format!("Administration on {}", this.admin.address()));
        if let Address::Tcp(address) = this.admin.address()
            && !address.ip().is_loopback()
        {
            output.problem(
                "The administrative API listens beyond this machine, without encryption: put a proxy with TLS in front of it.",
            );
        }
        Ok(Some(this))
    }

    fn start(
        listening: Listening,
        args: &AdminArgs,
        token: String,
        is_given: bool,
        data: Option<&Path>,
        limits: &Limits,
    ) -> Result<Self, RunError> {
        // The list of rooms has their CPU time.
        partyrun_telemetry::measure();
        let log = Log::new(limits);
        let options = Options {
            token: token.clone(),
            names: args.admin_host.clone(),
            limits: limits.clone(),
            extras: vec![Arc::new(Page) as Arc<dyn Extra>],
        };
        let address = listening.address().clone();
        let admin = Admin::listen(listening, options, log.clone())
            .map_err(crate::error::machine("The administrative thread cannot be started"))?;
        // A token of the environment is not ours to write down.
        let token = (!is_given).then_some(token);
        let found =
            data.map(|folder| Found::write(folder, &address.to_string(), token.as_deref())).transpose();
        let found = found.map_err(crate::error::machine("The address of the API cannot be written down"))?;
        Ok(Self { admin, log, token, _found: found })
    }

    /// The address as the banner of `dev` has it; a token of the environment is not shown.
    pub(crate) fn url(&self) -> String {
        match (self.dashboard(), self.admin.address(), &self.token) {
            (Some(url), ..) => url,
            (None, address, Some(token)) => format!("{address} (token {token})"),
            (None, address, None) => address.to_string(),
        }
    }

    /// What a browser opens: the dashboard, with the token unless that came from the environment. None for a socket.
    pub(crate) fn dashboard(&self) -> Option<String> {
        let Address::Tcp(mut address) = self.admin.address().clone() else { return None };
        if address.ip().is_unspecified() {
            // Every address of this machine is meant, and browsers go to none of that name.
            address.set_ip(if address.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                Ipv6Addr::LOCALHOST.into()
            });
        }
        let token = self.token.iter().map(|token| format!("#token={token}"));
        Some(format!("http://{address}/{}", token.collect::<String>()))
    }
}

impl Drop for Administration {
    fn drop(&mut self) {
        self.admin.stop();
    }
}

fn open(address: &Address) -> Result<Listening, RunError> {
    listen(address).map_err(|error| refused(address, error))
}

// What another process has handed over is open already.
fn listen(address: &Address) -> std::io::Result<Listening> {
    match address {
        Address::Tcp(address) => Listening::of_tcp(inherit::tcp(*address, partyrun_net::bind)?),
        Address::Unix(path) => {
            let listening = match inherit::unix(path) {
                Some(listener) => Listening::of_unix(listener, path)?,
                None => Listening::open(address)?,
            };
            inherit::keep(&listening)?;
            Ok(listening)
        }
    }
}

fn refused(address: &Address, error: std::io::Error) -> RunError {
    RunError::Admin { address: address.to_string(), error }
}

fn new_token() -> Result<String, RunError> {
    let mut bytes = [0; TOKEN_BYTES];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(crate::error::machine("A token cannot be made"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

// The token of this data folder, made at the first start.
fn kept_token(folder: &Path) -> Result<String, RunError> {
    let failed = crate::error::machine;
    let path = folder.join(TOKEN_FILE);
    if let Ok(text) = std::fs::read_to_string(&path) {
        let token = text.trim().to_string();
        if !token.is_empty() {
            return Ok(token);
        }
    }
    let token = new_token()?;
    std::fs::create_dir_all(folder).map_err(failed("The data folder cannot be made"))?;
    found::write_private(&path, &format!("{token}\n")).map_err(failed("The token cannot be kept"))?;
    Ok(token)
}

/// What operators are told of what is served. Of variables and definitions only the names: their values may be secrets.
pub(crate) fn release(config: &Config, command: &'static str, url: String, file: Option<String>) -> Release {
    let folder = config.root.file_name().map(|name| name.to_string_lossy().into_owned());
    let names = |names: &mut dyn Iterator<Item = &String>| names.cloned().collect::<Vec<String>>();
    let bound =
        |pairs: &[(String, String)]| pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<String>>();
    let configuration = json!({
        "root": config.root,
        "main": config.main,
        "parties": config.parties.iter().map(|(name, path)| (name.clone(), json!(path))).collect::<Map<_, _>>(),
        "persist": config.persist.path(),
        "static_files": config.serve.as_ref().map(|serve| &serve.path),
        "vars": names(&mut config.vars.keys()),
        "environment": names(&mut config.process_env.keys()),
        "defines": names(&mut config.defines.keys()),
        "crons": config.crons.iter().map(|(name, expression)| (name.clone(), json!(expression))).collect::<Map<_, _>>(),
        "isolation": if config.shares_isolates { "worker" } else { "room" },
        "minify": config.minify,
        "compression": config.compression.is_some(),
        "kv": bound(&config.bindings.kv), "r2": bound(&config.bindings.r2), "vectorize": bound(&config.vectorize),
    });
    Release {
        version: env!("CARGO_PKG_VERSION").to_string(),
        command,
        project: config.name.clone().or(folder).unwrap_or_default(),
        file,
        url,
        storage: config.persist.path().map(Path::to_path_buf),
        configuration,
    }
}

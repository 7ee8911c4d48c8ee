//! How `start` secures its connections: with certificates from files, from an authority, or both.

pub(crate) mod error;
mod files;

use std::path::Path;
use std::sync::Arc;

use partyrun_acme::{Acme, Allowed, LETS_ENCRYPT, PlainDoor, Ports, Settings, Tokens};
use partyrun_config::Host;
use partyrun_limits::Limits;
use partyrun_net::{Certificates, Demand, Front, FrontOptions, Proxies, Tls};
use tokio::sync::mpsc::UnboundedReceiver;

use self::error::SecureError;
use self::files::Files;
use crate::args::{DoorArgs, HttpPort};
use crate::doors::{self, HTTPS};
use crate::error::{RunError, machine};
use crate::output::Output;

/// The port of plain HTTP.
const HTTP: u16 = 80;

/// What secures the connections of a server that is not running yet.
pub(crate) struct Secured {
    pub(crate) tls: Tls,
    certificates: Arc<Certificates>,
    files: Option<Files>,
}

/// What the server knows that is to be secured.
pub(crate) struct Beside<'server> {
    pub(crate) args: &'server DoorArgs,
    pub(crate) host: Host,
    /// The data folder, if there is one.
    pub(crate) data: Option<&'server Path>,
    pub(crate) port: u16,
    pub(crate) limits: &'server Limits,
    pub(crate) output: &'server Arc<Output>,
    /// Whose connections begin with a header of the PROXY protocol, at the port of plain HTTP as well.
    pub(crate) proxies: Option<Proxies>,
}

/// What goes on beside a server that secures its connections; it ends with this.
pub(crate) struct Securing {
    acme: Option<Acme>,
    watching: tokio::task::JoinHandle<()>,
    plain: Option<Front>,
}

impl Secured {
    /// What the flags ask for; none where connections are plain. Certificates in files are read now.
    pub(crate) fn of(args: &DoorArgs) -> Result<Option<Self>, SecureError> {
        let (certificates, keys) = (args.tls_cert.len(), args.tls_key.len());
        if certificates != keys {
            return Err(SecureError::Count { certificates, keys });
        }
        if !args.is_secured() {
            return Ok(None);
        }
        let held = Arc::new(Certificates::default());
        let pairs: Vec<_> = args.tls_cert.iter().cloned().zip(args.tls_key.iter().cloned()).collect();
        let files = if pairs.is_empty() { None } else { Some(Files::open(pairs, Arc::clone(&held))?) };
        Ok(Some(Self { tls: Tls::new(Arc::clone(&held))?, certificates: held, files }))
    }

    /// Begins to keep the certificates, and to lead plain HTTP to https. Needs a runtime.
    pub(crate) fn begin(
        self,
        beside: &Beside<'_>,
        reloads: UnboundedReceiver<()>,
        reloaded: impl Fn() + Send + 'static,
    ) -> Result<Securing, RunError> {
        let Beside { args, host, data, port, limits, output, .. } = *beside;
        let plain = open_plain(args, host, port, output)?;
        let acme = if args.acme {
            let ports = Ports { tls: true, http: plain.is_some() };
            let settings = settings(args, data, ports)?;
            let told = Arc::clone(output);
            let tell = Arc::new(
                move |is_problem: bool, text: &str| {
                    if is_problem { told.problem(text) } else { told.note(text) }
                },
            );
            let acme = Acme::new(settings, Arc::clone(&self.certificates), limits, tell)
                .map_err(SecureError::from)?;
            for name in &args.domain {
                acme.keep(name).map_err(SecureError::from)?;
            }
            Some(acme)
        } else {
            None
        };
        let tokens = acme.as_ref().map_or_else(Tokens::default, Acme::tokens);
        let plain = plain.map(|listeners| {
            let proxies = beside.proxies.clone();
            let options = FrontOptions { threads: 1, proxies, ..FrontOptions::default() };
            Front::start(listeners, Arc::new(PlainDoor { port, tokens }), limits.clone(), options)
        });
        let plain = plain.transpose().map_err(machine("The HTTP threads cannot be started"))?;
        let files = self.files.unwrap_or_default();
        let watching = tokio::spawn(files.watch(Arc::clone(output), reloads, reloaded));
        Ok(Securing { acme, watching, plain })
    }
}

impl Securing {
    /// What obtains certificates for further names when clients ask for them, where an authority gives them.
    pub(crate) fn demand(&self, allowed: Allowed) -> Option<Demand> {
        self.acme.as_ref().map(|acme| acme.demand(allowed))
    }
}

impl Drop for Securing {
    fn drop(&mut self) {
        self.watching.abort();
        if let Some(plain) = &self.plain {
            plain.stop(std::time::Duration::ZERO);
        }
    }
}

// Where nobody asks for it, plain HTTP is a help that may be missing.
fn open_plain(
    args: &DoorArgs,
    host: Host,
    port: u16,
    output: &Output,
) -> Result<Option<Vec<std::net::TcpListener>>, RunError> {
    match args.http_port {
        Some(HttpPort::Off) => Ok(None),
        Some(HttpPort::At(asked)) => {
            let (listeners, at) = doors::plain(host, asked)?;
            output.note(&format!("  plain    http on port {at} leads to https"));
            Ok(Some(listeners))
        }
        None if port == HTTPS => match doors::plain(host, HTTP) {
            Ok((listeners, _)) => Ok(Some(listeners)),
            Err(error) => {
                output.problem(&format!(
                    "Plain HTTP does not lead to https: {error} `--http-port off` says that it need not."
                ));
                Ok(None)
            }
        },
        None => Ok(None),
    }
}

fn settings(args: &DoorArgs, data: Option<&Path>, ports: Ports) -> Result<Settings, SecureError> {
    let roots = args.acme_ca.as_ref().map(|path| {
        let read = std::fs::read(path);
        read.map_err(|error| SecureError::Roots { path: path.display().to_string(), error })
    });
    Ok(Settings {
        directory: args.acme_directory.clone().unwrap_or_else(|| LETS_ENCRYPT.to_string()),
        roots: roots.transpose()?,
        email: args.acme_email.clone(),
        folder: data.ok_or(SecureError::Folder)?.join("acme"),
        ports,
    })
}

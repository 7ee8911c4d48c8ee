//! Where `start` listens: an address with a port, paths of this machine, and sockets that systemd passes.

pub(crate) mod passed;
mod path;

use std::net::TcpListener;

use partyrun_config::{Config, Host};
use partyrun_net::Listener;

use crate::args::{DoorArgs, Place};
use crate::banner;
use crate::error::{PORT, RunError, machine};
use crate::inherit;
use crate::serve;
use crate::stop::Link;

pub(crate) use passed::{Passed, VARIABLE as SOCKETS, inherit as pass_to_next};

/// The port of https.
pub(crate) const HTTPS: u16 = 443;

/// The open listeners of a server.
pub(crate) struct Doors {
    pub(crate) listeners: Vec<Listener>,
    /// The port of the first one that has one, else 0.
    pub(crate) port: u16,
    /// Where that one listens, if `--listen` says it.
    host: Option<Host>,
    /// Where clients that know no port find the others, as flags name them.
    shown: Vec<String>,
    /// Paths that are gone when the server is.
    paths: Vec<path::Bound>,
}

impl Doors {
    /// Opens what the flags and the configuration ask for; the port of the life before is the one that clients know.
    pub(crate) fn open(args: &DoorArgs, config: &Config, link: &Link) -> Result<Self, RunError> {
        let (old_port, passed) = (link.port, &link.passed);
        let mut doors = Self::kept(0);
        if args.at.is_empty() {
            // A proxy in front would go on asking the port that was meant, so that a port which is taken is an error.
            let usual = if args.is_secured() { HTTPS } else { PORT };
            let (listeners, port) =
                serve::listen(config.host, Some(config.port.or(old_port).unwrap_or(usual)))?;
            doors.take_tcp(listeners, port);
            return Ok(doors);
        }
        for place in &args.at {
            doors.open_one(place, old_port, passed)?;
        }
        Ok(doors)
    }

    /// None of a server that keeps those that it has, with this port.
    pub(crate) fn kept(port: u16) -> Self {
        Self { listeners: Vec::new(), port, host: None, shown: Vec::new(), paths: Vec::new() }
    }

    /// Where the first one that has a port listens.
    pub(crate) fn host(&self, config: &Config) -> Host {
        self.host.unwrap_or(config.host)
    }

    /// How this machine's own clients reach the server: a URL, or the first path if there are only paths.
    pub(crate) fn url(&self, https: bool, config: &Config) -> String {
        match self.shown.first() {
            Some(path) if self.port == 0 => path.clone(),
            _ => banner::url(https, self.host(config), self.port),
        }
    }

    /// The places that the URL does not name.
    pub(crate) fn others(&self) -> &[String] {
        self.shown.get(usize::from(self.port == 0)..).unwrap_or_default()
    }

    fn take_tcp(&mut self, listeners: Vec<TcpListener>, port: u16) {
        if self.port == 0 {
            self.port = port;
        }
        self.listeners.extend(listeners.into_iter().map(Listener::from));
    }

    fn open_one(&mut self, place: &Place, old_port: Option<u16>, passed: &Passed) -> Result<(), RunError> {
        match place {
            Place::Tcp(host, port) => {
                let first = self.port == 0;
                let asked = if *port == 0 && first { old_port.unwrap_or(0) } else { *port };
                let (listeners, port) = serve::listen(*host, Some(asked))?;
                self.take_tcp(listeners, port);
                if first {
                    self.host = Some(*host);
                } else {
                    self.shown.push(format!("{}:{port}", host));
                }
            }
            Place::Unix(path, mode) => {
                let path =
                    std::path::absolute(path).map_err(machine("The working folder cannot be found"))?;
                let (listener, bound) = path::bind(&path, *mode)
                    .map_err(|error| RunError::ListenAt { place: place.to_string(), error })?;
                inherit::keep(&listener).map_err(machine("A listener cannot be copied"))?;
                self.listeners.push(listener.into());
                self.shown.push(format!("unix:{}", path.display()));
                self.paths.push(bound);
            }
            Place::Systemd(name) => {
                for socket in passed.sockets(name.as_deref())? {
                    match socket {
                        passed::Socket::Tcp(listener) => {
                            let address = listener
                                .local_addr()
                                .map_err(machine("A socket of systemd has no address"))?;
                            if self.port == 0 {
                                self.host = Some(Host::Address(address.ip()));
                            } else {
                                self.shown.push(address.to_string());
                            }
                            self.take_tcp(vec![listener], address.port());
                        }
                        passed::Socket::Unix(listener, path) => {
                            self.shown.push(path.map_or_else(
                                || place.to_string(),
                                |path| format!("unix:{}", path.display()),
                            ));
                            self.listeners.push(listener.into());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The paths, to be dropped when nobody listens there any more. From now on they are this process's, whoever had them.
    pub(crate) fn take_paths(&mut self) -> impl Sized + use<> {
        let mut paths = std::mem::take(&mut self.paths);
        paths.iter_mut().for_each(path::Bound::claim);
        paths
    }
}

/// Opens the port of plain HTTP beside https, at the same addresses.
pub(crate) fn plain(host: Host, port: u16) -> Result<(Vec<TcpListener>, u16), RunError> {
    serve::listen(host, Some(port))
}

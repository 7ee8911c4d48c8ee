//! Sockets that systemd passes to the process that it starts (`LISTEN_FDS`).
//!
//! The process that systemd starts is the supervisor. It keeps the sockets open for every server that it starts, and tells each
//! one by a variable which descriptors they are.

use std::net::TcpListener;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use socket2::{Domain, SockRef};

/// Tells a server which sockets there are: `3=web 4=metrics`.
pub(crate) const VARIABLE: &str = "PARTYRUN_SUPERVISOR_SOCKETS";

/// Why a socket that was asked for cannot be listened at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassedError {
    #[error(
        "systemd passed no socket{name}{}. A `.socket` unit with `ListenStream=` names them (docs/tls.md).",
        if known.is_empty() { String::new() } else { format!("; those that it passed are {known}") }
    )]
    Missing { name: String, known: String },
    #[error("The socket `{name}` that systemd passed cannot be used: {what}.")]
    Unusable { name: String, what: String },
}

/// Descriptors of listening sockets, each with its name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passed(Vec<(RawFd, String)>);

/// One of them.
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, Option<PathBuf>),
}

impl Passed {
    /// What systemd passed to this process, or to the supervisor of this one.
    ///
    /// # Safety
    /// No other thread may exist: variables are removed, so that no program takes the sockets for its own.
    pub(crate) unsafe fn take() -> Self {
        let told = std::env::var(VARIABLE).ok();
        // SAFETY: the caller promises it.
        let from_systemd = unsafe {
            std::env::remove_var(VARIABLE);
            sd_notify::listen_fds_with_names_and_unset_env()
        };
        match told {
            Some(told) => Self(told.split(' ').filter_map(read).collect()),
            // What it says is nonsense: there are none.
            None => Self(from_systemd.map(Iterator::collect).unwrap_or_default()),
        }
    }

    /// For the variable of a server, and the descriptors that it must inherit.
    pub(crate) fn told(&self) -> Option<(String, Vec<RawFd>)> {
        let pairs: Vec<String> = self.0.iter().map(|(fd, name)| format!("{fd}={name}")).collect();
        (!pairs.is_empty()).then(|| (pairs.join(" "), self.0.iter().map(|(fd, _)| *fd).collect()))
    }

    /// All of them, or those of this name.
    pub(crate) fn sockets(&self, name: Option<&str>) -> Result<Vec<Socket>, PassedError> {
        let wanted = self.0.iter().filter(|(_, known)| name.is_none_or(|name| name == known));
        let sockets: Result<Vec<_>, _> = wanted.map(|(fd, name)| open(*fd, name)).collect();
        match sockets {
            Ok(sockets) if sockets.is_empty() => Err(PassedError::Missing {
                name: name.map_or_else(String::new, |name| format!(" of the name `{name}`")),
                known: self.0.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", "),
            }),
            sockets => sockets,
        }
    }
}

// Whoever starts the server may have closed what it names.
fn read(pair: &str) -> Option<(RawFd, String)> {
    let (fd, name) = pair.split_once('=')?;
    let fd: RawFd = fd.parse().ok().filter(|fd| *fd > 2)?;
    // SAFETY: fcntl takes integers; a descriptor that is not open makes it fail.
    let is_open = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } == 0;
    is_open.then(|| (fd, name.to_string()))
}

fn open(fd: RawFd, name: &str) -> Result<Socket, PassedError> {
    let bad = |what: &str| PassedError::Unusable { name: name.to_string(), what: what.to_string() };
    // SAFETY: it was open when the process began, and nobody closes it: only copies are used.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    let copy: OwnedFd = socket.try_clone_to_owned().map_err(|error| bad(&error.to_string()))?;
    let looked = SockRef::from(&copy);
    if !matches!(looked.is_listener(), Ok(true)) || !matches!(looked.r#type(), Ok(socket2::Type::STREAM)) {
        return Err(bad("it is no listening stream socket (`Accept=no` and `ListenStream=`)"));
    }
    let address = looked.local_addr().map_err(|error| bad(&error.to_string()))?;
    match looked.domain() {
        Ok(Domain::UNIX) => Ok(Socket::Unix(copy.into(), address.as_pathname().map(PathBuf::from))),
        Ok(Domain::IPV4 | Domain::IPV6) => Ok(Socket::Tcp(copy.into())),
        _ => Err(bad("it is neither of TCP nor a path")),
    }
}

/// Lets the program that is started next inherit a descriptor; for use between fork and exec.
pub(crate) fn inherit(fd: RawFd) -> std::io::Result<()> {
    // SAFETY: fcntl takes integers, and may be called there.
    match unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

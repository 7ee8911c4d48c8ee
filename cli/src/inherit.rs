//! The listeners of this process: those that the process before it has handed over, and copies for the process after it.
//!
//! Whoever needs a listener asks here first whether the process before had it at the same address. It was never closed then, and
//! whoever connected meanwhile waits in it. The list belongs to the process, as descriptors do.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the process before had, and nobody has asked for yet.
static INHERITED: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());
/// Copies of what this process listens at.
static KEPT: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());

fn lock(list: &Mutex<Vec<OwnedFd>>) -> MutexGuard<'_, Vec<OwnedFd>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes what the process before has handed over.
pub(crate) fn take_in(listeners: Vec<OwnedFd>) {
    lock(&INHERITED).extend(listeners);
}

/// Closes what nobody has asked for: this process listens elsewhere.
pub(crate) fn forget_rest() {
    lock(&INHERITED).clear();
}

/// Keeps a copy for the process after this one.
pub(crate) fn keep(listener: &impl AsFd) -> std::io::Result<()> {
    lock(&KEPT).push(listener.as_fd().try_clone_to_owned()?);
    Ok(())
}

/// Copies for the process after this one.
pub(crate) fn kept() -> std::io::Result<Vec<OwnedFd>> {
    lock(&KEPT).iter().map(OwnedFd::try_clone).collect()
}

/// The listener at this address that was handed over, or else a new one, which `bind` makes. Either is handed over in turn. Any
/// free port is another one each time.
pub(crate) fn tcp(
    address: SocketAddr,
    bind: impl FnOnce(SocketAddr) -> std::io::Result<TcpListener>,
) -> std::io::Result<TcpListener> {
    let found = find(|listener| {
        let listener = TcpListener::from(listener.try_clone().ok()?);
        (listener.local_addr().ok()? == address).then_some(listener)
    });
    let listener = found.map_or_else(|| bind(address), Ok)?;
    keep(&listener)?;
    Ok(listener)
}

/// The listener at this path that was handed over.
pub(crate) fn unix(path: &Path) -> Option<UnixListener> {
    find(|listener| {
        let listener = UnixListener::from(listener.try_clone().ok()?);
        let own = listener.local_addr().ok()?;
        (own.as_pathname()? == path).then_some(listener)
    })
}

fn find<T>(is_it: impl Fn(&OwnedFd) -> Option<T>) -> Option<T> {
    let mut inherited = lock(&INHERITED);
    let (place, found) = inherited.iter().enumerate().find_map(|(place, one)| Some((place, is_it(one)?)))?;
    inherited.swap_remove(place);
    Some(found)
}

/// Closes the copies, so that a test finds a port free that it has closed.
#[cfg(test)]
pub(crate) fn forget_kept() {
    lock(&KEPT).clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test, because the lists are the process's.
    #[test]
    fn a_listener_is_found_by_its_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let first = TcpListener::bind(loopback(0)).unwrap();
        let at = first.local_addr().unwrap();
        take_in(vec![UnixListener::bind(&path).unwrap().into(), first.into()]);
        let refuse = |_| Err(std::io::ErrorKind::AddrInUse.into());
        assert!(tcp(SocketAddr::from(([127, 0, 0, 2], at.port())), refuse).is_err());
        assert!(unix(Path::new("/nowhere")).is_none() && unix(&path).is_some() && unix(&path).is_none());
        assert_eq!(tcp(at, refuse).unwrap().local_addr().unwrap(), at);
        assert!(tcp(at, refuse).is_err(), "it was given away");
        assert!(!kept().unwrap().is_empty());
        forget_rest();
    }
}

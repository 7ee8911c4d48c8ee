//! A listener at a path. What a dead server left there is replaced; what a living one listens at is not.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::inherit;

/// Connections that wait in the kernel for being accepted.
const BACKLOG: i32 = 4096;

/// A path that is removed with this, if it is still the same socket.
#[derive(Debug)]
pub(crate) struct Bound {
    path: PathBuf,
    /// The socket's file, held open so that no other file gets its number.
    file: File,
    /// No other process listens there as well.
    ours: bool,
}

impl Bound {
    fn hold(path: &Path, ours: bool) -> std::io::Result<Self> {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)?;
        Ok(Self { path: path.to_path_buf(), file, ours })
    }

    /// The process before, which listened there, goes on no more.
    pub(crate) fn claim(&mut self) {
        self.ours = true;
    }

    /// Whether the path still leads to this socket.
    fn is_there(&self) -> std::io::Result<bool> {
        let (ours, there) = (self.file.metadata()?, std::fs::symlink_metadata(&self.path)?);
        Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if self.ours && self.is_there().unwrap_or(false) {
            // What cannot be removed is replaced by the next server.
            let _kept = std::fs::remove_file(&self.path);
        }
    }
}

/// Listens at a path, with these permissions from its first connection on.
pub(crate) fn bind(path: &Path, mode: u32) -> std::io::Result<(UnixListener, Bound)> {
    if let Some(listener) = inherit::unix(path) {
        // Where this process does not take over, the one before goes on listening there.
        return Ok((listener, Bound::hold(path, false)?));
    }
    make_room(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Nobody can connect before it listens.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    let bound = Bound::hold(path, true)?;
    socket.listen(BACKLOG)?;
    Ok((socket.into(), bound))
}

fn make_room(path: &Path) -> std::io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(there) if !there.file_type().is_socket() => {
            Err(Error::new(ErrorKind::AlreadyExists, "there is something else than a socket"))
        }
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            Err(error) => Err(error),
            Ok(_) => Err(Error::new(ErrorKind::AddrInUse, "another program listens there")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_server_left_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let (listener, bound) = bind(&path, 0o600).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(bind(&path, 0o600).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(listener);
        let (listener, second) = bind(&path, 0o666).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o666);
        drop(bound);
        // Nor by a process that was to take over from this one, and does not.
        drop(Bound::hold(&path, false).unwrap());
        UnixStream::connect(&path).unwrap();
        drop((listener, second));
        assert!(!path.exists());
        std::fs::write(&path, "mine").unwrap();
        assert_eq!(bind(&path, 0o600).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}

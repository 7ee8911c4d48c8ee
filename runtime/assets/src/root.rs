//! Opens files below a folder, and never anything else.
//!
//! On Linux the kernel does it: `openat2` with `RESOLVE_BENEATH` fails if any step of the resolution, a link included,
//! leaves the folder, even if the tree changes meanwhile. Elsewhere, and where `openat2` is missing or forbidden, links
//! are resolved first; then the resolved path is opened name by name without following links, so a link that appears in
//! between makes the opening fail. The folder itself is opened each time, because build tools delete and recreate it.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;

/// An open regular file and what `fstat` said of it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) stamp: Stamp,
}

/// What identifies the content of a file as far as the file system can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) len: u64,
    /// Seconds and nanoseconds.
    pub(crate) modified: (i64, i64),
    pub(crate) changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Opened {
    /// The stamp of the file now.
    pub(crate) fn restamp(&self) -> io::Result<Stamp> {
        self.file.metadata().map(|metadata| Stamp::of(&metadata))
    }
}

/// Whether the disk may be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// What is not in memory is read.
    Patient,
    /// What is not in memory is the error `WouldBlock`.
    AtOnce,
}

/// The folder that is served.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
}

impl Root {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Opens a regular file; `None` if there is none below the folder. `name` has plain segments only.
    pub(crate) fn open(&self, name: &str, patience: Patience) -> io::Result<Option<Opened>> {
        let opened = match patience {
            Patience::Patient => open(&self.path, folder_flags(), Mode::empty())
                .and_then(|root| open_below(&root, &self.path, name)),
            Patience::AtOnce => open_at_once(&self.path, name),
        };
        let file = match opened {
            Ok(descriptor) => File::from(descriptor),
            Err(error) if means_absent(error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        // A folder, a pipe, a socket or a device is no asset.
        Ok(metadata.is_file().then(|| Opened { stamp: Stamp::of(&metadata), file }))
    }
}

/// Reads what the kernel has in its memory of a file; the error `WouldBlock` says that it has to be read from the disk.
#[cfg(target_os = "linux")]
pub fn read_at_once(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};

    let mut parts = [io::IoSliceMut::new(buffer)];
    preadv2(file, &mut parts, offset, ReadWriteFlags::NOWAIT).map_err(|error| match error {
        // File systems and kernels without this flag.
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL => io::ErrorKind::WouldBlock.into(),
        error => error.into(),
    })
}

/// Reads what the kernel has in its memory of a file, which it does not tell here.
#[cfg(not(target_os = "linux"))]
pub fn read_at_once(_file: &File, _buffer: &mut [u8], _offset: u64) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

/// `NONBLOCK`, so that opening a pipe does not wait for a writer.
fn file_flags() -> OFlags {
    OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
}

/// Whether an error says that nothing may be served under this name. All others are trouble of the machine.
fn means_absent(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOENT
            | Errno::NOTDIR
            | Errno::ISDIR
            | Errno::ACCESS
            | Errno::PERM
            | Errno::LOOP
            | Errno::XDEV
            | Errno::NAMETOOLONG
            | Errno::INVAL
            | Errno::NXIO
            | Errno::NODEV
            | Errno::ILSEQ
    )
}

#[cfg(target_os = "linux")]
fn open_below(root: &OwnedFd, root_path: &Path, name: &str) -> Result<OwnedFd, Errno> {
    use rustix::fs::{ResolveFlags, openat2};

    // The kernel gives up with AGAIN when the tree is renamed under it; it asks to be called again.
    const ATTEMPTS: usize = 8;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..ATTEMPTS {
        match openat2(root, name, file_flags(), Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            Err(Errno::NOSYS | Errno::PERM) => return open_by_name(root, root_path, name),
            result => return result,
        }
    }
    Err(Errno::NOENT)
}

/// Opens what the kernel has in its memory; `AGAIN` for everything else, and where the kernel cannot tell.
#[cfg(target_os = "linux")]
fn open_at_once(root: &Path, name: &str) -> Result<OwnedFd, Errno> {
    use rustix::fs::{CWD, ResolveFlags, openat2};

    let below = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::CACHED;
    let opened = openat2(CWD, root, folder_flags(), Mode::empty(), ResolveFlags::CACHED)
        .and_then(|root| openat2(root, name, file_flags(), Mode::empty(), below));
    // Kernels and containers without these flags say so in several ways; a patient look will tell what is the matter.
    opened.map_err(|error| match error {
        Errno::NOSYS | Errno::PERM | Errno::INVAL => Errno::AGAIN,
        error => error,
    })
}

#[cfg(not(target_os = "linux"))]
fn open_at_once(_root: &Path, _name: &str) -> Result<OwnedFd, Errno> {
    Err(Errno::AGAIN)
}

#[cfg(not(target_os = "linux"))]
fn open_below(root: &OwnedFd, root_path: &Path, name: &str) -> Result<OwnedFd, Errno> {
    open_by_name(root, root_path, name)
}

/// The portable way: resolves links, then opens the result without following any.
fn open_by_name(root: &OwnedFd, root_path: &Path, name: &str) -> Result<OwnedFd, Errno> {
    let canonical = |path: &Path| {
        path.canonicalize().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::NOENT))
    };
    let real_root = canonical(root_path)?;
    let real = canonical(&root_path.join(name))?;
    let inside = real.strip_prefix(&real_root).map_err(|_| Errno::XDEV)?;
    let mut names = inside.components().peekable();
    let mut folder: Option<OwnedFd> = None;
    while let Some(component) = names.next() {
        let Component::Normal(part) = component else { return Err(Errno::XDEV) };
        let last = names.peek().is_none();
        let flags = if last { file_flags() } else { folder_flags() } | OFlags::NOFOLLOW;
        let opened = openat(folder.as_ref().unwrap_or(root), part, flags, Mode::empty())?;
        if last {
            return Ok(opened);
        }
        folder = Some(opened);
    }
    Err(Errno::ISDIR)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A root with files, links inside and links outside.
    fn tree() -> tempfile::TempDir {
        let outer = tempfile::tempdir().expect("folder");
        let at = |name: &str| outer.path().join(name);
        std::fs::create_dir_all(at("root/sub")).expect("folder");
        std::fs::write(at("secret"), "secret").expect("file");
        std::fs::write(at("root/a"), "a").expect("file");
        std::fs::write(at("root/sub/b"), "b").expect("file");
        symlink("sub/b", at("root/inside")).expect("link");
        symlink("../a", at("root/sub/up")).expect("link");
        symlink("sub", at("root/folder")).expect("link");
        symlink("../secret", at("root/out")).expect("link");
        symlink("../..", at("root/sub/outer")).expect("link");
        symlink("/etc", at("root/etc")).expect("link");
        symlink("/proc/self/root", at("root/magic")).expect("link");
        symlink("loop", at("root/loop")).expect("link");
        symlink("nowhere", at("root/broken")).expect("link");
        outer
    }

    // None if it would have to wait.
    fn at_once(root: &Root, name: &str) -> Option<Option<Opened>> {
        match root.open(name, Patience::AtOnce) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            opened => Some(opened.expect(name)),
        }
    }

    const INSIDE: [&str; 5] = ["a", "sub/b", "inside", "sub/up", "folder/b"];
    const OUTSIDE: [&str; 9] =
        ["out", "sub/outer/secret", "etc/passwd", "magic/etc/passwd", "loop", "broken", "sub", "a/b", "none"];

    #[test]
    fn both_ways_stay_below_the_root() {
        let outer = tree();
        let path = outer.path().join("root");
        let root = Root::new(path.clone());
        let folder = open(&path, folder_flags(), Mode::empty()).expect("root");
        for name in INSIDE {
            assert!(root.open(name, Patience::Patient).expect(name).is_some(), "{name}");
            assert!(open_by_name(&folder, &path, name).is_ok(), "{name}");
            assert!(at_once(&root, name).is_none_or(|opened| opened.is_some()), "{name}");
        }
        for name in OUTSIDE {
            assert!(root.open(name, Patience::Patient).expect(name).is_none(), "{name}");
            assert!(at_once(&root, name).is_none_or(|opened| opened.is_none()), "{name}");
            let by_name = open_by_name(&folder, &path, name);
            let refused = by_name.as_ref().map_or(true, |file| {
                !File::from(file.try_clone().expect("clone")).metadata().expect("metadata").is_file()
            });
            assert!(refused, "{name}");
            if let Err(error) = by_name {
                assert!(means_absent(error), "{name}: {error}");
            }
        }
    }

    #[test]
    fn pipes_devices_and_missing_roots_are_absent() {
        let outer = tree();
        let pipe = outer.path().join("root/pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RWXU, 0).expect("pipe");
        assert!(
            Root::new(outer.path().join("root")).open("pipe", Patience::Patient).expect("open").is_none()
        );
        assert!(Root::new("/dev".into()).open("zero", Patience::Patient).expect("open").is_none());
        assert!(
            Root::new(outer.path().join("nowhere")).open("a", Patience::Patient).expect("open").is_none()
        );
        assert!(Root::new(outer.path().join("secret")).open("a", Patience::Patient).expect("open").is_none());
    }

    /// A thread exchanges a folder for a link that leaves the root, over and over.
    #[test]
    fn a_race_with_a_link_never_leaves_the_root() {
        use std::sync::atomic::{AtomicBool, Ordering};

        let outer = tree();
        let at = |name: &str| outer.path().join(name);
        std::fs::create_dir_all(at("evil")).expect("folder");
        std::fs::write(at("evil/x"), "secret").expect("file");
        std::fs::create_dir_all(at("root/real")).expect("folder");
        std::fs::write(at("root/real/x"), "public").expect("file");
        symlink("../evil", at("root/link")).expect("link");
        std::fs::rename(at("root/real"), at("root/dir")).expect("rename");
        let (path, stop) = (at("root"), AtomicBool::new(false));
        let root = Root::new(path.clone());
        let folder = open(&path, folder_flags(), Mode::empty()).expect("root");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _ = std::fs::rename(path.join("dir"), path.join("real"));
                    let _ = std::fs::rename(path.join("link"), path.join("dir"));
                    let _ = std::fs::rename(path.join("dir"), path.join("link"));
                    let _ = std::fs::rename(path.join("real"), path.join("dir"));
                }
            });
            let read = |file: File| io::read_to_string(file).expect("read");
            for _ in 0..20_000 {
                if let Ok(Some(opened)) = root.open("dir/x", Patience::Patient) {
                    assert_eq!(read(opened.file), "public");
                }
                if let Ok(Some(opened)) = root.open("dir/x", Patience::AtOnce) {
                    assert_eq!(read(opened.file), "public");
                }
                if let Ok(file) = open_by_name(&folder, &path, "dir/x") {
                    assert_eq!(read(File::from(file)), "public");
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}

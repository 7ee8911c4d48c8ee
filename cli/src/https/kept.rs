//! Keeps the self-signed certificate, so that browsers warn once and not at each start.
//!
//! It is in the user's state folder, `$XDG_STATE_HOME/partyrun/https` or `~/.local/state/partyrun/https`, because it
//! belongs to the machine and not to a project. Key and certificate are in one file, which is written atomically, so
//! they always match. Each set of hosts has its own file, so a machine that moves between two networks keeps both. A
//! file is used again if clients will accept it for at least another month, and if only this user can read it; otherwise
//! it is replaced. If nothing can be kept, the server still starts.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::make::{self, Hosts};
use partyrun_net::Tls;

/// A certificate that ends within this time is made anew.
const LEFT_MIN: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A made file has less than two KiB.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Making one takes milliseconds; whoever holds the lock for longer has been stopped.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(2);

/// A key with its certificate in PEM form, and why it will not be there again, if so.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) pem: String,
    pub(super) problem: Option<std::io::Error>,
}

/// Where certificates are kept; none for a user without a home.
pub(super) fn folder() -> Option<PathBuf> {
    // The specification of these folders ignores relative paths.
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).and_then(absolute);
    let state =
        state.or_else(|| std::env::home_dir().and_then(absolute).map(|home| home.join(".local/state")));
    state.map(|state| state.join("partyrun/https"))
}

/// The kept certificate for these hosts, or a new one that is kept from now on.
pub(super) fn pem(folder: &Path, hosts: &Hosts) -> Result<Kept, rcgen::Error> {
    let path = folder.join(hosts.label()).with_added_extension("pem");
    // A second server that starts now waits for this one's certificate, rather than make another.
    let lock = lock(folder);
    if let Some(pem) = read(&path).filter(|pem| is_good(pem, hosts)) {
        return Ok(Kept { pem, problem: None });
    }
    let pem = make::pem(hosts, make::today())?;
    let problem = lock.and_then(|_held| write(folder, &path, &pem)).err();
    Ok(Kept { pem, problem })
}

// The folder, locked as long as the answer lives.
fn lock(folder: &Path) -> std::io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let file = File::open(folder)?;
    let deadline = Instant::now() + LOCK_WAIT_MAX;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            // File systems without locks exist; what they cost is a question of the browser.
            _ => return Ok(file),
        }
    }
}

// The file's text, if it is a plain one that only this user can read and write.
fn read(path: &Path) -> Option<String> {
    // Neither what a link names nor a pipe's other end is waited for.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    // SAFETY: geteuid takes nothing and cannot fail.
    let user = unsafe { libc::geteuid() };
    if !metadata.is_file() || metadata.uid() != user || metadata.mode() & 0o077 != 0 {
        return None;
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

// Whether key and certificate are a pair that clients will accept for a while.
fn is_good(pem: &str, hosts: &Hosts) -> bool {
    let now = SystemTime::now();
    Tls::from_pem(pem.as_bytes(), pem.as_bytes()).is_ok()
        && Tls::names(pem.as_bytes(), "localhost", hosts.addresses(), &[now, now + LEFT_MIN])
}

// Renaming makes the file appear whole. A temporary file is readable for its owner only.
fn write(folder: &Path, path: &Path, pem: &str) -> std::io::Result<()> {
    let mut draft = tempfile::Builder::new().prefix(".draft").tempfile_in(folder)?;
    draft.write_all(pem.as_bytes())?;
    draft.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use chrono::Days;

    use super::*;

    struct Place {
        _whole: tempfile::TempDir,
        folder: PathBuf,
        hosts: Hosts,
        path: PathBuf,
    }

    impl Place {
        fn new() -> Self {
            let whole = tempfile::tempdir().unwrap();
            let folder = whole.path().join("state/https");
            let path = folder.join("192.0.2.7.pem");
            Self { _whole: whole, folder, hosts: hosts("192.0.2.7"), path }
        }

        fn pem(&self) -> String {
            let kept = pem(&self.folder, &self.hosts).unwrap();
            assert!(kept.problem.is_none(), "{:?}", kept.problem);
            kept.pem
        }

        // The content is not used, and what replaces it is.
        fn replaces(&self, content: &str) {
            std::fs::create_dir_all(&self.folder).unwrap();
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&self.path).unwrap();
            file.write_all(content.as_bytes()).unwrap();
            let made = self.pem();
            assert_ne!(made, content);
            assert_eq!(self.pem(), made);
        }
    }

    fn hosts(address: &str) -> Hosts {
        Hosts::of(address.parse().unwrap())
    }

    #[test]
    fn a_certificate_is_made_once_and_only_its_owner_reads_it() {
        let place = Place::new();
        let made = place.pem();
        assert_eq!(place.pem(), made);
        assert_eq!(std::fs::read_to_string(&place.path).unwrap(), made);
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!((mode(&place.path), mode(&place.folder)), (0o600, 0o700));
        let other = pem(&place.folder, &hosts("127.0.0.1")).unwrap().pem;
        assert_ne!(other, made);
        assert_eq!(std::fs::read_to_string(place.folder.join("localhost.pem")).unwrap(), other);
        assert_eq!(place.pem(), made);
        assert_eq!(std::fs::read_dir(&place.folder).unwrap().count(), 2, "nothing else is left behind");
    }

    #[test]
    fn what_clients_would_not_accept_is_replaced() {
        let place = Place::new();
        let today = make::today();
        let of_day = |day| make::pem(&place.hosts, day).unwrap();
        // It ends within the month, has ended, or has not begun.
        place.replaces(&of_day(today - Days::new(make::VALID_DAYS - 29)));
        place.replaces(&of_day(today - Days::new(make::VALID_DAYS + 1)));
        place.replaces(&of_day(today + Days::new(3)));
        place.replaces(&make::pem(&hosts("192.0.2.8"), today).unwrap());
        let month = of_day(today - Days::new(make::VALID_DAYS - 32));
        std::fs::write(&place.path, &month).unwrap();
        assert_eq!(place.pem(), month);
    }

    #[test]
    fn what_is_no_key_with_its_certificate_is_replaced() {
        let place = Place::new();
        let whole = make::pem(&place.hosts, make::today()).unwrap();
        for end in [0, 1, 40, whole.len() / 3, whole.len() / 2, whole.len() - 40] {
            place.replaces(&whole[..end]);
        }
        let certificate = whole.find("-----BEGIN CERTIFICATE").unwrap();
        let other = make::pem(&place.hosts, make::today()).unwrap();
        let other_certificate = other.find("-----BEGIN CERTIFICATE").unwrap();
        place.replaces(&format!("{}{}", &whole[..certificate], &other[other_certificate..]));
        place.replaces(&whole[certificate..]);
        place.replaces(&whole.replace("BEGIN PRIVATE", "BEGIN PUBLIC"));
        place.replaces(&format!("{}{whole}", " \n".repeat(64 * 1024)));
        std::fs::write(&place.path, [0xff, 0xfe, 0]).unwrap();
        place.pem();
        place.replaces(&"-----BEGIN CERTIFICATE-----\n".repeat(1000));
    }

    #[test]
    fn what_others_may_have_read_or_put_there_is_replaced() {
        let place = Place::new();
        let first = place.pem();
        for mode in [0o644, 0o640, 0o602] {
            let before = place.pem();
            std::fs::set_permissions(&place.path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_ne!(place.pem(), before);
            assert_eq!(place.path.metadata().unwrap().mode() & 0o777, 0o600);
        }
        let elsewhere = place.folder.with_file_name("elsewhere.pem");
        std::fs::write(&elsewhere, &first).unwrap();
        std::fs::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::remove_file(&place.path).unwrap();
        symlink(&elsewhere, &place.path).unwrap();
        assert_ne!(place.pem(), first);
        assert!(!place.path.is_symlink());
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), first, "what the link named is left alone");
        std::fs::remove_file(&place.path).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(&place.path).status().unwrap();
        assert!(pipe.success());
        place.pem();
        assert!(place.path.is_file());
    }

    #[test]
    fn where_nothing_can_be_kept_there_is_one_all_the_same() {
        let place = Place::new();
        std::fs::create_dir_all(place.path.join("inside")).unwrap();
        let kept = pem(&place.folder, &place.hosts).unwrap();
        assert!(is_good(&kept.pem, &place.hosts));
        assert!(kept.problem.is_some());
        assert_eq!(std::fs::read_dir(&place.folder).unwrap().count(), 1, "the draft is gone");
        let file = place.folder.join("file");
        std::fs::write(&file, "").unwrap();
        let kept = pem(&file.join("https"), &place.hosts).unwrap();
        assert!(is_good(&kept.pem, &place.hosts));
        assert_eq!(kept.problem.unwrap().kind(), std::io::ErrorKind::NotADirectory);
    }

    #[test]
    fn servers_that_start_together_have_one_certificate() {
        let place = Place::new();
        for round in 0..20 {
            let made: Vec<String> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| place.pem())).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(made.iter().all(|pem| *pem == made[0]));
            assert_eq!(place.pem(), made[0]);
            // The next round begins with nothing, or with what must be replaced.
            if round % 2 == 0 {
                std::fs::remove_file(&place.path).unwrap();
            } else {
                std::fs::write(&place.path, "").unwrap();
            }
        }
    }

    #[test]
    fn a_lock_that_nobody_gives_back_holds_up_no_start_for_long() {
        let place = Place::new();
        let made = place.pem();
        let held = File::open(&place.folder).unwrap();
        held.lock().unwrap();
        assert_eq!(place.pem(), made);
    }
}

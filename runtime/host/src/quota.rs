//! What a project's process may use: limits of the kernel that are set before its program starts, a control group where the
//! system grants one, and a user of its own where the host runs as root.
//!
//! Without control groups (version 2, with the controllers `memory` and `cpu`) memory and CPU time are held by looking: the host
//! reads what each process uses, ends one that uses more memory than it may, and lowers the priority of one that uses more
//! CPU time than its share.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use partyrun_limits::Limits;

/// Where version 2 of control groups is.
const ROOT: &str = "/sys/fs/cgroup";
/// The period of the CPU share, as the kernel has it, in microseconds.
const PERIOD_US: u64 = 100_000;
/// The first user of projects; each has one of its own.
pub(crate) const UID_BASE: u32 = 700_000;

/// What one process may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quota {
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// Cores.
    pub(crate) cores: f64,
    /// Descriptors.
    pub(crate) descriptors: u64,
    /// Bytes that are stored, in one file and in all.
    pub(crate) storage: u64,
}

impl Quota {
    /// What the limits say.
    pub(crate) fn new(limits: &Limits) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        #[allow(clippy::cast_precision_loss, reason = "no machine has so many cores")]
        let cores = cores as f64 * limits.host_cpu_share_max;
        Self {
            memory: limits.host_memory_bytes_max as u64,
            cores,
            descriptors: limits.host_descriptors_max as u64,
            storage: limits.host_storage_bytes_max as u64,
        }
    }
}

/// The control groups of this host, if the system grants them.
#[derive(Clone, Debug)]
pub(crate) struct Groups(PathBuf);

impl Groups {
    /// The group in which projects get theirs: below the one that this process is in.
    pub(crate) fn find() -> Option<Self> {
        let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        Self::below(&Path::new(ROOT).join(own.trim_start_matches('/')))
    }

    /// As [`Groups::find`], in a folder.
    pub(crate) fn below(own: &Path) -> Option<Self> {
        let controllers = std::fs::read_to_string(own.join("cgroup.controllers")).ok()?;
        let has = |name: &str| controllers.split_whitespace().any(|found| found == name);
        if !has("memory") || !has("cpu") {
            return None;
        }
        // A group with processes of its own gives none of its controllers to groups below: the host moves into a leaf.
        let leaf = own.join("host");
        std::fs::create_dir_all(&leaf).ok()?;
        std::fs::write(leaf.join("cgroup.procs"), std::process::id().to_string()).ok()?;
        std::fs::write(own.join("cgroup.subtree_control"), "+memory +cpu").ok()?;
        Some(Self(own.to_owned()))
    }

    /// The group of a project, with what it may use. Whoever writes `0` into the file is in it.
    pub(crate) fn group(&self, name: &str, quota: &Quota) -> std::io::Result<std::fs::File> {
        let group = self.0.join(format!("project-{name}"));
        std::fs::create_dir_all(&group)?;
        std::fs::write(group.join("memory.max"), quota.memory.to_string())?;
        // Without swap that rule is kept by ending what is in the group, and only that.
        let _no_swap = std::fs::write(group.join("memory.swap.max"), "0");
        let _together = std::fs::write(group.join("memory.oom.group"), "1");
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of microseconds"
        )]
        let share = (quota.cores * PERIOD_US as f64) as u64;
        std::fs::write(group.join("cpu.max"), format!("{} {PERIOD_US}", share.max(1000)))?;
        std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(group.join("cgroup.procs"))
    }
}

/// Whether processes can be given users of their own: by root with its rights, who is not the only user that there is.
pub(crate) fn has_users() -> bool {
    // Changing owners, groups and users: CAP_CHOWN, CAP_SETGID and CAP_SETUID.
    const RIGHTS: u64 = 1 | 1 << 6 | 1 << 7;
    const USERS: u64 = 65_536;
    let text = |file: &str| std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let rights = text("status")
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    let is_mapped = text("uid_map").lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let last = u64::from(UID_BASE) + USERS;
        matches!(numbers.as_slice(), [first, _, count] if *first <= u64::from(UID_BASE) && last <= first + count)
    });
    rights.is_some_and(|rights| rights & RIGHTS == RIGHTS) && is_mapped
}

/// What the child sets of itself between fork and exec. Calls nothing but system calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) quota: Quota,
    /// Its own user and group.
    pub(crate) uid: Option<u32>,
    /// The control group's file.
    pub(crate) group: Option<i32>,
}

impl Bounds {
    /// Sets them. Only async-signal-safe calls are made.
    pub(crate) fn apply(self) -> std::io::Result<()> {
        let done = |result: i32| if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) };
        let limit = |resource, value: u64| {
            let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
            // SAFETY: the pointer is to a live `rlimit`, which the call only reads.
            done(unsafe { libc::setrlimit(resource, &raw const limit) })
        };
        if let Some(group) = self.group {
            // SAFETY: the descriptor is open, and the pointer is to one byte.
            if unsafe { libc::write(group, c"0".as_ptr().cast(), 1) } != 1 {
                return Err(std::io::Error::last_os_error());
            }
        }
        limit(libc::RLIMIT_FSIZE, self.quota.storage)?;
        limit(libc::RLIMIT_CORE, 0)?;
        // An unprivileged host cannot raise what it has.
        let mut own = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the pointer is to a live `rlimit`, which the call only fills.
        done(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut own) })?;
        limit(libc::RLIMIT_NOFILE, self.quota.descriptors.min(own.rlim_max))?;
        // SAFETY: integers only. A file that is too long is then an error of the write, as a full disk is.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        if let Some(uid) = self.uid {
            // SAFETY: integers and a null pointer with the length 0.
            done(unsafe { libc::setgroups(0, std::ptr::null()) })?;
            // SAFETY: integers.
            done(unsafe { libc::setresgid(uid, uid, uid) })?;
            // SAFETY: integers.
            done(unsafe { libc::setresuid(uid, uid, uid) })?;
        }
        // SAFETY: integers.
        done(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
    }
}

/// What a process uses now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) memory: u64,
    pub(crate) cpu: Duration,
}

/// Looks at a process; none if it is gone.
pub(crate) fn used(process: u32) -> Option<Used> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program may have spaces and brackets.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // SAFETY: both take an integer.
    let (ticks, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
    let (ticks, page) = (u64::try_from(ticks).ok()?.max(1), u64::try_from(page).ok()?);
    let cpu = Duration::from_millis((number(11)? + number(12)?) * 1000 / ticks);
    Some(Used { memory: number(21)? * page, cpu })
}

/// Lowers a process's priority, or sets it back.
pub(crate) fn set_priority(process: u32, low: bool) {
    const LOWEST: i32 = 19;
    for task in std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
        let Some(task) = task.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // SAFETY: integers. Only root may raise a priority again; without that it stays low until the process ends.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, task, if low { LOWEST } else { 0 }) };
    }
}

/// The bytes that a folder's files take on the disk.
pub(crate) fn stored(folder: &Path) -> u64 {
    const BLOCK: u64 = 512;
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        // Links are counted, not followed.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += metadata.blocks() * BLOCK;
        if metadata.is_dir() {
            bytes += stored(&entry.path());
        }
    }
    bytes
}

/// Gives a folder and all in it to a user.
pub(crate) fn give(path: &Path, uid: u32) -> std::io::Result<()> {
    std::os::unix::fs::lchown(path, Some(uid), Some(uid))?;
    if path.symlink_metadata()?.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path(), uid)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_holds_memory_and_cpu() {
        let folder = tempfile::tempdir().unwrap();
        let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
        assert!(Groups::below(folder.path()).is_none(), "no version 2");
        std::fs::write(folder.path().join("cgroup.controllers"), "cpuset io").unwrap();
        assert!(Groups::below(folder.path()).is_none(), "without the controllers");
        std::fs::write(folder.path().join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
        let groups = Groups::below(folder.path()).unwrap();
        assert_eq!(read("cgroup.subtree_control"), "+memory +cpu");
        let quota = Quota { memory: 1 << 28, cores: 0.5, descriptors: 100, storage: 1 << 20 };
        groups.group("chat", &quota).unwrap();
        assert_eq!(read("project-chat/memory.max"), (1 << 28).to_string());
        assert_eq!(read("project-chat/cpu.max"), "50000 100000");
    }

    #[test]
    fn this_process_uses_something() {
        let used = used(std::process::id()).unwrap();
        assert!(used.memory > 1 << 20, "{used:?}");
        assert!(super::used(u32::MAX).is_none());
    }

    #[test]
    fn a_quota_follows_the_limits() {
        let mut limits = Limits::default();
        let set = [
            ("host_memory_bytes_max", "100MiB"),
            ("host_cpu_share_max", "0.5"),
            ("host_descriptors_max", "77"),
            ("host_storage_bytes_max", "1MiB"),
        ];
        set.iter().for_each(|(name, value)| limits.set(name, value).unwrap());
        let quota = Quota::new(&limits);
        assert_eq!((quota.memory, quota.descriptors, quota.storage), (100 << 20, 77, 1 << 20));
        assert!(quota.cores > 0.0);
    }

    #[test]
    fn folders_are_measured() {
        let folder = tempfile::tempdir().unwrap();
        let before = stored(folder.path());
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("in/file"), vec![1; 100_000]).unwrap();
        assert!(stored(folder.path()) >= before + 100_000);
    }
}

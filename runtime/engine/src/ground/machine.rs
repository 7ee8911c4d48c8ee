//! How much memory the process may use, and how much it uses.
//!
//! Several things bound memory at once: the machine, each control group around the process (version 1 or 2, nested), and the
//! address space. For each bound two numbers matter: what this process uses, and what is left for anybody. The bound with the
//! highest share of used memory counts. The kernel's file cache counts as free, because the kernel can take it back at once.

use std::path::{Path, PathBuf};

/// Version 1 writes a number near this for "no limit".
const NO_LIMIT_FROM: u64 = 1 << 60;
const KIB: u64 = 1024;

/// What the process has of one bound, and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// What sets it, in words.
    pub(crate) name: String,
    /// Bytes that this process has taken.
    pub(crate) own: u64,
    /// Bytes that nobody has taken.
    pub(crate) left: u64,
}

impl Bound {
    /// All that the process could have, in bytes.
    pub(crate) fn total(&self) -> u64 {
        self.own.saturating_add(self.left).max(1)
    }

    /// The share that it has once it has taken `more` bytes.
    pub(crate) fn share_with(&self, more: u64) -> f64 {
        self.own.saturating_add(more) as f64 / self.total() as f64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// One control group that bounds the process: its own, or one around it.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    version: Version,
    folder: PathBuf,
}

/// Where to look.
#[derive(Debug)]
pub(crate) struct Machine {
    root: PathBuf,
    groups: Vec<Group>,
}

impl Machine {
    /// The machine that the process runs on.
    pub(crate) fn here() -> Self {
        Self::at(Path::new("/"))
    }

    /// One whose files stand below `root`.
    fn at(root: &Path) -> Self {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let groups = groups(root, &text("proc/self/cgroup"), &text("proc/self/mountinfo"));
        Self { root: root.to_path_buf(), groups }
    }

    /// The bound of which least is left; none where nothing can be read.
    pub(crate) fn tightest(&self) -> Option<Bound> {
        let statm = self.text("proc/self/statm")?;
        let page = page_bytes();
        let mut pages = statm.split_whitespace().map_while(|number| number.parse::<u64>().ok());
        let (size, resident, shared) = (pages.next()?, pages.next()?, pages.next()?);
        let own = resident.saturating_sub(shared).saturating_mul(page);
        let bounds = [self.machine(own), address_space(size.saturating_mul(page))].into_iter().flatten();
        let groups = self.groups.iter().filter_map(|group| group.bound(own));
        bounds.chain(groups).max_by(|a, b| a.share_with(0).total_cmp(&b.share_with(0)))
    }

    fn text(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(path)).ok()
    }

    fn machine(&self, own: u64) -> Option<Bound> {
        let text = self.text("proc/meminfo")?;
        let available = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        let left = available.split_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(KIB);
        Some(Bound { name: "the machine's memory".to_string(), own, left })
    }
}

impl Group {
    fn bound(&self, own: u64) -> Option<Bound> {
        let number = |file: &str| {
            let text = std::fs::read_to_string(self.folder.join(file)).ok()?;
            text.trim().parse::<u64>().ok().filter(|number| *number < NO_LIMIT_FROM)
        };
        let (max, used, inactive, active) = match self.version {
            Version::Two => {
                let max = number("memory.max").into_iter().chain(number("memory.high")).min()?;
                (max, number("memory.current")?, "inactive_file", "active_file")
            }
            Version::One => {
                let used = number("memory.usage_in_bytes")?;
                (number("memory.limit_in_bytes")?, used, "total_inactive_file", "total_active_file")
            }
        };
        let stat = std::fs::read_to_string(self.folder.join("memory.stat")).unwrap_or_default();
        let of = |name: &str| {
            let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        let taken = used.saturating_sub(of(inactive).saturating_add(of(active)));
        Some(Bound { name: "its control group's memory".to_string(), own, left: max.saturating_sub(taken) })
    }
}

fn address_space(size: u64) -> Option<Bound> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live `rlimit`, which the call only fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) } != 0
        || limit.rlim_cur == libc::RLIM_INFINITY
    {
        return None;
    }
    let left = limit.rlim_cur.saturating_sub(size);
    Some(Bound { name: "its address space (`ulimit -v`)".to_string(), own: size, left })
}

fn page_bytes() -> u64 {
    // SAFETY: the call has no precondition.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

// The groups of `/proc/self/cgroup` that bound memory, as far as they are mounted, with those around them.
fn groups(root: &Path, memberships: &str, mounts: &str) -> Vec<Group> {
    let mut found = Vec::new();
    for membership in memberships.lines() {
        let mut parts = membership.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let version = match controllers {
            "" => Version::Two,
            list if list.split(',').any(|controller| controller == "memory") => Version::One,
            _ => continue,
        };
        let Some((mount_root, mount_point)) = mounts.lines().find_map(|mount| mounted(mount, version)) else {
            continue;
        };
        // A container sees its own group at the mount itself, whatever the path outside of it is.
        let inside = path.strip_prefix(mount_root.trim_end_matches('/')).unwrap_or("");
        let top = root.join(mount_point.trim_start_matches('/'));
        let mut folder = top.join(inside.trim_start_matches('/'));
        if !folder.is_dir() || inside.contains("/..") {
            folder = top.clone();
        }
        loop {
            found.push(Group { version, folder: folder.clone() });
            if folder == top || !folder.pop() {
                break;
            }
        }
    }
    found
}

// The root and the mount point of a line of `/proc/self/mountinfo`, if it mounts the memory controller of `version`.
fn mounted(line: &str, version: Version) -> Option<(&str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let mut kind = after.split(' ');
    let fits = match version {
        Version::Two => kind.next()? == "cgroup2",
        Version::One => {
            kind.next()? == "cgroup" && kind.nth(1)?.split(',').any(|controller| controller == "memory")
        }
    };
    let mut fields = before.split(' ').skip(3);
    fits.then_some((fields.next()?, fields.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    struct Files(tempfile::TempDir);

    impl Files {
        fn new(files: &[(&str, &str)]) -> Self {
            let this = Self(tempfile::tempdir().unwrap());
            // 100 MiB of the process' own on pages of 4 KiB, 20 MiB of files beside it.
            let pages = |mib: u64| mib * MIB / page_bytes();
            this.write("proc/self/statm", &format!("{} {} {} 1 0 1 0", pages(9000), pages(120), pages(20)));
            this.write("proc/meminfo", "MemTotal: 8192000 kB\nMemAvailable:  1024000 kB\n");
            files.iter().for_each(|(path, text)| this.write(path, text));
            this
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn tightest(&self) -> (u64, u64, bool) {
            let bound = Machine::at(self.0.path()).tightest().unwrap();
            (bound.own / MIB, bound.left / MIB, bound.name.contains("group"))
        }
    }

    const V2_MOUNT: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn without_groups_the_machine_counts() {
        assert_eq!(Files::new(&[]).tightest(), (100, 1000, false));
        let unlimited = Files::new(&[
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/memory.max", "max\n"),
            ("sys/fs/cgroup/memory.high", "max\n"),
            ("sys/fs/cgroup/memory.current", "1000\n"),
        ]);
        assert_eq!(unlimited.tightest(), (100, 1000, false));
    }

    #[test]
    fn the_tightest_group_around_the_process_counts() {
        let (max, used, files) = ((512 * MIB).to_string(), (300 * MIB).to_string(), 80 * MIB);
        let stat = format!("anon 1\ninactive_file {files}\nactive_file {files}\n");
        let nested = Files::new(&[
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/outer/memory.max", &max),
            ("sys/fs/cgroup/outer/memory.high", "max\n"),
            ("sys/fs/cgroup/outer/memory.current", &used),
            ("sys/fs/cgroup/outer/memory.stat", &stat),
            ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
            ("sys/fs/cgroup/outer/inner/memory.current", &used),
        ]);
        assert_eq!(nested.tightest(), (100, 512 - 300 + 160, true));
        nested.write("sys/fs/cgroup/outer/inner/memory.high", &(400 * MIB).to_string());
        assert_eq!(nested.tightest(), (100, 100, true), "`memory.high` bounds too");
    }

    #[test]
    fn groups_of_version_1_count() {
        let (max, used) = ((512 * MIB).to_string(), (300 * MIB).to_string());
        let mount = "33 31 0:33 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let files = Files::new(&[
            ("proc/self/cgroup", "4:cpu:/x\n3:memory,hugetlb:/docker/abc\n0::/\n"),
            ("proc/self/mountinfo", mount),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", &max),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", &used),
            ("sys/fs/cgroup/memory/memory.stat", &format!("total_inactive_file {}\n", 20 * MIB)),
        ]);
        assert_eq!(files.tightest(), (100, 512 - 300 + 20, true));
        files.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(files.tightest(), (100, 1000, false), "that is no limit");
    }

    #[test]
    fn a_group_that_is_not_mounted_is_looked_for_at_the_mount() {
        let files = Files::new(&[
            ("proc/self/cgroup", "0::/machine/seen/from/outside\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/memory.max", &(64 * MIB).to_string()),
            ("sys/fs/cgroup/memory.current", &(60 * MIB).to_string()),
        ]);
        assert_eq!(files.tightest(), (100, 4, true));
    }

    #[test]
    fn the_process_of_this_test_can_be_read() {
        let bound = Machine::here().tightest().unwrap();
        assert!(bound.own > 0 && bound.share_with(0) <= 1.0, "{bound:?}");
        assert!(bound.share_with(bound.left) > 0.99, "{bound:?}");
    }
}

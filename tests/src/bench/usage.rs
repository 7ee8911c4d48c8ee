//! What processes have used, read from `/proc`: CPU time and memory of a server with all its children, and how busy the
//! calling thread was.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

/// A process with all that descend from it, as they are now.
pub fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Some(parent) = stat(pid).and_then(|fields| fields.get(1)?.parse().ok()) else { continue };
        children.entry(parent).or_default().push(pid);
    }
    let mut all = vec![root];
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        all.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    all
}

// The fields of `/proc/PID/stat` behind the command's name, which may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// CPU time, user and system, that the processes of a tree have used.
pub fn cpu(root: u32) -> Duration {
    // SAFETY: sysconf has no precondition.
    let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
    let ticks = |pid: u32| {
        let fields = stat(pid)?;
        let field = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(field(11)? + field(12)?)
    };
    let total: u64 = tree(root).into_iter().filter_map(ticks).sum();
    Duration::from_secs_f64(total as f64 / ticks_per_second)
}

/// Memory of a tree in bytes: what is shared between processes counts once, in parts (PSS).
pub fn memory_bytes(root: u32) -> u64 {
    let of_one = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
    };
    tree(root).into_iter().filter_map(of_one).sum()
}

/// How busy the calling thread was since this value was made.
pub struct Busy {
    began: Instant,
    ran_before: u64,
    waited_before: u64,
}

impl Busy {
    /// Starts looking.
    pub fn start() -> Self {
        let (ran_before, waited_before) = schedule();
        Self { began: Instant::now(), ran_before, waited_before }
    }

    /// The share of its time that the thread ran, not counting the time in which it waited for a core.
    pub fn share(&self) -> f64 {
        let (ran, waited) = schedule();
        let ran = ran.saturating_sub(self.ran_before) as f64;
        let waited = waited.saturating_sub(self.waited_before) as f64;
        let wall = self.began.elapsed().as_nanos() as f64;
        (ran / (wall - waited).max(1.0)).min(1.0)
    }
}

// Nanoseconds on a core, and nanoseconds waiting for one.
fn schedule() -> (u64, u64) {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let mut fields = text.split_whitespace().map(|field| field.parse().unwrap_or(0));
    (fields.next().unwrap_or(0), fields.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spinning_process_is_seen() {
        let own = std::process::id();
        let (before, busy) = (cpu(own), Busy::start());
        let began = Instant::now();
        while cpu(own) - before < Duration::from_millis(100) {
            assert!(began.elapsed() < Duration::from_secs(30), "no CPU time was counted");
        }
        assert!(busy.share() > 0.5, "{}", busy.share());
        assert!(memory_bytes(own) > 100_000);
        assert!(tree(own).contains(&own));
    }

    #[test]
    fn children_belong_to_the_tree() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let seen = tree(std::process::id()).contains(&child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen);
    }
}

//! What the operating system knows of the process (`process_...`), by the names that Prometheus' own libraries use.

use std::fs;

/// What is known now, each by its name.
pub(crate) fn values() -> Vec<(&'static str, f64)> {
    let mut values = Vec::new();
    if let Some(cpu) = cpu_seconds() {
        values.push(("process_cpu_seconds_total", cpu));
    }
    if let Ok(stat) = fs::read_to_string("/proc/self/stat")
        && let Some(stat) = Stat::read(&stat)
    {
        let page = constant(libc::_SC_PAGESIZE).unwrap_or(4096);
        values.push(("process_virtual_memory_bytes", stat.virtual_bytes as f64));
        values.push(("process_resident_memory_bytes", stat.resident_pages.saturating_mul(page) as f64));
        values.push(("process_threads", stat.threads as f64));
        if let (Some(boot), Some(ticks)) = (boot_seconds(), constant(libc::_SC_CLK_TCK)) {
            let started = boot as f64 + stat.started_ticks as f64 / ticks.max(1) as f64;
            values.push(("process_start_time_seconds", started));
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One is that of the folder itself.
        values.push(("process_open_fds", open.count().saturating_sub(1) as f64));
    }
    if let Some(max) = descriptors_max() {
        values.push(("process_max_fds", max as f64));
    }
    values
}

/// CPU time of the process.
pub(crate) fn cpu_seconds() -> Option<f64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    (failed == 0).then(|| time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

fn descriptors_max() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    (failed == 0).then_some(limit.rlim_cur)
}

fn constant(name: libc::c_int) -> Option<u64> {
    // SAFETY: the call has no conditions.
    u64::try_from(unsafe { libc::sysconf(name) }).ok()
}

fn boot_seconds() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    threads: u64,
    started_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    // A line of /proc/PID/stat. The second field is the program's name, which may hold anything, brackets and spaces included.
    fn read(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The first of these is the third field of the line.
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Self {
            threads: field(20)?,
            started_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_moves_no_field() {
        let text = "7 (a) b) S 1 7 7 0 -1 4194560 9 0 0 0 1 2 0 0 20 0 5 0 777 4096000 250 184467";
        let stat = Stat { threads: 5, started_ticks: 777, virtual_bytes: 4_096_000, resident_pages: 250 };
        assert_eq!(Stat::read(text), Some(stat));
        assert_eq!(Stat::read("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_seen() {
        let values = values();
        let value = |name: &str| values.iter().find(|(known, _)| *known == name).unwrap().1;
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") > 0.0 && value("process_open_fds") <= value("process_max_fds"));
        assert!(value("process_threads") >= 1.0);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let started = value("process_start_time_seconds");
        assert!(started > now - 86_400.0 && started < now + 5.0, "{started} {now}");
    }
}

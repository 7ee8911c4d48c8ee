//! How many connections the process can hold open at all: the limit of file descriptors.

/// Descriptors kept back for databases, files and outgoing requests.
const RESERVED: u64 = 64;

/// Raises the soft limit of descriptors to the hard one and returns it. The server calls it once at its start.
pub fn raise_descriptor_limit() -> u64 {
    let (soft, hard) = limits();
    if soft < hard {
        let wanted = libc::rlimit { rlim_cur: hard, rlim_max: hard };
        // SAFETY: the pointer is to a live `rlimit`, which the call only reads.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0 {
            return hard;
        }
    }
    soft
}

/// Connections that leave enough descriptors for everything else.
pub(super) fn connections_possible() -> usize {
    let (soft, _) = limits();
    let reserved = RESERVED.min(soft / 4);
    usize::try_from(soft - reserved).unwrap_or(usize::MAX)
}

/// How many connections may be open twice for a moment, on their way from one thread to another: half of what is free.
pub fn connections_possible_twice() -> usize {
    // Where nobody says how many are open, none are free.
    let open = std::fs::read_dir("/proc/self/fd").map_or(usize::MAX, Iterator::count);
    connections_possible().saturating_sub(open) / 2
}

fn limits() -> (u64, u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live `rlimit`, which the call only fills.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } {
        0 => (limit.rlim_cur, limit.rlim_max),
        _ => (1024, 1024),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn some_descriptors_stay_reserved() {
        let soft = super::raise_descriptor_limit();
        let possible = super::connections_possible() as u64;
        assert!(possible < soft && possible >= soft / 2);
    }
}

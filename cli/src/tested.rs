//! A server that a test has started, with `--test-clock`: its clock can be moved, and it ends with the test's process, however that
//! ends.

use std::os::unix::process::parent_id;
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Makes this process one that belongs to a test. Called before anything has asked for the time.
pub(crate) fn begin() {
    partyrun_clock::make_movable();
    let parent = parent_id();
    let watch = move || {
        while parent_id() == parent {
            std::thread::sleep(LOOK_EVERY);
        }
        std::process::exit(1);
    };
    // Without the thread a test that is killed leaves a server behind, and nothing worse.
    let _started = std::thread::Builder::new().name("parent".to_string()).spawn(watch);
}

//! Runs `warm.js` while the snapshot is built. The script is read when that happens: a change of it compiles nothing.

use deno_core::JsRuntimeForSnapshot;

/// Lets a room live, leave and be forgotten. `ops` are the names of partyrun's own ops. What goes wrong is a warning of
/// the build and a failing test of this crate: rooms work without, they are slower at first.
pub(crate) fn warm(runtime: &mut JsRuntimeForSnapshot, script: &str, ops: &[&str]) {
    let live = format!("__warm.live({ops:?})");
    let mut is_warm = true;
    for source in [script.to_string(), live, "__warm.events()".to_string(), "__warm.leave()".to_string()] {
        if let Err(error) = runtime.execute_script("warm.js", source) {
            is_warm = false;
            println!("cargo:warning=warm.js: {}", error.to_string().replace('\n', " "));
        }
        // Handlers that await go on here.
        deno_core::scope!(scope, runtime);
        scope.perform_microtask_checkpoint();
    }
    println!("cargo:rustc-env=SNAPSHOT_IS_WARM={is_warm}");
}

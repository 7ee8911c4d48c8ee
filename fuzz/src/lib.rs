//! What fuzzing tries: each module reads hostile bytes with one of our parsers and checks what must hold for any input.
//! Programs in `fuzz_targets/` hand them over from libFuzzer; `cargo test` in this folder runs what is kept in `corpus/`.
//!
//! Nothing here links V8. Parsers that live in a crate with V8, or that are private, are compiled from their own files.

#![allow(
    dead_code,
    unused_imports,
    reason = "of the files that are compiled here, only the parsers are used"
)]

// What is compiled here from its own file counts limits by this name; fuzzing has nobody to tell.
extern crate self as partyrun_telemetry;

/// Counts nothing.
#[macro_export]
macro_rules! limit_hit {
    ($limit:ident) => {};
}

mod build;
#[path = "../../runtime/net/src/close.rs"]
mod close;
pub mod config;
#[path = "../../runtime/net/src/deflate/mod.rs"]
mod deflate;
pub mod dotenv;
mod error;
pub mod frames;
pub mod heads;
pub mod release;
pub mod rewriter;
pub mod source_maps;
pub mod streams;
pub mod urls;

#[cfg(test)]
mod tests {
    fn each(target: &str, run: fn(&[u8])) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            run(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{target} has no corpus");
    }

    #[test]
    fn the_corpora_pass() {
        each("config", crate::config::run);
        each("dotenv", crate::dotenv::run);
        each("frames", crate::frames::run);
        each("heads", crate::heads::run);
        each("release", crate::release::run);
        each("rewriter", crate::rewriter::run);
        each("source_maps", crate::source_maps::run);
        each("streams", crate::streams::run);
        each("urls", crate::urls::run);
    }
}

//! See `src/rewriter.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| partyrun_fuzz::rewriter::run(bytes));

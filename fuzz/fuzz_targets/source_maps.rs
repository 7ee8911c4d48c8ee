//! See `src/source_maps.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| partyrun_fuzz::source_maps::run(bytes));

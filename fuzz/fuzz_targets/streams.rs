//! One target of `cargo fuzz`: gives its bytes to the code in `src/streams.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| partyrun_fuzz::streams::run(bytes));

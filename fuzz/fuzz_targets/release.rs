//! One target of `cargo fuzz`: gives its bytes to the code in `src/release.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| partyrun_fuzz::release::run(bytes));

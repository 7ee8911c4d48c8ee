//! One target of `cargo fuzz`: gives its bytes to the code in `src/urls.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| partyrun_fuzz::urls::run(bytes));

//! `THIRD-PARTY` names what `Cargo.lock` links, with every licence.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of tests that panics has failed its test"
)]

use std::path::Path;

use partyrun_tests::third_party;

#[test]
fn the_file_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = root.join("THIRD-PARTY");
    let text = third_party::text(root).unwrap();
    if std::env::var_os("PARTYRUN_WRITE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let different = kept.lines().zip(text.lines()).position(|(kept, made)| kept != made);
    assert!(
        kept == text,
        "THIRD-PARTY is old (line {}): run PARTYRUN_WRITE_DOCS=1 cargo test --release --test third_party",
        different.unwrap_or_else(|| kept.lines().count().min(text.lines().count())) + 1
    );
}

#[test]
fn what_must_be_named_is_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join("THIRD-PARTY")).unwrap();
    for part in [
        "\ndeno_core ",
        "\nrolldown ",
        "\nlibsqlite3-sys ",
        "\nrustls ",
        "Copyright 2014, the V8 project authors",
        "UNICODE LICENSE V3",
        "LLVM Exceptions to the Apache 2.0 License",
        "GNU LESSER GENERAL PUBLIC LICENSE",
        "Copyright Node.js contributors",
        "Mozilla Public License",
        "Copyright (c) 2015-present Jason Miller",
        "Copyright (c) 2022 Leon Sorokin",
    ] {
        assert!(text.contains(part), "{part}");
    }
    // Tools of the build and the tests are not shipped.
    for other in ["\nbindgen ", "\nserde_derive ", "\npartyrun_tests "] {
        assert!(!text.contains(other), "{other}");
    }
}

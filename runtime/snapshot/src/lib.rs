//! The startup snapshot as bytes, and the scripts that it does not hold.
//!
//! All isolates of a process start from this one snapshot, because V8's read-only heap is shared between them and decided
//! by the first (design, section 3). The build script makes it from `partyrun_extensions`.

/// The snapshot that every isolate starts from.
pub static SNAPSHOT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/snapshot.bin"));

/// Scripts that an isolate loads when they are first needed: (specifier, source).
pub static RESIDUAL_SCRIPTS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/residual.rs"));

#[cfg(test)]
mod tests {
    #[test]
    fn the_snapshot_is_warm() {
        assert_eq!(env!("SNAPSHOT_IS_WARM"), "true", "the build's warnings say why");
    }
}

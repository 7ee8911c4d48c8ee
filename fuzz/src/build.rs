//! What the manifest of a release names of `cli/src/build.rs`.

/// The parts of a release.
pub(crate) struct Parts {
    pub(crate) parties: Vec<String>,
    pub(crate) wasm: Vec<Vec<u8>>,
    pub(crate) binaries: Vec<Vec<u8>>,
}

//! `partyrun licenses`: the licence of partyrun and those of everything that is linked into it, as in the files `LICENSE` and
//! `THIRD-PARTY`. The build script packs them.

use std::io::Result;

const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/licenses.gz"));

/// Prints to stdout.
pub(crate) fn print() -> Result<()> {
    crate::stdout::print(flate2::read::GzDecoder::new(PACKED))
}

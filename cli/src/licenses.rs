//! `partyrun licenses`: the licence of partyrun and those of everything that is linked into it, as in the files `LICENSE` and
//! `THIRD-PARTY`. The build script packs them.

use std::io::{ErrorKind, Result, stdout};

const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/licenses.gz"));

/// Prints to stdout. A closed pipe (`partyrun licenses | head`) is no error.
pub(crate) fn print() -> Result<()> {
    match std::io::copy(&mut flate2::read::GzDecoder::new(PACKED), &mut stdout()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.map(|_bytes| ()),
    }
}

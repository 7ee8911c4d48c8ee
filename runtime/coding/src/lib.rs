//! Content codings (RFC 9110, 8.4) for whoever answers: which one a client prefers, which content is worth it, and bytes on their
//! way through one.
//!
//! Knows nothing of messages: `net/negotiation.rs` decides for answers of code, and `assets/lookup.rs` for files.

mod accept;
mod coder;
mod types;

use http::{HeaderMap, header};

pub use accept::Accepted;
pub use coder::{Coder, pack};
pub use types::is_compressible;

/// A coding that is packed and unpacked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// `gzip`
    Gzip,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

impl Coding {
    /// The coding of a body whose header fields name it; none if they name none, several, or another one than `gzip` and `br`,
    /// which are those that the original takes off and puts on.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut named = headers.get_all(header::CONTENT_ENCODING).iter();
        let (first, None) = (named.next()?, named.next()) else { return None };
        let name = first.as_bytes().trim_ascii();
        if name.eq_ignore_ascii_case(b"gzip") {
            Some(Self::Gzip)
        } else if name.eq_ignore_ascii_case(b"br") {
            Some(Self::Brotli)
        } else {
            None
        }
    }

    /// The name in `content-encoding`.
    pub fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The extension of a file that was compressed beforehand, which also tells entity tags apart.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gz",
            Self::Zstd => "zst",
        }
    }
}

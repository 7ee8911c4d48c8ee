//! The content codings that are packed and unpacked here (RFC 9110, 8.4): their names, and bytes on their way through one.
//!
//! Knows nothing of messages: `negotiation.rs` decides which body goes through which coding.

use std::fmt;
use std::io::{self, Write};

use brotli::{CompressorWriter, DecompressorWriter};
use bytes::Bytes;
use flate2::write::{GzEncoder, MultiGzDecoder};
use http::{HeaderMap, HeaderValue, header};

const BROTLI_QUALITY: u32 = 4;
const BROTLI_WINDOW_BITS: u32 = 20;
const BROTLI_BUFFER_BYTES: usize = 16 * 1024;

/// A coding that is packed and unpacked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`
    Gzip,
    /// `br`
    Brotli,
}

impl Coding {
    /// The coding that a message's header fields name; none if they name none, several, or another one.
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

    /// Whether a client takes it. One that says nothing takes anything (RFC 9110, 12.5.3).
    pub(crate) fn is_taken(self, accepted: &[HeaderValue]) -> bool {
        let (mut named, mut any) = (None, None);
        for item in accepted.iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b',')) {
            let mut parts = item.split(|&byte| byte == b';');
            let name = parts.next().unwrap_or_default().trim_ascii();
            let refused = parts.any(|part| is_zero(part.trim_ascii()));
            let own = match self {
                Self::Gzip => name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip"),
                Self::Brotli => name.eq_ignore_ascii_case(b"br"),
            };
            if own {
                named = Some(!refused);
            } else if name == b"*" {
                any = Some(!refused);
            }
        }
        accepted.is_empty() || named.or(any).unwrap_or(false)
    }
}

// `q=0`, `q=0.0` and so on.
fn is_zero(parameter: &[u8]) -> bool {
    let Some((b"q" | b"Q", rest)) = parameter.split_at_checked(1) else { return false };
    let Some(weight) = rest.trim_ascii_start().strip_prefix(b"=") else { return false };
    weight.trim_ascii().iter().all(|byte| matches!(byte, b'0' | b'.'))
}

/// A body on its way through a coding.
pub(crate) enum Coder {
    PackGzip(GzEncoder<Vec<u8>>),
    PackBrotli(Box<CompressorWriter<Vec<u8>>>),
    UnpackGzip(MultiGzDecoder<Bounded>),
    UnpackBrotli(Box<DecompressorWriter<Bounded>>),
}

impl fmt::Debug for Coder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PackGzip(_) | Self::PackBrotli(_) => "Pack",
            Self::UnpackGzip(_) | Self::UnpackBrotli(_) => "Unpack",
        })
    }
}

impl Coder {
    /// How much of the input is taken at a time: the length up to which a whole body is packed at once, and of the pieces of a
    /// longer one.
    pub(crate) const PIECE_BYTES: usize = 64 * 1024;

    /// Packs what goes through it.
    pub(crate) fn packing(coding: Coding) -> Self {
        match coding {
            Coding::Gzip => Self::PackGzip(GzEncoder::new(Vec::new(), flate2::Compression::fast())),
            Coding::Brotli => Self::PackBrotli(Box::new(CompressorWriter::new(
                Vec::new(),
                BROTLI_BUFFER_BYTES,
                BROTLI_QUALITY,
                BROTLI_WINDOW_BITS,
            ))),
        }
    }

    /// Unpacks what goes through it; more than `bytes_max` is an error.
    pub(crate) fn unpacking(coding: Coding, bytes_max: usize) -> Self {
        let output = Bounded { bytes: Vec::new(), left: bytes_max, max: bytes_max };
        match coding {
            Coding::Gzip => Self::UnpackGzip(MultiGzDecoder::new(output)),
            Coding::Brotli => {
                Self::UnpackBrotli(Box::new(DecompressorWriter::new(output, BROTLI_BUFFER_BYTES)))
            }
        }
    }

    /// Takes a piece. With `flush` all of it can be read from what has come out so far.
    pub(crate) fn push(&mut self, piece: &[u8], flush: bool) -> io::Result<Bytes> {
        let writer: &mut dyn Write = match self {
            Self::PackGzip(writer) => writer,
            Self::PackBrotli(writer) => writer,
            Self::UnpackGzip(writer) => writer,
            Self::UnpackBrotli(writer) => writer,
        };
        writer.write_all(piece)?;
        if flush {
            writer.flush()?;
        }
        Ok(self.take().into())
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::PackGzip(writer) => writer.get_mut(),
            Self::PackBrotli(writer) => writer.get_mut(),
            Self::UnpackGzip(writer) => &mut writer.get_mut().bytes,
            Self::UnpackBrotli(writer) => &mut writer.get_mut().bytes,
        })
    }

    /// What comes out after the last piece. A body that ended too early is an error.
    pub(crate) fn finish(self) -> io::Result<Bytes> {
        let rest = match self {
            Self::PackGzip(writer) => writer.finish()?,
            Self::PackBrotli(writer) => writer.into_inner(),
            Self::UnpackGzip(writer) => writer.finish()?.bytes,
            Self::UnpackBrotli(mut writer) => {
                writer.close()?;
                std::mem::take(&mut writer.get_mut().bytes)
            }
        };
        Ok(rest.into())
    }
}

/// Bytes that come out of an unpacked body, up to a limit.
pub(crate) struct Bounded {
    bytes: Vec<u8>,
    left: usize,
    max: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or_else(|| {
            let text = format!(
                "the body inflates to more than {} bytes (limit `answer_inflated_bytes_max`)",
                self.max
            );
            io::Error::new(io::ErrorKind::FileTooLarge, text)
        })?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

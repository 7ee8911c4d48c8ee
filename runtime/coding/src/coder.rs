//! Bytes on their way through a coding, in pieces or at once.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};

use brotli::{CompressorWriter, DecompressorWriter};
use bytes::Bytes;
use flate2::write::{GzEncoder, MultiGzDecoder};
use flate2::{Compress, FlushCompress, Status};

use crate::Coding;

const BROTLI_QUALITY: u32 = 4;
/// A stream keeps its window while it lasts: 256 KiB.
const BROTLI_WINDOW_BITS: u32 = 18;
const BROTLI_BUFFER_BYTES: usize = 16 * 1024;
const ZSTD_LEVEL: i32 = 3;
/// The same for zstd.
const ZSTD_WINDOW_BITS: u32 = 18;
const GZIP_WINDOW_BITS: u8 = 15;

thread_local! {
    static ZSTD: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static GZIP: RefCell<Option<(u8, Compress)>> = const { RefCell::new(None) };
}

/// Packs the whole content at once, with a compressor that the thread keeps for gzip and zstd; none if it does not become shorter.
/// `level` is that of gzip, from 1 to 9.
pub fn pack(coding: Coding, level: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    match coding {
        Coding::Gzip => GZIP.with_borrow_mut(|kept| {
            if kept.as_ref().is_none_or(|(has, _)| *has != level) {
                let made = Compress::new_gzip(flate2::Compression::new(level.into()), GZIP_WINDOW_BITS);
                *kept = Some((level, made));
            }
            let (_, compress) = kept.as_mut()?;
            compress.reset();
            let mut packed = Vec::with_capacity(bytes.len());
            let status = compress.compress_vec(bytes, &mut packed, FlushCompress::Finish);
            matches!(status, Ok(Status::StreamEnd)).then_some(packed)
        }),
        Coding::Zstd => ZSTD.with_borrow_mut(|kept| {
            if kept.is_none() {
                *kept = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
            }
            kept.as_mut()?.compress(bytes).ok()
        }),
        Coding::Brotli => {
            let mut writer =
                CompressorWriter::new(Vec::new(), BROTLI_BUFFER_BYTES, BROTLI_QUALITY, BROTLI_WINDOW_BITS);
            writer.write_all(bytes).ok()?;
            Some(writer.into_inner())
        }
    }
    .filter(|packed| packed.len() < bytes.len())
}

/// A body on its way through a coding.
pub struct Coder(Way);

enum Way {
    PackGzip(GzEncoder<Vec<u8>>),
    PackBrotli(Box<CompressorWriter<Vec<u8>>>),
    PackZstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    UnpackGzip(MultiGzDecoder<Bounded>),
    UnpackBrotli(Box<DecompressorWriter<Bounded>>),
}

impl fmt::Debug for Coder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match &self.0 {
            Way::PackGzip(_) | Way::PackBrotli(_) | Way::PackZstd(_) => "Pack",
            Way::UnpackGzip(_) | Way::UnpackBrotli(_) => "Unpack",
        })
    }
}

impl Coder {
    /// How much of the input is taken at a time: the length up to which a whole body is packed at once, and of the pieces of a
    /// longer one.
    pub const PIECE_BYTES: usize = 64 * 1024;

    /// Packs what goes through it. `level` is that of gzip, from 1 to 9. An error is one of memory.
    pub fn packing(coding: Coding, level: u8) -> io::Result<Self> {
        Ok(Self(match coding {
            Coding::Gzip => Way::PackGzip(GzEncoder::new(Vec::new(), flate2::Compression::new(level.into()))),
            Coding::Brotli => Way::PackBrotli(Box::new(CompressorWriter::new(
                Vec::new(),
                BROTLI_BUFFER_BYTES,
                BROTLI_QUALITY,
                BROTLI_WINDOW_BITS,
            ))),
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(ZSTD_WINDOW_BITS)?;
                Way::PackZstd(encoder)
            }
        }))
    }

    /// Unpacks what goes through it; more than `bytes_max` is an error. What is in zstd is left to whoever reads it.
    pub fn unpacking(coding: Coding, bytes_max: usize) -> io::Result<Self> {
        let output = Bounded { bytes: Vec::new(), left: bytes_max, max: bytes_max };
        Ok(Self(match coding {
            Coding::Gzip => Way::UnpackGzip(MultiGzDecoder::new(output)),
            Coding::Brotli => {
                Way::UnpackBrotli(Box::new(DecompressorWriter::new(output, BROTLI_BUFFER_BYTES)))
            }
            Coding::Zstd => return Err(io::Error::new(io::ErrorKind::Unsupported, "zstd is only written")),
        }))
    }

    /// Takes a piece. With `flush` all of it can be read from what has come out so far.
    pub fn push(&mut self, piece: &[u8], flush: bool) -> io::Result<Bytes> {
        let writer: &mut dyn Write = match &mut self.0 {
            Way::PackGzip(writer) => writer,
            Way::PackBrotli(writer) => writer,
            Way::PackZstd(writer) => writer,
            Way::UnpackGzip(writer) => writer,
            Way::UnpackBrotli(writer) => writer,
        };
        writer.write_all(piece)?;
        if flush {
            writer.flush()?;
        }
        Ok(self.take().into())
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match &mut self.0 {
            Way::PackGzip(writer) => writer.get_mut(),
            Way::PackBrotli(writer) => writer.get_mut(),
            Way::PackZstd(writer) => writer.get_mut(),
            Way::UnpackGzip(writer) => &mut writer.get_mut().bytes,
            Way::UnpackBrotli(writer) => &mut writer.get_mut().bytes,
        })
    }

    /// What comes out after the last piece. A body that ended too early is an error.
    pub fn finish(self) -> io::Result<Bytes> {
        let rest = match self.0 {
            Way::PackGzip(writer) => writer.finish()?,
            Way::PackBrotli(writer) => writer.into_inner(),
            Way::PackZstd(writer) => writer.finish()?,
            Way::UnpackGzip(writer) => writer.finish()?.bytes,
            Way::UnpackBrotli(mut writer) => {
                writer.close()?;
                std::mem::take(&mut writer.get_mut().bytes)
            }
        };
        Ok(rest.into())
    }
}

/// Bytes that come out of an unpacked body, up to a limit.
struct Bounded {
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

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

    fn unpacked(coding: Coding, packed: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
        if coding == Coding::Zstd {
            return zstd::bulk::decompress(packed, bytes_max);
        }
        let mut coder = Coder::unpacking(coding, bytes_max)?;
        let first = coder.push(packed, false)?;
        Ok([first, coder.finish()?].concat())
    }

    #[test]
    fn what_is_packed_at_once_can_be_read_again() {
        for coding in ALL {
            for length in [20_000, 1000, 1_000_000] {
                let text: Vec<u8> = b"partyrun ".iter().copied().cycle().take(length).collect();
                let packed = pack(coding, 3, &text).unwrap();
                assert!(packed.len() < length / 10, "{coding:?} {length}");
                assert!(unpacked(coding, &packed, length).unwrap() == text, "{coding:?} {length}");
                assert!(unpacked(coding, &packed, length - 1).is_err(), "{coding:?} {length}");
            }
            assert_eq!(pack(coding, 3, b"short"), None, "{coding:?}");
        }
    }

    #[test]
    fn a_piece_that_was_flushed_can_be_read() {
        for coding in ALL {
            let mut packing = Coder::packing(coding, 3).unwrap();
            let mut zstd = zstd::stream::write::Decoder::new(Vec::new()).unwrap();
            let mut other = Coder::unpacking(coding, 100);
            for piece in ["one", "two", "three"] {
                let packed = packing.push(piece.as_bytes(), true).unwrap();
                let read = match &mut other {
                    Ok(coder) => coder.push(&packed, true).unwrap(),
                    Err(_) => {
                        zstd.write_all(&packed).unwrap();
                        zstd.flush().unwrap();
                        std::mem::take(zstd.get_mut()).into()
                    }
                };
                assert_eq!(read, piece, "{coding:?}");
            }
            let last = packing.finish().unwrap();
            if let Ok(mut coder) = other {
                assert!(coder.push(&last, false).unwrap().is_empty());
                assert!(coder.finish().unwrap().is_empty(), "{coding:?}");
            }
        }
    }
}

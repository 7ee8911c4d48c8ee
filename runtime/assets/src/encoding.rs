//! Which content coding a client prefers (RFC 9110, section 12.5.3), and the compressors.

use std::io::Write as _;

use http::{HeaderMap, header};

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    /// The name in `content-encoding`.
    pub(crate) fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The extension of a file that was compressed beforehand, which also tells entity tags apart.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gz",
        }
    }
}

/// The codings that a request accepts, the preferred one first.
pub(crate) fn accepted(headers: &HeaderMap) -> Vec<Coding> {
    let (mut brotli, mut gzip, mut any) = (None, None, None);
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or("").split(',') {
            let mut parts = item.split(';');
            let name = parts.next().unwrap_or("").trim().to_ascii_lowercase();
            let quality = parts
                .find_map(|part| part.trim().strip_prefix("q=").map(str::trim))
                .map_or(Some(1.0), |q| q.parse().ok());
            let quality: f32 = quality.unwrap_or(0.0);
            match name.as_str() {
                "br" => brotli = Some(quality),
                "gzip" | "x-gzip" => gzip = Some(quality),
                "*" => any = Some(quality),
                _ => {}
            }
        }
    }
    let mut codings =
        vec![(brotli.or(any).unwrap_or(0.0), Coding::Brotli), (gzip.or(any).unwrap_or(0.0), Coding::Gzip)];
    codings.retain(|(quality, _)| *quality > 0.0);
    // A stable sort, so that Brotli, which is smaller, wins among equals.
    codings.sort_by(|a, b| b.0.total_cmp(&a.0));
    codings.into_iter().map(|(_, coding)| coding).collect()
}

/// Compresses at the level that suits answers made while somebody waits.
pub(crate) fn compress(coding: Coding, bytes: &[u8]) -> Option<Vec<u8>> {
    const BROTLI_QUALITY: u32 = 4;
    const BROTLI_WINDOW_BITS: u32 = 20;
    let mut compressed = Vec::with_capacity(bytes.len() / 3);
    let done = match coding {
        Coding::Brotli => {
            let mut writer =
                brotli::CompressorWriter::new(&mut compressed, 64 * 1024, BROTLI_QUALITY, BROTLI_WINDOW_BITS);
            writer.write_all(bytes).and_then(|()| writer.flush())
        }
        Coding::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(&mut compressed, flate2::Compression::default());
            writer.write_all(bytes).and_then(|()| writer.finish().map(drop))
        }
    };
    done.is_ok().then_some(compressed)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn preference_is_by_quality_then_size() {
        use Coding::{Brotli, Gzip};
        let cases: [(&[&str], &[Coding]); 13] = [
            (&[], &[]),
            (&["gzip"], &[Gzip]),
            (&["gzip, deflate, br, zstd"], &[Brotli, Gzip]),
            (&["gzip", "br"], &[Brotli, Gzip]),
            (&["br;q=0.5, gzip"], &[Gzip, Brotli]),
            (&["br;q=0, gzip;q=0"], &[]),
            (&["*"], &[Brotli, Gzip]),
            (&["*;q=0"], &[]),
            (&["br;q=0, *"], &[Gzip]),
            (&["identity"], &[]),
            (&["GZIP ; q=0.3"], &[Gzip]),
            (&["gzip;q=x"], &[]),
            (&["gzip;q=NaN"], &[]),
        ];
        for (values, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::ACCEPT_ENCODING, value.parse().expect("value"));
            }
            assert_eq!(accepted(&headers), expected, "{values:?}");
        }
    }

    #[test]
    fn what_is_compressed_can_be_read_again() {
        let text = "partyrun ".repeat(10_000);
        let gzip = compress(Coding::Gzip, text.as_bytes()).expect("gzip");
        let mut back = String::new();
        flate2::read::GzDecoder::new(&*gzip).read_to_string(&mut back).expect("gzip");
        assert!(back == text && gzip.len() < 1000);
        let brotli = compress(Coding::Brotli, text.as_bytes()).expect("brotli");
        let mut back = String::new();
        brotli::Decompressor::new(&*brotli, 4096).read_to_string(&mut back).expect("brotli");
        assert!(back == text && brotli.len() < 1000);
    }
}

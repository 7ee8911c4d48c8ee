//! In which coding a response leaves: what the client takes, and what the handler's body is in.
//!
//! A handler's body is plain even where its `Content-Encoding` says gzip or br: it is packed when it leaves, as the original
//! does it, and so is an answer of another server that a room read, and that is passed on with its header fields. A body
//! that is packed already says so in [`Response::packed`]. Other codings are left to whoever names them.

use http::{HeaderMap, HeaderValue, Method, header};

use crate::coding::{Coder, Coding};
use crate::message::{Body, BodyStream, Response};

/// What a request says about the answer's coding.
pub(crate) struct Wishes {
    accepted: Vec<HeaderValue>,
    head_only: bool,
}

impl Wishes {
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().cloned().collect();
        Self { accepted, head_only: method == Method::HEAD }
    }

    /// Brings a response into the form in which it leaves: a client that does not take the coding gets it plain.
    pub(crate) fn settle(&self, response: &mut Response, unpacked_bytes_max: usize) {
        let Some(coding) = Coding::of(&response.headers) else { return };
        if matches!(response.status, 101 | 204 | 304) {
            return;
        }
        let taken = coding.is_taken(&self.accepted);
        let body = std::mem::take(&mut response.body);
        response.body = match body {
            // Nobody knows how long the packed body would be.
            _ if self.head_only && taken && !response.packed => Body::Empty,
            Body::Empty if self.head_only => Body::Empty,
            Body::Empty => {
                response.headers.remove(header::CONTENT_ENCODING);
                return;
            }
            body => match (taken, response.packed) {
                (true, true) | (false, false) => body,
                (true, false) => body.packed(coding),
                (false, true) => body.unpacked(coding, unpacked_bytes_max),
            },
        };
        if !taken {
            response.headers.remove(header::CONTENT_ENCODING);
        }
        if !self.head_only || !taken {
            response.headers.remove(header::CONTENT_LENGTH);
        }
        let varies = response.headers.get_all(header::VARY).iter().any(|value| {
            let mut names = value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"))
        });
        if !varies {
            response.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
    }
}

impl Body {
    /// This body in a coding.
    fn packed(self, coding: Coding) -> Self {
        self.coded(|| Coder::packing(coding))
    }

    /// This body without its coding. One that is longer than `bytes_max`, or is in another coding, fails where it is read.
    pub fn unpacked(self, coding: Coding, bytes_max: usize) -> Self {
        self.coded(|| Coder::unpacking(coding, bytes_max))
    }

    fn coded(self, coder: impl Fn() -> Coder) -> Self {
        let stream = match self {
            Self::Empty => return Self::Empty,
            Self::Full(bytes) if bytes.len() <= Coder::PIECE_BYTES => {
                let mut whole = coder();
                let coded = whole.push(&bytes, false).and_then(|first| Ok((first, whole.finish()?)));
                match coded {
                    Ok((first, last)) if first.is_empty() => return Self::Full(last),
                    Ok((first, last)) if last.is_empty() => return Self::Full(first),
                    Ok((first, last)) => return Self::Full([first, last].concat().into()),
                    // Whoever reads it hears of it.
                    Err(_) => BodyStream::whole(bytes),
                }
            }
            Self::Full(bytes) => BodyStream::whole(bytes),
            Self::Stream(stream) => stream,
        };
        Self::Stream(stream.through(coder()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use bytes::Bytes;
    use flate2::write::MultiGzDecoder;

    use super::*;

    fn response(coding: &'static str, packed: bool, body: Body) -> Response {
        let mut response = Response::new(200, body);
        response.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        response.packed = packed;
        response
    }

    fn wishes(accepted: &[&'static str]) -> Wishes {
        let accepted = accepted.iter().map(|value| HeaderValue::from_static(value)).collect();
        Wishes { accepted, head_only: false }
    }

    async fn read(body: Body) -> Result<Vec<u8>, crate::BodyError> {
        let mut whole = Vec::new();
        body.gather(&mut whole).await?;
        Ok(whole)
    }

    #[tokio::test]
    async fn what_is_packed_is_the_same_when_it_is_unpacked() {
        for length in [0, 1, Coder::PIECE_BYTES, Coder::PIECE_BYTES + 1, 1_000_000] {
            let text: Bytes = b"partyrun ".iter().copied().cycle().take(length).collect();
            for (name, coding) in [("gzip", Coding::Gzip), ("br", Coding::Brotli)] {
                let mut response = response(name, false, Body::Full(text.clone()));
                wishes(&[name]).settle(&mut response, usize::MAX);
                let packed: Bytes = read(response.body).await.unwrap().into();
                assert!(length < 100 || packed.len() < length / 2, "{name} {length}");
                let unpacked = Body::Full(packed.clone()).unpacked(coding, length);
                assert!(read(unpacked).await.unwrap() == text, "{name} {length}");
                if length > 1 {
                    assert!(read(Body::Full(packed.clone()).unpacked(coding, length - 1)).await.is_err());
                    let cut = packed.slice(..packed.len() - 1);
                    assert!(read(Body::Full(cut).unpacked(coding, length)).await.is_err(), "{name} {length}");
                }
            }
        }
    }

    #[tokio::test]
    async fn each_piece_of_a_stream_can_be_read_when_it_has_come() {
        let (writer, stream) = BodyStream::channel(4, None);
        let mut response = response("gzip", false, Body::Stream(stream));
        wishes(&["gzip"]).settle(&mut response, usize::MAX);
        let Body::Stream(mut packed) = response.body else { panic!("a stream stays one") };
        writer.write(Bytes::from_static(b"first")).await.unwrap();
        let first = packed.next().await.unwrap().unwrap();
        let mut unpacking = MultiGzDecoder::new(Vec::new());
        unpacking.write_all(&first).unwrap();
        unpacking.flush().unwrap();
        assert_eq!(unpacking.get_ref(), b"first");
        drop(writer);
        assert_eq!(packed.next().await, Some(Err(crate::BodyError::Gone)));
    }

    #[tokio::test]
    async fn clients_get_what_they_take() {
        let cases: [(&[&str], bool); 9] = [
            (&[], true),
            (&["gzip"], true),
            (&["br, GZIP;q=0.1"], true),
            (&["*"], true),
            (&["br", "gzip"], true),
            (&["identity"], false),
            (&["gzip;q=0, *"], false),
            (&["gzip; Q=0.000"], false),
            (&["br"], false),
        ];
        for (accepted, taken) in cases {
            for packed in [false, true] {
                let text = Bytes::from_static(b"text");
                let body = Body::Full(text.clone());
                let mut response =
                    response("gzip", packed, if packed { body.packed(Coding::Gzip) } else { body });
                wishes(accepted).settle(&mut response, 4);
                assert_eq!(response.headers.contains_key(header::CONTENT_ENCODING), taken, "{accepted:?}");
                assert_eq!(response.headers[header::VARY], "accept-encoding");
                let body = if taken { response.body.unpacked(Coding::Gzip, 4) } else { response.body };
                assert_eq!(read(body).await.unwrap(), text, "{accepted:?} {packed}");
            }
        }
    }

    #[test]
    fn other_codings_are_left_alone() {
        for name in ["deflate", "zstd", "identity", "gzip, br", ""] {
            let mut response = response(name, false, Body::Full(Bytes::from_static(b"text")));
            wishes(&["gzip"]).settle(&mut response, 4);
            assert!(matches!(&response.body, Body::Full(bytes) if bytes == "text"), "{name}");
            assert!(!response.headers.contains_key(header::VARY));
        }
    }
}

//! In which coding a response leaves: what the client takes, and what the handler's body is in.
//!
//! A handler's body is plain even where its `Content-Encoding` says gzip or br: it is packed when it leaves, as the original
//! does it, and so is an answer of another server that a room read, and that is passed on with its header fields. A body
//! that is packed already says so in [`Response::packed`]. Other codings are left to whoever names them. Where the handler names
//! none, text is packed for clients that ask for it, as the original and its platform do.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, header};
use partyrun_coding::{Accepted, Coder, Coding, is_compressible, pack};
use partyrun_limits::{Charge, Limits, Total};

use crate::deflate::Compression;
use crate::message::{Body, BodyStream, Response};

/// Among codings that a client likes equally: the first takes least time for its size.
const ORDER: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

/// What a front does to all of its responses.
#[derive(Debug)]
pub(crate) struct Terms {
    /// Whether text is packed although nobody says so.
    packs: bool,
    level: u8,
    bytes_min: usize,
    unpacked_bytes_max: usize,
    /// Streams that are being packed although nobody said so.
    streams: Arc<Total>,
}

impl Terms {
    pub(crate) fn new(limits: &Limits, compression: Option<Compression>) -> Self {
        Self {
            packs: compression.is_some(),
            level: compression.map_or(Compression::LEVEL, |compression| compression.level),
            bytes_min: limits.answer_compressed_bytes_min,
            unpacked_bytes_max: limits.answer_inflated_bytes_max,
            streams: Total::new(limits.answers_compressed_max),
        }
    }
}

/// What a request says about the answer's coding.
pub(crate) struct Wishes {
    accepted: Accepted,
    head_only: bool,
}

impl Wishes {
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        Self { accepted: Accepted::of(headers), head_only: method == Method::HEAD }
    }

    /// Brings a response into the form in which it leaves: a client that does not take the coding gets it plain.
    pub(crate) fn settle(&self, response: &mut Response, terms: &Terms) {
        match Coding::of(&response.headers) {
            Some(coding) => self.settle_named(coding, response, terms),
            None if terms.packs && !response.packed => self.offer(response, terms),
            None => {}
        }
    }

    fn settle_named(&self, coding: Coding, response: &mut Response, terms: &Terms) {
        if matches!(response.status, 101 | 204 | 304) {
            return;
        }
        let taken = self.accepted.takes(coding);
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
                (true, false) => body.packed(coding, terms.level, None),
                (false, true) => body.unpacked(coding, terms.unpacked_bytes_max),
            },
        };
        if !taken {
            response.headers.remove(header::CONTENT_ENCODING);
        }
        if !self.head_only || !taken {
            response.headers.remove(header::CONTENT_LENGTH);
        }
        vary(&mut response.headers);
    }

    /// Packs a response that may be, for a client that asks for it.
    fn offer(&self, response: &mut Response, terms: &Terms) {
        let length = match &response.body {
            Body::Full(bytes) => Some(bytes.len() as u64),
            Body::Stream(stream) => stream.length(),
            Body::Empty if self.head_only => match content_length(&response.headers) {
                None => return,
                length => length,
            },
            Body::Empty => return,
        };
        if length.is_some_and(|length| length < terms.bytes_min as u64) || !may_be_packed(response) {
            return;
        }
        // Whoever keeps the answer must know that others get another one.
        vary(&mut response.headers);
        let Some(coding) = self.accepted.preferred(ORDER).next() else { return };
        match std::mem::take(&mut response.body) {
            _ if self.head_only => {}
            Body::Full(bytes) if bytes.len() <= Coder::PIECE_BYTES => {
                match pack(coding, terms.level, &bytes) {
                    Some(packed) => response.body = Body::Full(packed.into()),
                    None => return response.body = Body::Full(bytes),
                }
            }
            body => {
                let Some(seat) = terms.streams.try_charge(1) else { return response.body = body };
                response.body = body.packed(coding, terms.level, Some(seat));
            }
        }
        let headers = &mut response.headers;
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
        headers.remove(header::CONTENT_LENGTH);
        // A part of it would be one of the plain content.
        headers.remove(header::ACCEPT_RANGES);
        if let Some(tag) = headers.get(header::ETAG).and_then(weak) {
            headers.insert(header::ETAG, tag);
        }
    }
}

/// Whether status and header fields allow a response to be packed.
fn may_be_packed(response: &Response) -> bool {
    let headers = &response.headers;
    let named = |name| headers.contains_key(name);
    !matches!(response.status, 0..=199 | 204..=206 | 304)
        && headers.get(header::CONTENT_TYPE).is_some_and(|kind| is_compressible(kind.as_bytes()))
        && !named(header::CONTENT_ENCODING)
        && !named(header::CONTENT_RANGE)
        && !headers.get_all(header::CACHE_CONTROL).iter().any(|value| lists(value, b"no-transform"))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn lists(value: &HeaderValue, wanted: &[u8]) -> bool {
    value.as_bytes().split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(wanted))
}

/// The tag of content that means the same, but is not the same bytes (RFC 9110, 8.8.1).
fn weak(tag: &HeaderValue) -> Option<HeaderValue> {
    if !tag.as_bytes().starts_with(b"\"") {
        return None;
    }
    HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok()
}

fn vary(headers: &mut HeaderMap) {
    let known = headers.get_all(header::VARY).iter();
    if !known.into_iter().any(|value| lists(value, b"*") || lists(value, b"accept-encoding")) {
        headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
}

impl Body {
    /// This body in a coding.
    fn packed(self, coding: Coding, level: u8, seat: Option<Charge>) -> Self {
        self.coded(|| Coder::packing(coding, level), seat)
    }

    /// This body without its coding. One that is longer than `bytes_max`, or is in another coding, fails where it is read.
    pub fn unpacked(self, coding: Coding, bytes_max: usize) -> Self {
        self.coded(|| Coder::unpacking(coding, bytes_max), None)
    }

    fn coded(self, coder: impl Fn() -> std::io::Result<Coder>, seat: Option<Charge>) -> Self {
        let mut made = match coder() {
            Ok(made) => made,
            Err(error) => return Self::Stream(BodyStream::failing(&error)),
        };
        let stream = match self {
            Self::Empty => return Self::Empty,
            Self::Full(bytes) if bytes.len() <= Coder::PIECE_BYTES => {
                let coded = made.push(&bytes, false).and_then(|first| Ok((first, made.finish()?)));
                match coded {
                    Ok((first, last)) if first.is_empty() => return Self::Full(last),
                    Ok((first, last)) if last.is_empty() => return Self::Full(first),
                    Ok((first, last)) => return Self::Full([first, last].concat().into()),
                    // Whoever reads it hears of it.
                    Err(error) => return Self::Stream(BodyStream::failing(&error)),
                }
            }
            Self::Full(bytes) => BodyStream::whole(bytes),
            Self::Stream(stream) => stream,
        };
        Self::Stream(stream.through(made, seat))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use bytes::Bytes;
    use flate2::write::MultiGzDecoder;

    use super::*;

    const PIECE_BYTES: usize = Coder::PIECE_BYTES;

    fn response(coding: &'static str, packed: bool, body: Body) -> Response {
        let mut response = Response::new(200, body);
        response.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        response.packed = packed;
        response
    }

    fn wishes(accepted: &[&'static str]) -> Wishes {
        asked(Method::GET, accepted)
    }

    fn asked(method: Method, accepted: &[&'static str]) -> Wishes {
        let mut headers = HeaderMap::new();
        for value in accepted {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        Wishes::of(&method, &headers)
    }

    fn terms(unpacked_bytes_max: usize) -> Terms {
        let limits = Limits {
            answer_inflated_bytes_max: unpacked_bytes_max,
            answers_compressed_max: 1,
            ..Limits::default()
        };
        Terms::new(&limits, Some(Compression::new(&limits)))
    }

    async fn read(body: Body) -> Result<Vec<u8>, crate::BodyError> {
        let mut whole = Vec::new();
        body.gather(&mut whole).await?;
        Ok(whole)
    }

    fn text(length: usize) -> Bytes {
        b"partyrun ".iter().copied().cycle().take(length).collect()
    }

    #[tokio::test]
    async fn what_is_packed_is_the_same_when_it_is_unpacked() {
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 1_000_000] {
            let text = text(length);
            for (name, coding) in [("gzip", Coding::Gzip), ("br", Coding::Brotli)] {
                let mut response = response(name, false, Body::Full(text.clone()));
                wishes(&[name]).settle(&mut response, &terms(usize::MAX));
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
        wishes(&["gzip"]).settle(&mut response, &terms(usize::MAX));
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
        for (accepted, taken) in
            [(&[][..], true), (&["gzip"], true), (&["identity"], false), (&["br"], false)]
        {
            for packed in [false, true] {
                let text = Bytes::from_static(b"text");
                let body = Body::Full(text.clone());
                let body = if packed { body.packed(Coding::Gzip, 3, None) } else { body };
                let mut response = response("gzip", packed, body);
                wishes(accepted).settle(&mut response, &terms(4));
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
            wishes(&["gzip"]).settle(&mut response, &terms(4));
            assert!(matches!(&response.body, Body::Full(bytes) if bytes == "text"), "{name}");
            assert!(!response.headers.contains_key(header::VARY));
        }
    }

    /// A response that is packed for whoever asks for it.
    fn plain(body: Body) -> Response {
        let mut response = Response::text(200, "");
        response.body = body;
        response.headers.insert(header::ETAG, HeaderValue::from_static("\"tag\""));
        response.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("5000"));
        response
    }

    #[tokio::test]
    async fn text_is_packed_for_whoever_asks() {
        let large = text(10 * PIECE_BYTES);
        for (accept, coding) in [("gzip", "gzip"), ("br", "br"), ("gzip, deflate, br, zstd", "zstd")] {
            for text in [text(5000), large.clone()] {
                let mut response = plain(Body::Full(text.clone()));
                wishes(&[accept]).settle(&mut response, &terms(0));
                assert_eq!(response.headers[header::CONTENT_ENCODING], coding);
                assert_eq!(response.headers[header::ETAG], "W/\"tag\"");
                assert!(!response.headers.contains_key(header::CONTENT_LENGTH));
                let packed = read(response.body).await.unwrap();
                assert!(packed.len() < text.len() / 5, "{coding} {}", packed.len());
                let unpacked = match coding {
                    "gzip" => {
                        read(Body::Full(packed.into()).unpacked(Coding::Gzip, text.len())).await.unwrap()
                    }
                    "br" => {
                        read(Body::Full(packed.into()).unpacked(Coding::Brotli, text.len())).await.unwrap()
                    }
                    _ => zstd::stream::decode_all(&packed[..]).unwrap(),
                };
                assert!(unpacked == text, "{coding}");
            }
        }
    }

    #[test]
    fn what_is_not_packed_stays_as_it_is() {
        let stays = |accept: &'static str, varies: bool, change: &dyn Fn(&mut Response)| {
            let mut response = plain(Body::Full(text(5000)));
            change(&mut response);
            let before = response.headers.clone();
            wishes(&[accept]).settle(&mut response, &terms(0));
            if varies {
                assert_eq!(response.headers.remove(header::VARY).unwrap(), "accept-encoding");
            }
            assert_eq!(response.headers, before);
        };
        let set = |name: &'static str, value: &'static str| {
            move |response: &mut Response| {
                response.headers.insert(name, HeaderValue::from_static(value));
            }
        };
        stays("identity", true, &|_| ());
        stays("gzip;q=0", true, &|_| ());
        stays("deflate", true, &|_| ());
        stays("gzip", false, &set("content-type", "image/png"));
        stays("gzip", false, &set("content-type", "text/event-stream"));
        stays("gzip", false, &set("cache-control", "private, No-Transform"));
        stays("gzip", false, &set("content-range", "bytes 0-1/2"));
        stays("gzip", false, &set("content-encoding", "zstd"));
        stays("gzip", false, &|response| response.packed = true);
        stays("gzip", false, &|response| response.body = Body::Full(text(1023)));
        stays("gzip", false, &|response| response.body = Body::Empty);
        stays("gzip", false, &|response| drop(response.headers.remove(header::CONTENT_TYPE)));
        for status in [101, 204, 205, 206, 304] {
            stays("gzip", false, &|response| response.status = status);
        }
        let off = Terms::new(&Limits::default(), None);
        let mut response = plain(Body::Full(text(5000)));
        wishes(&["gzip"]).settle(&mut response, &off);
        assert!(!response.headers.contains_key(header::VARY));
    }

    #[test]
    fn a_head_says_what_a_get_would() {
        let told = |method: Method, body: Body| {
            let mut response = plain(body);
            asked(method, &["br"]).settle(&mut response, &terms(0));
            response.headers
        };
        let got = told(Method::GET, Body::Full(text(5000)));
        assert_eq!(told(Method::HEAD, Body::Full(text(5000))), got);
        assert_eq!(told(Method::HEAD, Body::Empty), got, "by the length that the handler says");
        assert!(!told(Method::HEAD, Body::Full(text(10))).contains_key(header::CONTENT_ENCODING));
    }

    #[test]
    fn streams_are_packed_as_long_as_there_is_a_seat() {
        let terms = terms(0);
        let settled = || {
            let mut response = plain(Body::Stream(BodyStream::channel(1, None).1));
            wishes(&["gzip"]).settle(&mut response, &terms);
            response
        };
        let first = settled();
        assert!(first.headers.contains_key(header::CONTENT_ENCODING));
        assert!(!settled().headers.contains_key(header::CONTENT_ENCODING), "one at a time");
        drop(first);
        assert!(settled().headers.contains_key(header::CONTENT_ENCODING));
    }

    #[tokio::test]
    async fn packing_lets_others_have_their_turn() {
        let mut response = plain(Body::Full(text(10 * PIECE_BYTES)));
        wishes(&["gzip"]).settle(&mut response, &terms(0));
        let Body::Stream(mut stream) = response.body else { panic!("a long body is packed in pieces") };
        let (mut pending, mut ready) = (0, 0);
        let waker = std::task::Waker::noop();
        loop {
            match stream.poll_next(&mut std::task::Context::from_waker(waker)) {
                std::task::Poll::Pending => pending += 1,
                std::task::Poll::Ready(Some(piece)) => ready += usize::from(piece.is_ok()),
                std::task::Poll::Ready(None) => break,
            }
        }
        assert!(pending >= 10 && ready >= 1, "{pending} {ready}");
    }
}

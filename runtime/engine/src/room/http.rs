//! Headers and bodies, between their Rust form and the form in which they cross to JavaScript.
//!
//! Headers cross as one string of `name\nvalue\n` pairs (js/30_http.js). Header values are UTF-8 on the wire, as on the
//! original; bytes that are not UTF-8 become U+FFFD. A body that JavaScript produces over time is pumped from its resource into
//! a channel by a task of the worker.

use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use deno_core::Resource;
use http::{HeaderMap, HeaderName, HeaderValue};
use partyrun_extensions as ext;
use partyrun_extensions::wire::COUNTED_FROM_BYTES;
use partyrun_limits::{Budget, Limits};
use partyrun_net::{Body, BodyError, BodyStream, BodyWriter, Coding, Response, counted};

const PUMP_CHUNK_BYTES: usize = 64 * 1024;
const PUMP_PIECES_MAX: usize = 4;
/// How often it is looked whether clients have read enough.
const FULL_LOOK_EVERY: Duration = Duration::from_millis(10);

/// The header fields as JavaScript takes them, in bytes: ASCII in almost every message.
pub(crate) fn header_text(headers: &HeaderMap) -> Vec<u8> {
    let mut text = Vec::with_capacity(headers.len() * 48);
    for (name, value) in headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.push(b'\n');
        text.extend_from_slice(value.as_bytes());
        text.push(b'\n');
    }
    text
}

/// The header fields that JavaScript gave. What is no valid field is left out: the Headers class has checked them.
pub(crate) fn parse_headers(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut parts = text.split('\n');
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
        {
            headers.append(name, value);
        }
    }
    headers
}

/// The header fields of a reply as text, for `incomingResponse` of js/30_http.js.
pub(crate) fn header_string(headers: &HeaderMap) -> String {
    String::from_utf8(header_text(headers))
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// What is answered where there is no place for a request now.
pub(crate) fn busy(limits: &Limits, text: &str) -> Response {
    let mut response = Response::text(503, text);
    response
        .headers
        .insert(http::header::RETRY_AFTER, HeaderValue::from(limits.retry_after.as_secs().max(1)));
    response
}

/// A streamed body as the ops take it.
pub(crate) fn body_stream(mut body: BodyStream) -> ext::BodyStream {
    Box::pin(futures_util::stream::poll_fn(move |context| {
        body.poll_next(context).map(|piece| piece.map(|piece| piece.map_err(|error| error.to_string())))
    }))
}

/// The body of a message that comes from JavaScript, as the network takes it. Must be called on the worker's local runtime.
pub(crate) fn outgoing_body(body: ext::Body) -> Body {
    match body {
        ext::Body::None => Body::Empty,
        ext::Body::Bytes(bytes) => Body::Full(bytes),
        ext::Body::Stream(stream) => pump(futures_util::stream::StreamExt::boxed_local(stream), None, None),
        ext::Body::Resource(resource) => pump(read_all(resource.clone()), promised(&*resource), None),
    }
}

/// The same for the answer of a room: what its clients have not read of it is bounded for all its `answers` together.
pub(crate) fn answer_body(body: ext::Body, answers: &Rc<Budget>) -> Body {
    let answers = Some(Rc::downgrade(answers));
    match body {
        ext::Body::Stream(stream) => {
            pump(futures_util::stream::StreamExt::boxed_local(stream), None, answers)
        }
        ext::Body::Resource(resource) => pump(read_all(resource.clone()), promised(&*resource), answers),
        whole @ (ext::Body::None | ext::Body::Bytes(_)) => outgoing_body(whole),
    }
}

// The length of a body, where that is known.
fn promised(resource: &dyn Resource) -> Option<u64> {
    let (least, most) = resource.size_hint();
    (most == Some(least) && least > 0).then_some(least)
}

/// A response of another room as the ops take it: plain, with the coding that its header names, as `fetch` gives it.
pub(crate) fn reply_of(response: Response, socket: Option<u32>, unpacked_bytes_max: usize) -> ext::Reply {
    let body = match Coding::of(&response.headers).filter(|_| response.packed) {
        Some(coding) => response.body.unpacked(coding, unpacked_bytes_max),
        None => response.body,
    };
    ext::Reply {
        status: response.status,
        // A response of the network always has a reason phrase; one of another room shall look the same.
        reason: response.reason.unwrap_or_else(|| standard_reason(response.status).to_string()),
        headers: header_string(&response.headers),
        body: match body {
            Body::Empty => ext::Body::None,
            Body::Full(bytes) => ext::Body::Bytes(bytes),
            Body::Stream(stream) => ext::Body::Stream(body_stream(stream)),
        },
        socket,
    }
}

fn standard_reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("")
}

type Pieces = futures_util::stream::LocalBoxStream<'static, Result<Bytes, String>>;

fn read_all(resource: Rc<dyn Resource>) -> Pieces {
    let reading = futures_util::stream::unfold(Some(resource), |resource| async move {
        let resource = resource?;
        match resource.clone().read(PUMP_CHUNK_BYTES).await {
            Ok(chunk) if chunk.is_empty() => {
                resource.close();
                None
            }
            Ok(chunk) => Some((Ok(Bytes::copy_from_slice(&chunk)), Some(resource))),
            Err(error) => Some((Err(error.to_string()), None)),
        }
    });
    Box::pin(reading)
}

// Waits until a room's clients have read enough of its answers, and counts the next piece. Each answer may have one piece.
async fn within_budget(answers: Option<&Weak<Budget>>, writer: &BodyWriter, piece: Bytes) -> Bytes {
    if piece.len() < COUNTED_FROM_BYTES {
        return piece;
    }
    while let Some(answers) = answers.and_then(Weak::upgrade) {
        if writer.is_read() || !answers.refuses() {
            let charge = answers.charge(piece.len());
            return counted(piece, charge);
        }
        drop(answers);
        tokio::select! {
            () = tokio::time::sleep(FULL_LOOK_EVERY) => {}
            () = writer.closed() => break,
        }
    }
    piece
}

fn pump(mut pieces: Pieces, length: Option<u64>, answers: Option<Weak<Budget>>) -> Body {
    use futures_util::StreamExt;
    let (writer, stream) = BodyStream::channel(PUMP_PIECES_MAX, length);
    tokio::task::spawn_local(async move {
        while let Some(piece) = pieces.next().await {
            match piece {
                // A reader that went away ends the pump, and with it the stream in JavaScript.
                Ok(bytes) => {
                    let bytes = within_budget(answers.as_ref(), &writer, bytes).await;
                    if writer.write(bytes).await.is_err() {
                        return;
                    }
                }
                Err(message) => {
                    writer.fail(BodyError::Failed(message)).await;
                    return;
                }
            }
        }
        let _gone = writer.finish().await;
    });
    Body::Stream(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_cross_and_come_back() {
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        headers.append("x-name", HeaderValue::from_bytes("Zo\u{eb} \u{20ac}".as_bytes()).unwrap());
        assert_eq!(parse_headers(&header_string(&headers)), headers);
        headers.append("x-latin", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        assert!(header_string(&headers).ends_with("x-latin\ncaf\u{fffd}\n"));
        assert!(parse_headers("no value").is_empty());
        assert!(parse_headers("bad name\nvalue\n").is_empty());
    }
}

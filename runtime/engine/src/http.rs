//! Headers and bodies between their Rust form and the one in which they cross to JavaScript.
//!
//! Headers cross as one Latin-1 string of `name\nvalue\n` pairs (js/30_http.js). A body that JavaScript produces over time
//! is pumped from its resource into a channel by a task of the worker.

use std::rc::Rc;

use bytes::Bytes;
use deno_core::Resource;
use http::{HeaderMap, HeaderName, HeaderValue};
use partyrun_extensions as ext;
use partyrun_net::{Body, BodyError, BodyStream, Response};

const PUMP_CHUNK_BYTES: usize = 64 * 1024;
const PUMP_PIECES_MAX: usize = 4;

/// The header fields as JavaScript takes them. HTTP/1 headers are Latin-1 by nature, so that bytes are code points.
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
        let bytes: Vec<u8> = if value.is_ascii() {
            value.as_bytes().to_vec()
        } else {
            value.chars().map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?')).collect()
        };
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&bytes))
        {
            headers.append(name, value);
        }
    }
    headers
}

/// The header fields of a reply as text, for `incomingResponse` of js/30_http.js.
pub(crate) fn header_string(headers: &HeaderMap) -> String {
    header_text(headers).into_iter().map(char::from).collect()
}

/// A streamed body as the ops take it.
pub(crate) fn body_stream(mut body: BodyStream) -> ext::BodyStream {
    Box::pin(futures_util::stream::poll_fn(move |context| {
        body.poll_next(context).map(|piece| piece.map(|piece| piece.map_err(|error| error.to_string())))
    }))
}

/// The body of a message that comes from JavaScript, as the network takes it. Must be called on the worker's LocalSet.
pub(crate) fn outgoing_body(body: ext::Body) -> Body {
    match body {
        ext::Body::None => Body::Empty,
        ext::Body::Bytes(bytes) => Body::Full(bytes),
        ext::Body::Stream(stream) => pump(futures_util::stream::StreamExt::boxed_local(stream), None),
        ext::Body::Resource(resource) => {
            let length = resource.size_hint();
            let length = (length.1 == Some(length.0) && length.0 > 0).then_some(length.0);
            pump(read_all(resource), length)
        }
    }
}

/// A response of another room as the ops take it.
pub(crate) fn reply_of(response: Response, socket: Option<u32>) -> ext::Reply {
    ext::Reply {
        status: response.status,
        // A response of the network always has a reason phrase; one of another room shall look the same.
        reason: response.reason.unwrap_or_else(|| standard_reason(response.status).to_string()),
        headers: header_string(&response.headers),
        body: match response.body {
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

fn pump(mut pieces: Pieces, length: Option<u64>) -> Body {
    use futures_util::StreamExt;
    let (writer, stream) = BodyStream::channel(PUMP_PIECES_MAX, length);
    tokio::task::spawn_local(async move {
        while let Some(piece) = pieces.next().await {
            match piece {
                // A reader that went away ends the pump, and with it the stream in JavaScript.
                Ok(bytes) => {
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
        headers.append("x-latin", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        assert_eq!(parse_headers(&header_string(&headers)), headers);
        assert!(parse_headers("no value").is_empty());
        assert!(parse_headers("bad name\nvalue\n").is_empty());
    }
}

//! WebSockets to other servers: the client's handshake (RFC 6455, 4.1), then a task that carries messages (`carry.rs`).
//!
//! The caller has made the connection, with TLS where the URL says so. The result is a [`PipeEnd`], so that such a
//! socket plugs into a [`crate::Socket`] like one from room to room; frames, masks and pings stay in the task. The task
//! ends with either side: a dropped end drops the connection, a lost connection drops the end.

mod carry;

use base64::Engine;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use partyrun_limits::Limits;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::Url;

use crate::deflate::{self, Agreed, Compression};
use crate::handshake::accept_value;
use crate::pipe::{self, PipeEnd};

/// A server's answer to a handshake: a socket, or the beginning of a refusal.
#[derive(Debug)]
pub struct Answer {
    /// 101, or the status of the refusal.
    pub status: u16,
    /// The reason phrase as the server sent it; often empty.
    pub reason: String,
    /// The header fields.
    pub headers: HeaderMap,
    /// The beginning of a refusal's body.
    pub body: Bytes,
    /// The socket, with status 101.
    pub socket: Option<PipeEnd>,
}

/// Why a handshake got no answer that can be used.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The connection could not be made, or it broke.
    #[error("the connection was lost during the handshake: {0}")]
    Io(#[from] std::io::Error),
    /// What came is not HTTP, or too long.
    #[error("the server's answer to the WebSocket handshake is malformed")]
    Malformed,
    /// The answer's proof, protocol or fields are not those that the handshake asked for.
    #[error("the server's answer to the WebSocket handshake has a wrong {0} field")]
    Mismatch(&'static str),
}

/// Does the handshake for `url` over `stream`. Of `headers`, those that the handshake itself sets are left out. `compression`
/// offers compressed messages to the server.
pub async fn connect<S>(
    mut stream: S,
    url: &Url,
    protocols: &str,
    headers: &HeaderMap,
    compression: Option<Compression>,
    limits: &Limits,
) -> Result<Answer, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let key = base64::engine::general_purpose::STANDARD.encode(nonce());
    stream.write_all(&request(url, protocols, headers, compression.is_some(), &key)).await?;
    stream.flush().await?;
    let (mut answer, rest) = read_head(&mut stream, limits).await?;
    if answer.status != 101 {
        answer.body = read_refusal(&mut stream, &answer.headers, rest, limits).await;
        return Ok(answer);
    }
    let agreed = check(&answer.headers, protocols, compression, &key)?;
    let (ours, theirs) = pipe::pair();
    carry::start(stream, rest, agreed, ours, limits);
    answer.socket = Some(theirs);
    Ok(answer)
}

// The key proves that the server speaks WebSocket; it need not be secret, only different each time.
fn nonce() -> [u8; 16] {
    use std::hash::{BuildHasher, RandomState};
    let mut bytes = [0; 16];
    let (high, low) = bytes.split_at_mut(8);
    high.copy_from_slice(&RandomState::new().hash_one(1).to_le_bytes());
    low.copy_from_slice(&RandomState::new().hash_one(2).to_le_bytes());
    bytes
}

fn request(url: &Url, protocols: &str, headers: &HeaderMap, compresses: bool, key: &str) -> Vec<u8> {
    let mut target = url.path().to_string();
    if let Some(query) = url.query() {
        target.push('?');
        target.push_str(query);
    }
    let host = match (url.host_str().unwrap_or_default(), url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_string(),
    };
    let mut text = format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
    );
    if !protocols.is_empty() {
        text.push_str(&format!("Sec-WebSocket-Protocol: {protocols}\r\n"));
    }
    if compresses {
        text.push_str(&format!("Sec-WebSocket-Extensions: {}\r\n", deflate::OFFER));
    }
    if !url.username().is_empty() && !headers.contains_key(header::AUTHORIZATION) {
        let pair = format!("{}:{}", url.username(), url.password().unwrap_or_default());
        let value = base64::engine::general_purpose::STANDARD.encode(pair);
        text.push_str(&format!("Authorization: Basic {value}\r\n"));
    }
    let mut request = text.into_bytes();
    for (name, value) in headers.iter().filter(|(name, _)| !is_set_here(name)) {
        request.extend_from_slice(name.as_str().as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

fn is_set_here(name: &HeaderName) -> bool {
    let own = [
        header::HOST,
        header::UPGRADE,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ];
    own.contains(name) || name.as_str().starts_with("sec-websocket-")
}

async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    limits: &Limits,
) -> Result<(Answer, Vec<u8>), ClientError> {
    let mut read = Vec::new();
    loop {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        let mut fields = vec![httparse::EMPTY_HEADER; limits.header_count_max];
        let mut response = httparse::Response::new(&mut fields);
        match response.parse(&read) {
            Ok(httparse::Status::Partial) if read.len() < limits.header_bytes_max => continue,
            Ok(httparse::Status::Complete(length)) => {
                let answer = answer_of(&response)?;
                return Ok((answer, read.split_off(length)));
            }
            _ => return Err(ClientError::Malformed),
        }
    }
}

fn answer_of(response: &httparse::Response<'_, '_>) -> Result<Answer, ClientError> {
    let mut headers = HeaderMap::new();
    for field in response.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| ClientError::Malformed)?;
        headers.append(name, HeaderValue::from_bytes(field.value).map_err(|_| ClientError::Malformed)?);
    }
    Ok(Answer {
        status: response.code.unwrap_or(0),
        reason: response.reason.unwrap_or_default().to_string(),
        headers,
        body: Bytes::new(),
        socket: None,
    })
}

async fn read_refusal<S: AsyncRead + Unpin>(
    stream: &mut S,
    headers: &HeaderMap,
    read: Vec<u8>,
    limits: &Limits,
) -> Bytes {
    let text_of = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_chunked =
        text_of(header::TRANSFER_ENCODING).is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    let length =
        text_of(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()).filter(|_| !is_chunked);
    let max = limits.socket_refusal_bytes_max.min(length.unwrap_or(usize::MAX));
    let mut body = read;
    let reading = async {
        while body.len() < max && !(is_chunked && body.ends_with(b"0\r\n\r\n")) {
            if !matches!(stream.read_buf(&mut body).await, Ok(1..)) {
                break;
            }
        }
    };
    // A body that breaks off, or does not end, is shown as far as it came.
    let _shorter = tokio::time::timeout(limits.socket_close_max, reading).await;
    body.truncate(max);
    if is_chunked { without_chunks(&body) } else { body.into() }
}

fn without_chunks(mut coded: &[u8]) -> Bytes {
    let mut body = Vec::new();
    while let Ok(httparse::Status::Complete((start, size @ 1..))) = httparse::parse_chunk_size(coded) {
        let chunk = coded.get(start..).unwrap_or_default();
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(chunk.len());
        body.extend_from_slice(&chunk[..size]);
        coded = chunk[size..].strip_prefix(b"\r\n").unwrap_or_default();
    }
    body.into()
}

fn check(
    headers: &HeaderMap,
    protocols: &str,
    compression: Option<Compression>,
    key: &str,
) -> Result<Option<Agreed>, ClientError> {
    let accept = headers.get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accept != Some(&accept_value(key.as_bytes())[..]) {
        return Err(ClientError::Mismatch("Sec-WebSocket-Accept"));
    }
    let upgrade = headers.get(header::UPGRADE);
    if !upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return Err(ClientError::Mismatch("Upgrade"));
    }
    let mut extensions = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
    let agreed = match compression {
        Some(compression) => deflate::accepted(extensions, compression),
        None => extensions.next().map_or(Ok(None), |_| Err(deflate::Unasked)),
    };
    let agreed = agreed.map_err(|_| ClientError::Mismatch("Sec-WebSocket-Extensions"))?;
    match headers.get(header::SEC_WEBSOCKET_PROTOCOL) {
        Some(chosen) if !protocols.split(',').any(|offer| offer.trim().as_bytes() == chosen.as_bytes()) => {
            Err(ClientError::Mismatch("Sec-WebSocket-Protocol"))
        }
        _ => Ok(agreed),
    }
}

#[cfg(test)]
mod tests {
    use super::without_chunks;

    #[test]
    fn chunks_are_joined_as_far_as_they_came() {
        assert_eq!(&without_chunks(b"3\r\nnot\r\n4;x=y\r\n you\r\n0\r\n\r\n")[..], b"not you");
        assert_eq!(&without_chunks(b"ff\r\nshort")[..], b"short");
        assert_eq!(&without_chunks(b"no size")[..], b"");
    }
}

//! Connections of the load generator: made and checked one after the other with blocking calls, then driven by `load`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may be silent before the benchmark gives it up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connects, and tells the kernel not to wait with small writes.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Opens a WebSocket; `path` is everything behind the port.
pub fn open_socket(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = connect(address)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let head = read_head(&mut stream)?;
    if !head.starts_with("HTTP/1.1 101") {
        return Err(io::Error::other(format!("the handshake of {path} was answered with: {head}")));
    }
    Ok(stream)
}

/// The bytes of a GET request.
pub fn get_request(address: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: */*\r\n\r\n").into_bytes()
}

/// An answer with the number of its bytes.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
    /// Head and body together.
    pub length: usize,
}

/// Sends a request and reads its answer.
pub fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<Answer> {
    stream.write_all(request)?;
    let head = read_head(stream)?;
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let lower = head.to_ascii_lowercase();
    let field = |name: &str| lower.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if let Some(length) = field("content-length:").and_then(|length| length.parse::<usize>().ok()) {
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let length = head.len() + body.len();
        return Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned(), length });
    }
    if field("transfer-encoding:") != Some("chunked") {
        return Ok(Answer { status, body: String::new(), length: head.len() });
    }
    let mut body = Vec::new();
    let mut length = head.len();
    loop {
        let line = read_line(stream)?;
        let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk)?;
        length += line.len() + chunk.len();
        body.extend_from_slice(chunk.get(..size).unwrap_or_default());
        if size == 0 {
            return Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned(), length });
        }
    }
}

fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    // Byte by byte: what follows belongs to somebody else.
    while !head.ends_with(b"\r\n\r\n") {
        head.push(read_byte(stream)?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn read_line(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(read_byte(stream)?);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn read_byte(stream: &mut TcpStream) -> io::Result<u8> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// A short text message as a client sends it. The mask is zero, so that the payload stays readable.
pub fn masked(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | short(text), 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// A short text message as a server sends it.
pub fn unmasked(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, short(text)];
    frame.extend_from_slice(text.as_bytes());
    frame
}

fn short(text: &str) -> u8 {
    assert!(text.len() < 126, "messages of the benchmark are short");
    text.len() as u8
}

/// Reads exactly what is expected, or says what came instead.
pub fn expect(stream: &mut TcpStream, expected: &[u8]) -> io::Result<()> {
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got)?;
    if got == expected {
        return Ok(());
    }
    let (expected, got) = (String::from_utf8_lossy(expected), String::from_utf8_lossy(&got));
    Err(io::Error::other(format!("expected {expected:?} of the server, got {got:?}")))
}

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
    opened(address, path, "").map(|(stream, _)| stream)
}

/// The same with compressed messages, of which each stands for itself, so that equal ones are of equal length.
pub fn open_compressed(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let offer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let field = format!("sec-websocket-extensions: {offer}\r\n");
    let (stream, head) = opened(address, path, &field)?;
    if !head.to_ascii_lowercase().contains("permessage-deflate") {
        return Err(io::Error::other(format!("the server compresses nothing: {head}")));
    }
    Ok(stream)
}

fn opened(address: SocketAddr, path: &str, field: &str) -> io::Result<(TcpStream, String)> {
    let mut stream = connect(address)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{field}\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let head = read_head(&mut stream)?;
    if !head.starts_with("HTTP/1.1 101") {
        return Err(io::Error::other(format!("the handshake of {path} was answered with: {head}")));
    }
    Ok((stream, head))
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

/// A text message as a client sends it. The mask is zero, so that the payload stays readable.
pub fn masked(text: &str) -> Vec<u8> {
    frame(text, 0x80, &[0; 4])
}

/// A text message as a server sends it.
pub fn unmasked(text: &str) -> Vec<u8> {
    frame(text, 0, &[])
}

fn frame(text: &str, mask_bit: u8, mask: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ 0..126), _) => frame.push(mask_bit | length),
        (_, Ok(length)) => {
            frame.push(mask_bit | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        _ => panic!("messages of the benchmark are shorter"),
    }
    frame.extend_from_slice(mask);
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// Reads a frame of a server: whether it is compressed, and its length with its head.
pub fn read_frame(stream: &mut TcpStream) -> io::Result<(bool, usize)> {
    let [first, second] = [read_byte(stream)?, read_byte(stream)?];
    let (head, length) = match second {
        126 => (4, usize::from(u16::from_be_bytes([read_byte(stream)?, read_byte(stream)?]))),
        127.. => return Err(io::Error::other("a frame of the server is too long")),
        length => (2, usize::from(length)),
    };
    stream.read_exact(&mut vec![0; length])?;
    Ok((first & 0x40 != 0, head + length))
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

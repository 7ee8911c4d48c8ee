//! Clients that do byte by byte what no library would: requests that are not read, frames that do not end.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{PATIENCE, Server};

/// Sends a request, of which the answer is not read yet; the connection is open until the stream is dropped.
pub(crate) fn ask(port: u16, path: &str, fields: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").unwrap();
    stream
}

/// The head of an answer, in small letters.
pub(crate) fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
        head.extend_from_slice(&byte);
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

/// The fields of a WebSocket handshake.
pub(crate) const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A socket of a room.
pub(crate) fn socket(server: &Server, path: &str) -> TcpStream {
    let mut stream = ask(server.port, path, HANDSHAKE);
    let answer = head(&mut stream);
    assert!(answer.starts_with("http/1.1 101"), "{answer}\n{}", server.output());
    stream
}

/// The head of a frame of `length` bytes from a client, whose mask changes nothing.
pub(crate) fn frame_head(opcode: u8, length: usize) -> Vec<u8> {
    let mut head = vec![0x80 | opcode, 0xff];
    head.extend_from_slice(&(length as u64).to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    head
}

/// Sends a text message.
pub(crate) fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(&[frame_head(1, text.len()), text.as_bytes().to_vec()].concat()).unwrap();
}

/// The opcode and payload of the next frame; none when the connection has ended.
pub(crate) fn frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    let mut length = u64::from(head[1]);
    let mut more = [0; 8];
    let wide = match length {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if wide > 0 {
        stream.read_exact(&mut more[8 - wide..]).ok()?;
        length = u64::from_be_bytes(more);
    }
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).ok()?;
    Some((head[0] & 0x0f, payload))
}

/// The code of the close frame that comes, whatever comes before it; none when the connection ends without one.
pub(crate) fn close_code(stream: &mut TcpStream) -> Option<u16> {
    loop {
        let (opcode, payload) = frame(stream)?;
        if opcode == 8 {
            return Some(u16::from_be_bytes([*payload.first()?, *payload.get(1)?]));
        }
    }
}

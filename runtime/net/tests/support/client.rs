//! A client that can say anything: raw bytes over a blocking TCP stream.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, bytes: Vec::new() }
    }

    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        // The server may have hung up already, which the answer will tell.
        let _broken = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Reads more; false at the end, be it proper or a reset.
    pub(crate) fn more(&mut self) -> bool {
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.bytes.extend_from_slice(&buffer[..length]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the server says nothing"),
            Err(_) => false,
        }
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.bytes.len() < length {
            if !self.more() {
                return None;
            }
        }
        Some(self.bytes.drain(..length).collect())
    }

    /// Reads one response head with its body, if its length is known or it ends the connection.
    pub(crate) fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            if let Some(end) = self.bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.more() {
                return None;
            }
        };
        let head = String::from_utf8(self.take(end)?).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let field = |name: &str| {
            let (_, rest) = head.split_once(&format!("\r\n{name}: "))?;
            rest.split("\r\n").next().map(str::to_owned)
        };
        let mut body = Vec::new();
        if method != "HEAD" && status != 101 && status != 204 && status != 304 {
            if let Some(length) = field("content-length") {
                body = self.take(length.parse().unwrap())?;
            } else if field("transfer-encoding").is_some() {
                body = self.chunks()?;
            }
        }
        Some(Answer { status, head, body })
    }

    pub(crate) fn answer(&mut self) -> Answer {
        self.answer_to("GET").expect("an answer")
    }

    fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut whole = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = self.bytes.windows(2).position(|window| window == b"\r\n") {
                    break end;
                }
                if !self.more() {
                    return None;
                }
            };
            let line = String::from_utf8(self.take(end + 2)?).unwrap();
            let length = usize::from_str_radix(line.trim(), 16).unwrap();
            let chunk = self.take(length + 2)?;
            whole.extend_from_slice(&chunk[..length]);
            if length == 0 {
                return Some(whole);
            }
        }
    }

    pub(crate) fn is_closed(&mut self) -> bool {
        self.bytes.clear();
        !self.more()
    }

    /// Makes the WebSocket handshake.
    pub(crate) fn socket(address: SocketAddr, path: &str) -> Self {
        let mut client = Self::connect(address);
        client.say(handshake(path));
        assert_eq!(client.answer().status, 101);
        client
    }

    /// Reads one frame: the first byte and the payload.
    pub(crate) fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.take(2)?;
        let length = match head[1] {
            126 => u16::from_be_bytes(self.take(2)?.try_into().unwrap()).into(),
            127 => u64::from_be_bytes(self.take(8)?.try_into().unwrap()) as usize,
            length => length.into(),
        };
        Some((head[0], self.take(length)?))
    }

    pub(crate) fn text(&mut self) -> String {
        let (first, payload) = self.frame().expect("a frame");
        assert_eq!(first, 0x81);
        String::from_utf8(payload).unwrap()
    }

    /// Reads up to the close frame: its code and reason.
    pub(crate) fn closing(&mut self) -> (u16, String) {
        loop {
            let (first, payload) = self.frame().expect("a close frame");
            if first == 0x88 && payload.is_empty() {
                return (1005, String::new());
            }
            if first == 0x88 {
                let reason = String::from_utf8(payload[2..].to_vec()).unwrap();
                return (u16::from_be_bytes([payload[0], payload[1]]), reason);
            }
        }
    }
}

pub(crate) fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: a.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A masked frame.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mask = [9, 8, 7, 6];
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]));
    bytes
}

pub(crate) fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes()[..], reason.as_bytes()].concat())
}

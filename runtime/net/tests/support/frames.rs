//! An HTTP/2 client that can say anything: raw frames over a blocking TCP stream (RFC 9113, 4.1).
//!
//! Header fields are written as literals without an index, the simplest form of RFC 7541. Of what the server says, frames are
//! read whole; their heads are not decoded.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// What stands for `:status: 200`.
pub(crate) const STATUS_200: u8 = 0x88;

/// A frame as it was read.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The number at this place of the payload.
    pub(crate) fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A block of header fields.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            // An integer with a prefix of seven bits (RFC 7541, 5.1).
            let mut length = text.len();
            if length < 127 {
                bytes.push(length as u8);
            } else {
                bytes.push(127);
                length -= 127;
                while length >= 128 {
                    bytes.push(length as u8 | 128);
                    length >>= 7;
                }
                bytes.push(length as u8);
            }
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

/// The fields of a request.
pub(crate) fn request<'text>(method: &'text str, path: &'text str) -> Vec<(&'text str, &'text str)> {
    vec![(":method", method), (":scheme", "http"), (":authority", "a.test"), (":path", path)]
}

impl Raw {
    /// Connects with these settings.
    pub(crate) fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self { stream };
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        client.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").say(frame(SETTINGS, 0, 0, &payload));
        client
    }

    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        // The server may have hung up already, which what follows will tell.
        let _broken = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Sends a request, whole or with a body to follow.
    pub(crate) fn ask(&mut self, stream: u32, fields: &[(&str, &str)], whole: bool) -> &mut Self {
        let flags = END_HEADERS | if whole { END_STREAM } else { 0 };
        self.say(frame(HEADERS, flags, stream, &block(fields)))
    }

    /// The next frame; none at the end, be it proper or a reset.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.fill(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.fill(&mut payload)?;
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the server says nothing"),
            read => read.ok(),
        }
    }

    /// The next frame of a kind; the ones before it are dropped. None at the end.
    pub(crate) fn next(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.frame()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// How the server ends a stream: with an answer, a reset, or the whole connection.
    pub(crate) fn end_of(&mut self, stream: u32) -> String {
        loop {
            let Some(frame) = self.frame() else { return "closed".to_string() };
            match frame.kind {
                HEADERS if frame.stream == stream => return format!("answer {:x}", frame.payload[0]),
                RST_STREAM if frame.stream == stream => return format!("reset {}", frame.number(0)),
                GOAWAY => return format!("away {}", frame.number(4)),
                _ => {}
            }
        }
    }

    /// The code with which the server ends the connection; none if it only closes it.
    pub(crate) fn away(&mut self) -> Option<u32> {
        Some(self.next(GOAWAY)?.number(4))
    }

    /// Whether the connection ends.
    pub(crate) fn is_closed(&mut self) -> bool {
        while self.frame().is_some() {}
        true
    }
}

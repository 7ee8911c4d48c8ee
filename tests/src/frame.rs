//! WebSocket frames (RFC 6455 section 5), written here so that the client shares no code with the server under test.
//!
//! `Decoder` takes the bytes of the server and yields what a strict client may accept; anything that the RFC forbids
//! comes out as a `Violation` in words. `encode` masks as clients must; tests build broken frames by hand as bytes.

/// What the server sent, reassembled from fragments.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping and its payload.
    Ping(Vec<u8>),
    /// A pong and its payload.
    Pong(Vec<u8>),
    /// A close frame; without a body the code is 1005, as clients show it.
    Close {
        /// The code of the frame.
        code: u16,
        /// The reason of the frame.
        reason: String,
    },
    /// Something that the RFC forbids; nothing follows it.
    Violation(String),
}

/// Text frame.
pub const TEXT: u8 = 1;
/// Binary frame.
pub const BINARY: u8 = 2;
/// Close frame.
pub const CLOSE: u8 = 8;
/// Ping frame.
pub const PING: u8 = 9;
/// Pong frame.
pub const PONG: u8 = 10;

/// A whole masked client frame with FIN set.
pub fn encode(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![0x80 | opcode];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// The payload of a close frame; code 1005 stands for an empty body.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    if code == 1005 {
        return Vec::new();
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend(reason.as_bytes());
    payload
}

/// Reassembles the server's bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Opcode and payload of a fragmented message so far.
    partial: Option<(u8, Vec<u8>)>,
}

impl Decoder {
    /// Adds received bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// True when nothing of a frame or message is half received.
    pub fn at_boundary(&self) -> bool {
        self.bytes.is_empty() && self.partial.is_none()
    }

    /// The next message, if its last byte has come.
    pub fn next_message(&mut self) -> Option<Message> {
        loop {
            let (head, payload) = match self.next_frame()? {
                Ok(frame) => frame,
                Err(message) => return Some(Message::Violation(message)),
            };
            let (fin, opcode) = (head & 0x80 != 0, head & 0x0f);
            match opcode {
                CLOSE | PING | PONG => return Some(control(opcode, payload)),
                TEXT | BINARY if self.partial.is_some() => {
                    return Some(Message::Violation("a new message inside a fragmented one".into()));
                }
                TEXT | BINARY => self.partial = Some((opcode, payload)),
                _ => match &mut self.partial {
                    Some((_, whole)) => whole.extend(payload),
                    None => return Some(Message::Violation("a continuation without a beginning".into())),
                },
            }
            if fin {
                let (opcode, whole) = self.partial.take()?;
                return Some(data(opcode, whole));
            }
        }
    }

    fn next_frame(&mut self) -> Option<Result<(u8, Vec<u8>), String>> {
        let head = *self.bytes.first()?;
        let second = *self.bytes.get(1)?;
        let (len, from): (usize, usize) = match second & 0x7f {
            126 => (u16::from_be_bytes(self.bytes.get(2..4)?.try_into().ok()?) as usize, 4),
            127 => (u64::from_be_bytes(self.bytes.get(2..10)?.try_into().ok()?) as usize, 10),
            short => (short as usize, 2),
        };
        if let Err(message) = check_head(head, second, len) {
            return Some(Err(message));
        }
        let payload = self.bytes.get(from..from.checked_add(len)?)?.to_vec();
        self.bytes.drain(..from + len);
        Some(Ok((head, payload)))
    }
}

fn check_head(head: u8, second: u8, len: usize) -> Result<(), String> {
    let opcode = head & 0x0f;
    if head & 0x70 != 0 {
        return Err(format!("reserved bits set without an extension: first byte {head:#04x}"));
    }
    if second & 0x80 != 0 {
        return Err("a masked frame from the server".into());
    }
    if !matches!(opcode, 0 | TEXT | BINARY | CLOSE | PING | PONG) {
        return Err(format!("reserved opcode {opcode}"));
    }
    if opcode >= CLOSE && head & 0x80 == 0 {
        return Err(format!("a fragmented control frame, opcode {opcode}"));
    }
    if opcode >= CLOSE && len > 125 {
        return Err(format!("a control frame of {len} bytes, opcode {opcode}"));
    }
    Ok(())
}

fn control(opcode: u8, payload: Vec<u8>) -> Message {
    match (opcode, payload.as_slice()) {
        (PING, _) => Message::Ping(payload),
        (PONG, _) => Message::Pong(payload),
        (_, []) => Message::Close { code: 1005, reason: String::new() },
        (_, [_]) => Message::Violation("a close frame of one byte".into()),
        (_, [high, low, reason @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Message::Violation(format!("a close frame with code {code}"));
            }
            match String::from_utf8(reason.to_vec()) {
                Ok(reason) => Message::Close { code, reason },
                Err(_) => Message::Violation("a close reason that is not UTF-8".into()),
            }
        }
    }
}

fn data(opcode: u8, whole: Vec<u8>) -> Message {
    if opcode == BINARY {
        return Message::Binary(whole);
    }
    match String::from_utf8(whole) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Violation("a text message that is not UTF-8".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Vec<Message> {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        for byte in bytes {
            decoder.feed(&[*byte]);
            out.extend(decoder.next_message());
        }
        out
    }

    #[test]
    fn whole_fragmented_and_interleaved() {
        assert_eq!(decoded(&[0x81, 2, b'h', b'i']), [Message::Text("hi".into())]);
        let fragments = [0x01, 1, b'h', 0x89, 0, 0x80, 1, b'i'];
        assert_eq!(decoded(&fragments), [Message::Ping(vec![]), Message::Text("hi".into())]);
        assert_eq!(decoded(&[0x88, 0]), [Message::Close { code: 1005, reason: String::new() }]);
        let long: Vec<u8> = [0x82, 126, 1, 0].into_iter().chain([7; 256]).collect();
        assert_eq!(decoded(&long), [Message::Binary(vec![7; 256])]);
    }

    #[test]
    fn what_the_rfc_forbids_is_a_violation() {
        let broken: [&[u8]; 9] = [
            &[0xc1, 0],
            &[0x81, 0x80, 0, 0, 0, 0],
            &[0x83, 0],
            &[0x09, 0],
            &[0x88, 126, 0, 126],
            &[0x88, 1, 3],
            &[0x88, 2, 3, 0xed],
            &[0x81, 1, 0xff],
            &[0x80, 0],
        ];
        for bytes in broken {
            assert!(matches!(decoded(bytes).first(), Some(Message::Violation(_))), "{bytes:x?}");
        }
    }

    #[test]
    fn frames_are_masked() {
        let frame = encode(TEXT, b"hi");
        assert_eq!(frame[..2], [0x81, 0x82]);
        assert_eq!([frame[6] ^ frame[2], frame[7] ^ frame[3]], *b"hi");
        assert_eq!(encode(BINARY, &[0; 126])[1..4], [0x80 | 126, 0, 126]);
        assert_eq!(encode(BINARY, &[0; 65_536])[1..10], [0xff, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}

//! Incoming WebSocket frames (RFC 6455, section 5), parsed where they lie in the worker's read buffer.
//!
//! [`Decoder::next`] is called with what was read and gives whole messages and control frames until it needs more. A
//! message that is whole in the buffer is handed out without a copy; of others the decoder keeps what came so far, so
//! an idle socket owns no buffer. Every bound is checked on the frame's head, before anything is stored: declared
//! length (1009), number of fragments (1008), masks, reserved bits, control frames (1002); text must be UTF-8 (1007). A close
//! frame is one whatever is wrong with its payload, and without a mask, too: proxies are known to send such when they end.
//! Compressed messages, where they were agreed on, are kept until they are whole, and unpacked within the same bound.
//!
//! Why not the reader of `fastwebsockets`, whose unmasking is used: it keeps the declared length to itself, which the
//! reason of a 1009 must name; it accepts unmasked frames from clients; and it owns 8 KiB per socket.

use std::borrow::Cow;

use crate::close::{Farewell, Violation, parse_close};
use crate::deflate::{self, Agreed};

/// The longest head: two bytes, eight of length, four of mask.
const HEAD_BYTES_MAX: usize = 14;
/// The longest control frame (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: u64 = 125;
/// The longest close frame that is read to its end, although it is too long.
const CLOSE_BYTES_MAX: u64 = 4096;
/// The first piece of memory that an incomplete message gets, whatever length it declares.
const FIRST_RESERVE_BYTES: usize = 16 * 1024;
/// The bits of a frame's first byte that say nothing without an extension (RFC 6455, 5.2).
const RESERVED: u8 = 0x70;
/// The one of them that says that a message is compressed (RFC 7692, 6).
const PACKED: u8 = 0x40;

/// What the decoder found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'buffer> {
    Text(Cow<'buffer, str>),
    Binary(Cow<'buffer, [u8]>),
    Ping(Cow<'buffer, [u8]>),
    Pong,
    Close(Farewell),
}

/// Bounds of what one peer may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) message_bytes_max: usize,
    pub(crate) fragments_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

/// A frame whose payload is not complete yet.
#[derive(Clone, Copy, Debug)]
struct Head {
    opcode: Opcode,
    fin: bool,
    packed: bool,
    mask: [u8; 4],
    length: usize,
}

/// The state between two reads.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    head_bytes: [u8; HEAD_BYTES_MAX],
    head_length: usize,
    /// The frame in progress with the number of its bytes that came.
    frame: Option<(Head, usize)>,
    message: Option<Message>,
    message_bytes: Vec<u8>,
    control_bytes: Vec<u8>,
    from: Sender,
    /// The bits of a first byte that may be set.
    allowed: u8,
    /// The end of what came compressed, if later messages may refer to it.
    history: Option<Vec<u8>>,
}

/// Whose frames are read: those of clients have masks, those of servers have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sender {
    #[default]
    Client,
    Server,
}

/// The message in progress.
#[derive(Clone, Copy, Debug)]
struct Message {
    text: bool,
    packed: bool,
    fragments: usize,
}

impl Decoder {
    /// Reads frames of that sender, with which that was agreed on.
    pub(crate) fn new(from: Sender, agreed: Option<Agreed>) -> Self {
        let allowed = if agreed.is_some() { PACKED } else { 0 };
        let history = agreed.filter(|agreed| agreed.keeps_in).map(|_| Vec::new());
        Self { from, allowed, history, ..Self::default() }
    }

    /// Whether nothing of a message or of a frame has come.
    pub(crate) fn is_between(&self) -> bool {
        self.head_length == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// Takes the next message or control frame off the input. `None` means that the input is used up.
    pub(crate) fn next<'buffer>(
        &mut self,
        input: &mut &'buffer mut [u8],
        bounds: Bounds,
    ) -> Result<Option<Incoming<'buffer>>, Violation> {
        loop {
            let (head, had) = match self.frame {
                Some(frame) => frame,
                None => match self.read_head(input)? {
                    Some(head) => {
                        self.check(&head, bounds)?;
                        (head, 0)
                    }
                    None => return Ok(None),
                },
            };
            let bytes = std::mem::take(input);
            let missing = head.length - had;
            let (part, rest) = bytes.split_at_mut(missing.min(bytes.len()));
            *input = rest;
            unmask(part, head.mask, had);
            if part.len() < missing {
                self.keep(&head, part);
                self.frame = Some((head, had + part.len()));
                return Ok(None);
            }
            self.frame = None;
            if let Some(incoming) = self.complete(&head, part, bounds)? {
                return Ok(Some(incoming));
            }
        }
    }

    /// The memory, in bytes, in which parts are kept of a message that is not whole.
    pub(crate) fn kept(&self) -> usize {
        self.message_bytes.capacity()
    }

    /// Reads a head that may arrive byte by byte.
    fn read_head(&mut self, input: &mut &mut [u8]) -> Result<Option<Head>, Violation> {
        if self.head_length == 0
            && let Some((head, used)) = self.parse_head(input)?
        {
            *input = std::mem::take(input).split_at_mut(used).1;
            return Ok(Some(head));
        }
        while let Some((&mut byte, rest)) = std::mem::take(input).split_first_mut() {
            *input = rest;
            if let Some(slot) = self.head_bytes.get_mut(self.head_length) {
                *slot = byte;
                self.head_length += 1;
            }
            let so_far = self.head_bytes.get(..self.head_length).unwrap_or_default();
            if let Some((head, _)) = self.parse_head(so_far)? {
                self.head_length = 0;
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    /// Checks a head against the message in progress and the bounds.
    fn check(&mut self, head: &Head, bounds: Bounds) -> Result<(), Violation> {
        match head.opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong => return Ok(()),
            Opcode::Continuation => {
                let Some(message) = &mut self.message else {
                    return Err(Violation::protocol("A continuation continues nothing"));
                };
                message.fragments += 1;
                if message.fragments > bounds.fragments_max {
                    let max = bounds.fragments_max;
                    let reason = format!("More than {max} fragments (limit `message_fragments_max`)");
                    return Err(Violation::policy(reason));
                }
            }
            Opcode::Text | Opcode::Binary => {
                if self.message.is_some() {
                    return Err(Violation::protocol("A message begins inside another one"));
                }
            }
        }
        let total = (self.message_bytes.len() as u64).saturating_add(head.length as u64);
        if total > bounds.message_bytes_max as u64 {
            let packed = self.message.map_or(head.packed, |message| message.packed);
            if !packed || total > deflate::packed_bytes_max(bounds.message_bytes_max) as u64 {
                return Err(Violation::too_large(total, bounds.message_bytes_max));
            }
        }
        if head.opcode != Opcode::Continuation && !head.fin {
            let (text, packed) = (head.opcode == Opcode::Text, head.packed);
            self.message = Some(Message { text, packed, fragments: 1 });
        }
        Ok(())
    }

    /// Keeps a part of an incomplete frame.
    fn keep(&mut self, head: &Head, part: &[u8]) {
        let target = match head.opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong => &mut self.control_bytes,
            _ => &mut self.message_bytes,
        };
        if target.capacity() == 0 {
            // The declared length is only believed as far as it has come.
            target.reserve_exact(head.length.min(FIRST_RESERVE_BYTES.max(part.len())));
        }
        target.extend_from_slice(part);
    }

    /// Ends a frame with its last part, which is the whole payload for most.
    fn complete<'buffer>(
        &mut self,
        head: &Head,
        part: &'buffer [u8],
        bounds: Bounds,
    ) -> Result<Option<Incoming<'buffer>>, Violation> {
        match head.opcode {
            Opcode::Ping => Ok(Some(Incoming::Ping(take(&mut self.control_bytes, part)))),
            Opcode::Pong => {
                self.control_bytes = Vec::new();
                Ok(Some(Incoming::Pong))
            }
            Opcode::Close => Ok(Some(Incoming::Close(parse_close(&take(&mut self.control_bytes, part))))),
            Opcode::Continuation | Opcode::Text | Opcode::Binary if !head.fin => {
                self.message_bytes.extend_from_slice(part);
                Ok(None)
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                let first = self.message.take();
                let (text, packed) = first
                    .map_or((head.opcode == Opcode::Text, head.packed), |first| (first.text, first.packed));
                let bytes = take(&mut self.message_bytes, part);
                let bytes = if packed { self.unpack(&bytes, bounds)?.into() } else { bytes };
                message(text, bytes).map(Some)
            }
        }
    }

    /// Reads a frame's head with its length; `None` when more bytes are needed.
    fn parse_head(&self, bytes: &[u8]) -> Result<Option<(Head, usize)>, Violation> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        if first & RESERVED & !self.allowed != 0 {
            return Err(Violation::protocol("Reserved bits are set"));
        }
        let packed = first & PACKED != 0;
        let opcode = match first & (PACKED | 0x0f) {
            0 => Opcode::Continuation,
            0x01 | 0x41 => Opcode::Text,
            0x02 | 0x42 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            0x40 | 0x48..=0x4a => {
                return Err(Violation::protocol(
                    "Only the first frame of a message says that it is compressed",
                ));
            }
            _ => return Err(Violation::protocol("Unknown opcode")),
        };
        let masked = second & 0x80 != 0;
        if masked != (self.from == Sender::Client) && opcode != Opcode::Close {
            return Err(Violation::protocol(match self.from {
                Sender::Client => "Frames from a client must be masked",
                Sender::Server => "Frames from a server must not be masked",
            }));
        }
        let (length, rest, used) = match (second & 0x7f, rest) {
            (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest, 4),
            (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
                (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest, 10)
            }
            (126 | 127, _) => return Ok(None),
            (length, rest) => (u64::from(length), rest, 2),
        };
        let control = matches!(opcode, Opcode::Close | Opcode::Ping | Opcode::Pong);
        let control_max = if opcode == Opcode::Close { CLOSE_BYTES_MAX } else { CONTROL_BYTES_MAX };
        let fin = first & 0x80 != 0;
        if control && (!fin || length > control_max) {
            return Err(Violation::protocol("A control frame is fragmented or too long"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !masked {
            return Ok(Some((Head { opcode, fin, packed, mask: [0; 4], length }, used)));
        }
        let &[a, b, c, d, ..] = rest else {
            return Ok(None);
        };
        Ok(Some((Head { opcode, fin, packed, mask: [a, b, c, d], length }, used + 4)))
    }

    fn unpack(&mut self, packed: &[u8], bounds: Bounds) -> Result<Vec<u8>, Violation> {
        let known = self.history.as_deref().unwrap_or_default();
        let message = deflate::unpack(packed, known, bounds.message_bytes_max)?;
        if let Some(history) = &mut self.history {
            deflate::remember(history, &message, u8::MAX);
        }
        Ok(message)
    }
}

/// Joins what was kept with the last part.
fn take<'buffer>(kept: &mut Vec<u8>, part: &'buffer [u8]) -> Cow<'buffer, [u8]> {
    if kept.is_empty() {
        return Cow::Borrowed(part);
    }
    let mut whole = std::mem::take(kept);
    whole.extend_from_slice(part);
    Cow::Owned(whole)
}

fn message(text: bool, bytes: Cow<'_, [u8]>) -> Result<Incoming<'_>, Violation> {
    if !text {
        return Ok(Incoming::Binary(bytes));
    }
    let text = match bytes {
        Cow::Borrowed(bytes) => {
            simdutf8::basic::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Violation::utf8())
        }
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Violation::utf8()),
    };
    text.map(Incoming::Text)
}

/// Takes the mask off a part of a payload that starts `offset` bytes into it.
fn unmask(part: &mut [u8], mut mask: [u8; 4], offset: usize) {
    mask.rotate_left(offset % 4);
    fastwebsockets::unmask(part, mask);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::Compression;

    const BOUNDS: Bounds = Bounds { message_bytes_max: 100_000, fragments_max: 4 };
    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
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
        bytes.extend_from_slice(&MASK);
        bytes.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ MASK[index % 4]));
        bytes
    }

    /// Feeds the bytes in pieces of a size and describes what comes out.
    fn run(bytes: &[u8], piece: usize) -> Vec<String> {
        run_with(Decoder::default(), bytes, piece)
    }

    fn run_with(mut decoder: Decoder, bytes: &[u8], piece: usize) -> Vec<String> {
        let mut found = Vec::new();
        for piece in bytes.chunks(piece) {
            let mut piece = piece.to_vec();
            let mut input = &mut piece[..];
            loop {
                match decoder.next(&mut input, BOUNDS) {
                    Ok(Some(Incoming::Text(text))) => found.push(format!("text {text}")),
                    Ok(Some(Incoming::Binary(bytes))) => found.push(format!("binary {}", bytes.len())),
                    Ok(Some(Incoming::Ping(bytes))) => found.push(format!("ping {}", bytes.len())),
                    Ok(Some(Incoming::Pong)) => found.push("pong".to_owned()),
                    Ok(Some(Incoming::Close(close))) => {
                        let answer = close.answer().map(|it| it.code);
                        found.push(format!("close {:?} {answer:?}", close.said.map(|it| it.code)));
                        return found;
                    }
                    Ok(None) => break,
                    Err(violation) => {
                        found.push(format!("{} {}", violation.code, violation.reason));
                        return found;
                    }
                }
            }
        }
        found
    }

    #[test]
    fn whole_messages_however_they_are_cut() {
        let mut bytes = frame(0x81, "héllo".as_bytes());
        bytes.extend(frame(0x82, &[7; 300]));
        bytes.extend(frame(0x89, b"?"));
        bytes.extend(frame(0x01, b"a"));
        bytes.extend(frame(0x8a, b""));
        bytes.extend(frame(0x00, "é".as_bytes().get(..1).unwrap()));
        bytes.extend(frame(0x80, "é".as_bytes().get(1..).unwrap()));
        bytes.extend(frame(0x82, &[7; 70_000]));
        bytes.extend(frame(0x81, b""));
        bytes.extend(frame(0x88, &1000_u16.to_be_bytes()));
        let expected = [
            "text héllo",
            "binary 300",
            "ping 1",
            "pong",
            "text aé",
            "binary 70000",
            "text ",
            "close Some(1000) Some(1000)",
        ];
        for piece in [1, 2, 3, 5, 7, 64, 1000, 1 << 20] {
            assert_eq!(run(&bytes, piece), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn whoever_closes_is_believed() {
        for piece in [1, 2, 3, 1 << 20] {
            let one = |bytes: &[u8]| run(bytes, piece).pop().unwrap();
            assert_eq!(one(&[0x88, 2, 3, 233]), "close Some(1001) Some(1001)", "without a mask");
            assert_eq!(one(&[0x88, 0]), "close None None", "without a mask and a code");
            assert_eq!(one(&frame(0x88, &[3])), "close None Some(1002)");
            assert_eq!(one(&frame(0x88, &[0, 0])), "close Some(0) Some(1002)");
            assert_eq!(one(&frame(0x88, &[3, 232, 0xff])), "close Some(1000) Some(1007)");
            let long = [&[3, 232][..], &[b'x'; 300]].concat();
            assert_eq!(one(&frame(0x88, &long)), "close Some(1000) Some(1002)");
            assert_eq!(one(&frame(0x88, &[0; 4097])), "1002 A control frame is fragmented or too long");
            assert_eq!(one(&frame(0x08, &[3, 232])), "1002 A control frame is fragmented or too long");
        }
    }

    #[test]
    fn violations() {
        let one = |bytes: &[u8]| run(bytes, bytes.len()).pop().unwrap();
        assert_eq!(one(&frame(0xc1, b"a")), "1002 Reserved bits are set");
        assert_eq!(one(&frame(0x83, b"a")), "1002 Unknown opcode");
        assert_eq!(one(&[0x81, 1, b'a']), "1002 Frames from a client must be masked");
        assert_eq!(one(&frame(0x09, b"a")), "1002 A control frame is fragmented or too long");
        assert_eq!(one(&frame(0x89, &[0; 126])), "1002 A control frame is fragmented or too long");
        assert_eq!(one(&frame(0x80, b"a")), "1002 A continuation continues nothing");
        assert_eq!(
            one(&[frame(0x01, b"a"), frame(0x81, b"b")].concat()),
            "1002 A message begins inside another one"
        );
        assert_eq!(one(&frame(0x81, &[0xff])), "1007 Invalid UTF-8");
        assert_eq!(one(&frame(0x82, &[0; 100_001])), "1009 Message is too large: 100001 > 100000");
        assert_eq!(run(&frame(0x82, &[0; 100_000]), 1 << 20), ["binary 100000"]);
        let huge = [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        assert_eq!(one(&huge), "1009 Message is too large: 9223372036854775808 > 100000");
        let fragments: Vec<u8> = [frame(0x01, b""), frame(0x00, b"").repeat(4)].concat();
        assert_eq!(one(&fragments), "1008 More than 4 fragments (limit `message_fragments_max`)");
        let fragments: Vec<u8> = [frame(0x02, &[0; 60_000]), frame(0x00, &[0; 60_000])].concat();
        assert_eq!(one(&fragments), "1009 Message is too large: 120000 > 100000");
    }

    const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

    fn unpacked(bytes: &[u8], piece: usize, keeps_in: bool) -> Vec<String> {
        let compression = Compression::new(&partyrun_limits::Limits::default());
        let agreed = Agreed { out_bits: 15, keeps_out: false, keeps_in, compression };
        run_with(Decoder::new(Sender::Client, Some(agreed)), bytes, piece)
    }

    #[test]
    fn compressed_messages_however_they_are_cut() {
        let mut bytes = frame(0xc1, &HELLO);
        bytes.extend(frame(0x81, b"plain"));
        bytes.extend(frame(0x41, &HELLO[..3]));
        bytes.extend(frame(0x89, b"?"));
        bytes.extend(frame(0x00, b""));
        bytes.extend(frame(0x80, &HELLO[3..]));
        bytes.extend(frame(0xc2, &HELLO));
        bytes.extend(frame(0xc1, &[0x00]));
        bytes.extend(frame(0x02, b"in"));
        bytes.extend(frame(0x80, b"parts"));
        let expected = ["text Hello", "text plain", "ping 1", "text Hello", "binary 5", "text ", "binary 7"];
        for piece in [1, 2, 3, 5, 1 << 20] {
            assert_eq!(unpacked(&bytes, piece, false), expected, "pieces of {piece}");
        }
        let again = [frame(0xc1, &HELLO), frame(0xc1, &[0xf2, 0x00, 0x11, 0x00, 0x00])].concat();
        assert_eq!(unpacked(&again, 3, true), ["text Hello", "text Hello"]);
        assert_eq!(unpacked(&again, 3, false), ["text Hello", "1007 Invalid compressed data"]);
    }

    #[test]
    fn violations_of_compressed_messages() {
        let one = |bytes: &[u8]| unpacked(bytes, bytes.len(), false).pop().unwrap();
        let first = "1002 Only the first frame of a message says that it is compressed";
        assert_eq!(one(&[frame(0x41, b"a"), frame(0xc0, b"b")].concat()), first);
        for control in [0xc8, 0xc9, 0xca] {
            assert_eq!(one(&frame(control, b"")), first);
        }
        for reserved in [0xa1, 0x91, 0xe1, 0xd1, 0xf1] {
            assert_eq!(one(&frame(reserved, &HELLO)), "1002 Reserved bits are set");
        }
        assert_eq!(one(&frame(0xc3, b"a")), "1002 Unknown opcode");
        assert_eq!(one(&frame(0xc1, b"no deflate")), "1007 Invalid compressed data");
        assert_eq!(one(&frame(0xc1, &HELLO[..4])), "1007 Invalid compressed data");
        // The two bytes of a character that has one.
        let overlong = [0x00, 0x02, 0x00, 0xfd, 0xff, 0xc0, 0x80, 0x00];
        assert_eq!(one(&frame(0xc1, &overlong)), "1007 Invalid UTF-8");
        assert_eq!(one(&frame(0xc2, &overlong)), "binary 2");
    }

    #[test]
    fn the_bound_holds_for_what_comes_out() {
        let compression = Compression { message_bytes_min: 0, level: 9, context_takeover: false };
        let agreed = Agreed { out_bits: 15, keeps_out: false, keeps_in: false, compression };
        let packed = |length: usize| {
            let message = vec![b'x'; length];
            deflate::with_packed(&agreed, &message, &[], |packed| packed.map(<[u8]>::to_vec)).unwrap()
        };
        let max = BOUNDS.message_bytes_max;
        assert_eq!(unpacked(&frame(0xc2, &packed(max)), 1 << 20, false), [format!("binary {max}")]);
        let too_large = "1009 Message is too large: it inflates to more than 100000";
        assert_eq!(unpacked(&frame(0xc2, &packed(max + 1)), 1 << 20, false), [too_large]);
        assert_eq!(unpacked(&frame(0xc1, &packed(50 << 20)), 1 << 20, false), [too_large]);
        // What cannot be made shorter takes five bytes more for each block.
        let mut stored = Vec::new();
        for block in vec![7; max].chunks(50_000) {
            let length = block.len() as u16;
            stored.push(0);
            stored.extend_from_slice(&length.to_le_bytes());
            stored.extend_from_slice(&(!length).to_le_bytes());
            stored.extend_from_slice(block);
        }
        stored.push(0);
        assert!(stored.len() > max);
        assert_eq!(unpacked(&frame(0xc2, &stored), 1 << 20, false), [format!("binary {max}")]);
        let longer = "1009 Message is too large: 106315 > 100000";
        assert_eq!(unpacked(&frame(0xc2, &vec![0; 106_315]), 1 << 20, false), [longer]);
    }

    #[test]
    fn frames_of_servers_have_no_masks() {
        let server = |bytes: &[u8]| run_with(Decoder::new(Sender::Server, None), bytes, 2);
        assert_eq!(server(&[0x81, 1, b'a', 0x89, 0, 0x88, 0]), ["text a", "ping 0", "close None None"]);
        assert_eq!(server(&frame(0x81, b"a")), ["1002 Frames from a server must not be masked"]);
    }
}

//! What one socket still has to send: frames for a TCP stream, or messages for a pipe.
//!
//! Small frames are gathered in one buffer, so that a flush is one system call; large shared frames stay shared. A
//! socket with nothing to send owns no buffer: emptied ones go to a pool of the thread. The number of queued bytes is
//! known at all times, which is what the limit `send_queue_bytes_max` looks at.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Bytes;

use super::encode::{self, COPY_BYTES_MAX, SharedFrame};
use crate::close::{CloseFrame, close_payload, parse_close};
use crate::deflate::{self, Agreed};
use crate::pipe::PipeMessage;

/// Slices of one vectored write.
const SLICES_MAX: usize = 16;
/// Buffers that a thread keeps, and the capacity above which they are not worth keeping.
const POOL_BUFFERS_MAX: usize = 64;
const POOL_BUFFER_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Frames on their way into a TCP stream.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// What comes before the tail. Each segment begins with the beginning of a frame.
    earlier: VecDeque<Segment>,
    tail: Vec<u8>,
    /// How much of the first segment (or of the tail, if there is none) was written.
    written: usize,
    queued: usize,
    /// Length of the shared segments, which other sockets send too.
    shared: usize,
    /// How messages are compressed, if they are.
    packing: Option<Box<Packing>>,
}

#[derive(Debug)]
struct Packing {
    agreed: Agreed,
    /// The end of what was sent compressed, if later messages may refer to it.
    history: Vec<u8>,
}

impl Packing {
    fn remember(&mut self, message: &[u8]) {
        if self.agreed.keeps_out {
            deflate::remember(&mut self.history, message, self.agreed.out_bits);
        }
    }
}

#[derive(Debug)]
enum Segment {
    Own(Vec<u8>),
    Shared(Bytes),
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Frames {
    /// The number of bytes that are not written yet.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Appends a frame.
    pub(crate) fn push(&mut self, opcode: u8, payload: &[u8]) {
        self.own_tail();
        encode::append_head(&mut self.tail, opcode, payload.len());
        self.tail.extend_from_slice(payload);
        self.queued += encode::head_length(payload.len()) + payload.len();
    }

    /// Compresses messages from now on.
    pub(crate) fn agree(&mut self, agreed: Agreed) {
        self.packing = Some(Box::new(Packing { agreed, history: Vec::new() }));
    }

    /// Appends a message, compressed if that was agreed on and makes it shorter.
    pub(crate) fn push_message(&mut self, opcode: u8, message: &[u8]) {
        let Some(mut packing) = self.packing.take() else { return self.push(opcode, message) };
        let packed = deflate::with_packed(&packing.agreed, message, &packing.history, |packed| {
            match packed {
                Some(packed) => self.push(encode::PACKED | opcode, packed),
                None => self.push(opcode, message),
            }
            packed.is_some()
        });
        if packed {
            packing.remember(message);
        }
        self.packing = Some(packing);
    }

    /// Appends a shared frame. Compressed, it refers to no earlier message, so that all sockets can send the same.
    pub(crate) fn push_shared(&mut self, frame: &SharedFrame) {
        let Some(packing) = &mut self.packing else { return self.push_bytes(frame.frame()) };
        let (bytes, packed) = frame.packed(&packing.agreed);
        if packed && packing.agreed.keeps_out {
            packing.remember(&frame.payload());
        }
        self.push_bytes(&bytes);
    }

    fn push_bytes(&mut self, bytes: &Bytes) {
        self.queued += bytes.len();
        if bytes.len() <= COPY_BYTES_MAX {
            self.own_tail();
            self.tail.extend_from_slice(bytes);
            return;
        }
        if !self.tail.is_empty() {
            self.earlier.push_back(Segment::Own(std::mem::take(&mut self.tail)));
        }
        self.shared += bytes.len();
        self.earlier.push_back(Segment::Shared(bytes.clone()));
    }

    /// The bytes that only this socket sends.
    pub(crate) fn own(&self) -> usize {
        self.queued.saturating_sub(self.shared)
    }

    /// Offers what is queued to a writer, with the number of all bytes, until it takes nothing more; it returns how much it took.
    /// True when nothing is left.
    pub(crate) fn write(
        &mut self,
        mut writer: impl FnMut(&[IoSlice<'_>], usize) -> io::Result<usize>,
    ) -> io::Result<bool> {
        while self.queued > 0 {
            let queued = self.queued;
            let taken = match self.earlier.front() {
                None => writer(&[IoSlice::new(self.tail.get(self.written..).unwrap_or_default())], queued)?,
                Some(first) => {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    let head = first.bytes().get(self.written..).unwrap_or_default();
                    let rest = self.earlier.iter().skip(1).map(Segment::bytes).chain([&self.tail[..]]);
                    let mut count = 0;
                    for (slot, bytes) in slices.iter_mut().zip([head].into_iter().chain(rest)) {
                        *slot = IoSlice::new(bytes);
                        count += 1;
                    }
                    writer(slices.get(..count).unwrap_or_default(), queued)?
                }
            };
            if taken == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.advance(taken);
        }
        Ok(true)
    }

    fn advance(&mut self, taken: usize) {
        self.queued = self.queued.saturating_sub(taken);
        self.written += taken;
        while let Some(first) = self.earlier.front() {
            let length = first.bytes().len();
            if self.written < length {
                return;
            }
            self.written -= length;
            match self.earlier.pop_front() {
                Some(Segment::Own(buffer)) => give_back(buffer),
                Some(Segment::Shared(_)) => self.shared -= length,
                None => {}
            }
        }
        if self.queued == 0 {
            self.written = 0;
            give_back(std::mem::take(&mut self.tail));
        }
    }

    /// Forgets all frames but the one that is partly written, so that a last one may follow.
    pub(crate) fn cut(&mut self) {
        let written = self.written;
        let mut first = match self.earlier.pop_front() {
            Some(Segment::Shared(bytes)) if written > 0 => {
                self.earlier.clear();
                self.queued = bytes.len() - written;
                self.shared = bytes.len();
                self.tail = Vec::new();
                self.earlier.push_back(Segment::Shared(bytes));
                return;
            }
            Some(Segment::Own(bytes)) => bytes,
            Some(Segment::Shared(_)) => Vec::new(),
            None => std::mem::take(&mut self.tail),
        };
        let mut end = 0;
        while end < written {
            match encode::read_own_head(first.get(end..).unwrap_or_default()) {
                Some((_, head, payload)) => end += head + payload,
                None => break,
            }
        }
        first.truncate(end);
        first.shrink_to(POOL_BUFFER_BYTES_MAX);
        self.earlier.clear();
        self.shared = 0;
        self.queued = end.saturating_sub(written);
        if self.queued == 0 {
            self.written = 0;
            first.clear();
        }
        self.tail = first;
    }

    /// Forgets everything that is queued.
    pub(crate) fn clear(&mut self) {
        *self = Self { packing: self.packing.take(), ..Self::default() };
    }

    /// Turns frames that were queued before the transport was known into messages.
    pub(crate) fn into_messages(self) -> Messages {
        let mut messages = Messages::default();
        for segment in self.earlier.into_iter().chain([Segment::Own(self.tail)]) {
            let bytes = match segment {
                Segment::Own(bytes) => Bytes::from(bytes),
                Segment::Shared(bytes) => bytes,
            };
            let mut start = 0;
            while let Some((opcode, head, payload)) =
                encode::read_own_head(bytes.get(start..).unwrap_or_default())
            {
                let end = start + head + payload;
                if end > bytes.len() {
                    break;
                }
                let payload = bytes.slice(start + head..end);
                match opcode {
                    encode::TEXT => messages.push(PipeMessage::Text(payload)),
                    encode::BINARY => messages.push(PipeMessage::Binary(payload)),
                    encode::CLOSE => messages.push(PipeMessage::Close(parse_close(&payload).said)),
                    _ => {}
                }
                start = end;
            }
        }
        messages
    }

    fn own_tail(&mut self) {
        if self.tail.capacity() == 0
            && let Some(buffer) = POOL.with_borrow_mut(Vec::pop)
        {
            self.tail = buffer;
        }
    }
}

fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 || buffer.capacity() > POOL_BUFFER_BYTES_MAX {
        return;
    }
    buffer.clear();
    POOL.with_borrow_mut(|pool| {
        if pool.len() < POOL_BUFFERS_MAX {
            pool.push(buffer);
        }
    });
}

/// Messages on their way into a pipe.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    pub(crate) queue: VecDeque<PipeMessage>,
    queued: usize,
}

impl Messages {
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Without what empty messages weigh.
    pub(crate) fn payload(&self) -> usize {
        self.queued - self.queue.len() * MESSAGE_WEIGHT
    }

    pub(crate) fn push(&mut self, message: PipeMessage) {
        self.queued += length(&message);
        self.queue.push_back(message);
    }

    pub(crate) fn pop(&mut self) -> Option<PipeMessage> {
        let message = self.queue.pop_front()?;
        self.queued = self.queued.saturating_sub(length(&message));
        Some(message)
    }

    /// Puts a message back that could not be sent.
    pub(crate) fn unpop(&mut self, message: PipeMessage) {
        self.queued += length(&message);
        self.queue.push_front(message);
    }
}

// Each message counts for a little, so that many empty ones fill a queue as well.
const MESSAGE_WEIGHT: usize = 2;

fn length(message: &PipeMessage) -> usize {
    match message {
        PipeMessage::Text(bytes) | PipeMessage::Binary(bytes) => bytes.len() + MESSAGE_WEIGHT,
        PipeMessage::Close(_) => MESSAGE_WEIGHT,
    }
}

/// Either of the two.
#[derive(Debug)]
pub(crate) enum Outbox {
    Frames(Frames),
    Messages(Messages),
}

impl Outbox {
    pub(crate) fn queued(&self) -> usize {
        match self {
            Self::Frames(frames) => frames.queued(),
            Self::Messages(messages) => messages.queued(),
        }
    }

    /// The bytes that only this socket sends.
    pub(crate) fn own(&self) -> usize {
        match self {
            Self::Frames(frames) => frames.own(),
            Self::Messages(messages) => messages.queued(),
        }
    }

    /// The length of the message that goes into a pipe next.
    pub(crate) fn next_length(&self) -> usize {
        match self {
            Self::Frames(_) => 0,
            Self::Messages(messages) => messages.queue.front().map_or(0, length),
        }
    }

    /// What waits for the network: of messages their bytes, of frames also their heads.
    pub(crate) fn waiting(&self) -> usize {
        match self {
            Self::Frames(frames) => frames.queued(),
            Self::Messages(messages) => messages.payload(),
        }
    }

    pub(crate) fn push_text(&mut self, text: &str) {
        match self {
            Self::Frames(frames) => frames.push_message(encode::TEXT, text.as_bytes()),
            Self::Messages(messages) => {
                messages.push(PipeMessage::Text(Bytes::copy_from_slice(text.as_bytes())))
            }
        }
    }

    pub(crate) fn push_binary(&mut self, bytes: &[u8]) {
        match self {
            Self::Frames(frames) => frames.push_message(encode::BINARY, bytes),
            Self::Messages(messages) => messages.push(PipeMessage::Binary(Bytes::copy_from_slice(bytes))),
        }
    }

    pub(crate) fn push_shared(&mut self, frame: &SharedFrame) {
        match self {
            Self::Frames(frames) => frames.push_shared(frame),
            Self::Messages(messages) if frame.is_text() => messages.push(PipeMessage::Text(frame.payload())),
            Self::Messages(messages) => messages.push(PipeMessage::Binary(frame.payload())),
        }
    }

    pub(crate) fn push_close(&mut self, close: Option<CloseFrame>) {
        match self {
            Self::Frames(frames) => frames.push(encode::CLOSE, &close_payload(close.as_ref())),
            Self::Messages(messages) => messages.push(PipeMessage::Close(close)),
        }
    }

    /// Compresses messages from now on; pipes have no need of that.
    pub(crate) fn agree(&mut self, agreed: Agreed) {
        if let Self::Frames(frames) = self {
            frames.agree(agreed);
        }
    }

    /// Appends a ping or a pong, which pipes do not know.
    pub(crate) fn push_control(&mut self, opcode: u8, payload: &[u8]) {
        if let Self::Frames(frames) = self {
            frames.push(opcode, payload);
        }
    }

    /// Forgets what was not begun.
    pub(crate) fn cut(&mut self) {
        match self {
            Self::Frames(frames) => frames.cut(),
            Self::Messages(messages) => *messages = Messages::default(),
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Frames(frames) => frames.clear(),
            Self::Messages(messages) => *messages = Messages::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer that takes `limit` bytes and then would block.
    fn take(frames: &mut Frames, limit: usize, out: &mut Vec<u8>) -> io::Result<bool> {
        let mut left = limit;
        frames.write(|slices, _| {
            let mut taken = 0;
            for slice in slices {
                let part = slice.len().min(left);
                out.extend_from_slice(&slice[..part]);
                left -= part;
                taken += part;
            }
            if taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
        })
    }

    fn sample() -> Frames {
        let mut frames = Frames::default();
        frames.push(encode::TEXT, b"abc");
        frames.push_shared(&SharedFrame::binary(&[1; 5000]));
        frames.push_shared(&SharedFrame::text("small"));
        frames.push(encode::TEXT, b"");
        frames.push_shared(&SharedFrame::binary(&[2; 5000]));
        frames
    }

    #[test]
    fn the_bytes_come_out_in_order_however_they_are_taken() {
        let mut whole = Vec::new();
        assert!(take(&mut sample(), usize::MAX, &mut whole).unwrap());
        assert_eq!(whole.len(), sample().queued());
        for limit in [1, 3, 7, 1000, 5004, 6000] {
            let (mut frames, mut out) = (sample(), Vec::new());
            while take(&mut frames, limit, &mut out).is_err() {}
            assert_eq!(out, whole, "{limit}");
            assert_eq!(frames.queued(), 0);
        }
    }

    #[test]
    fn cutting_keeps_the_frame_in_progress_whole() {
        let mut whole = Vec::new();
        take(&mut sample(), usize::MAX, &mut whole).unwrap();
        for written in 0..whole.len() {
            let (mut frames, mut out) = (sample(), Vec::new());
            let _blocked = take(&mut frames, written, &mut out);
            frames.cut();
            frames.push(encode::CLOSE, b"");
            take(&mut frames, usize::MAX, &mut out).unwrap();
            let mut rest = &out[..];
            let mut last = 0;
            while let Some((opcode, head, payload)) = encode::read_own_head(rest) {
                last = opcode;
                rest = rest.get(head + payload..).unwrap_or_else(|| panic!("torn frame after {written}"));
            }
            assert!(rest.is_empty() && last == encode::CLOSE, "after {written}");
        }
    }

    #[test]
    fn frames_become_messages() {
        let mut frames = sample();
        frames.push(encode::CLOSE, &close_payload(Some(&CloseFrame { code: 1000, reason: String::new() })));
        let messages = frames.into_messages();
        assert_eq!(messages.queue.len(), 6);
        assert_eq!(messages.queue.front(), Some(&PipeMessage::Text(Bytes::from_static(b"abc"))));
    }
}

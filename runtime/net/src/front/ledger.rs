//! What a client of HTTP/2 sends, frame by frame, as far as it must be counted.
//!
//! h2 bounds what frames may take of memory: heads with their continuations, small data, streams that are reset before
//! anybody saw them. What costs only time is counted here, on the bytes as they come: pings, settings, priorities, empty data,
//! window updates that answer nothing, and requests that are taken back, as in "rapid reset" (CVE-2023-44487). The counts are
//! per second. And whoever stops in the middle of a head is noted for the sweep.

use partyrun_limits::Limits;
use partyrun_telemetry::limit_hit;

/// The bytes with which a client begins (RFC 9113, 3.4).
const PREFACE_BYTES: usize = 24;
/// The length of a frame's head (RFC 9113, 4.1).
const HEAD_BYTES: usize = 9;
/// For so many bytes that it was sent, a client may open its windows once more without being counted.
const BYTES_PER_UPDATE: usize = 1024;
/// Window updates that are saved up for later at most.
const UPDATES_MAX: usize = 64 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Counts the frames of one connection.
#[derive(Debug)]
pub(super) struct Ledger {
    preface_left: usize,
    head: [u8; HEAD_BYTES],
    head_length: usize,
    payload_left: usize,
    /// The frame whose payload comes is data.
    is_data: bool,
    /// A head has begun, and goes on in the next frame.
    in_head: bool,
    /// Bytes written for which no window update has come.
    written: usize,
    second: u64,
    control: u32,
    resets: u32,
    control_max: u32,
    resets_max: u32,
}

impl Ledger {
    /// That of a connection of which nothing has been read.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            preface_left: PREFACE_BYTES,
            head: [0; HEAD_BYTES],
            head_length: 0,
            payload_left: 0,
            is_data: false,
            in_head: false,
            written: 0,
            second: 0,
            control: 0,
            resets: 0,
            control_max: limits.http2_control_frames_per_second_max,
            resets_max: limits.http2_resets_per_second_max,
        }
    }

    /// Whether a frame that is no data, or a head of several frames, has begun and not ended.
    pub(super) fn is_midway(&self) -> bool {
        self.in_head || self.head_length > 0 || self.payload_left > 0 && !self.is_data
    }

    /// Takes note of what was sent.
    pub(super) fn note_written(&mut self, length: usize) {
        self.written = self.written.saturating_add(length).min(BYTES_PER_UPDATE * UPDATES_MAX);
    }

    /// Looks at what was read in this second. False when there was too much of what has no content.
    pub(super) fn advance(&mut self, mut bytes: &[u8], second: u64) -> bool {
        if self.second != second {
            (self.second, self.control, self.resets) = (second, 0, 0);
        }
        let preface = self.preface_left.min(bytes.len());
        self.preface_left -= preface;
        bytes = bytes.get(preface..).unwrap_or_default();
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let length = self.payload_left.min(bytes.len());
                self.payload_left -= length;
                bytes = bytes.get(length..).unwrap_or_default();
                continue;
            }
            let missing = HEAD_BYTES - self.head_length;
            let (part, rest) = bytes.split_at(missing.min(bytes.len()));
            if let Some(slot) = self.head.get_mut(self.head_length..self.head_length + part.len()) {
                slot.copy_from_slice(part);
            }
            self.head_length += part.len();
            bytes = rest;
            if self.head_length == HEAD_BYTES {
                self.head_length = 0;
                self.see();
            }
        }
        if self.control > self.control_max {
            limit_hit!(http2_control_frames_per_second_max);
            return false;
        }
        if self.resets > self.resets_max {
            limit_hit!(http2_resets_per_second_max);
            return false;
        }
        true
    }

    /// Looks at a frame whose head is whole.
    fn see(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        self.payload_left = length;
        self.is_data = kind == DATA;
        match kind {
            DATA if length > 0 || flags & END_STREAM != 0 => {}
            HEADERS => self.in_head = flags & END_HEADERS == 0,
            CONTINUATION => {
                self.in_head = flags & END_HEADERS == 0;
                if length == 0 {
                    self.control += 1;
                }
            }
            RST_STREAM => self.resets += 1,
            WINDOW_UPDATE if self.written >= BYTES_PER_UPDATE => self.written -= BYTES_PER_UPDATE,
            _ => self.control += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = (length as u32).to_be_bytes();
        [&size[1..], &[kind, flags, 0, 0, 0, 1], &vec![7; length]].concat()
    }

    fn ledger() -> Ledger {
        let limits = Limits {
            http2_control_frames_per_second_max: 3,
            http2_resets_per_second_max: 2,
            ..Limits::default()
        };
        let mut ledger = Ledger::new(&limits);
        assert!(ledger.advance(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0));
        ledger
    }

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let ping = frame(6, 0, 8);
        let bytes = [frame(DATA, 0, 300), ping.repeat(4)].concat();
        for piece in [1, 2, 8, 9, 10, 1000] {
            let mut ledger = ledger();
            let fine = bytes.chunks(piece).all(|piece| ledger.advance(piece, 0));
            assert!(!fine && ledger.control == 4, "pieces of {piece}");
            assert!(ledger.advance(&ping, 1), "the next second begins anew");
        }
    }

    #[test]
    fn what_has_content_is_free() {
        let mut ledger = ledger();
        let free = [frame(DATA, 0, 1), frame(DATA, END_STREAM, 0), frame(HEADERS, END_HEADERS, 20)].concat();
        assert!(ledger.advance(&free.repeat(100), 0));
        ledger.note_written(5 * BYTES_PER_UPDATE);
        assert!(
            ledger.advance(&frame(WINDOW_UPDATE, 0, 4).repeat(8), 0),
            "five of eight answer what was written"
        );
        assert!(!ledger.advance(&frame(WINDOW_UPDATE, 0, 4), 0));
        for empty in [frame(DATA, 0, 0), frame(2, 0, 5), frame(4, 0, 0), frame(200, 0, 1)] {
            assert!(!self::ledger().advance(&empty.repeat(4), 0), "{empty:?}");
        }
        assert!(!self::ledger().advance(&frame(RST_STREAM, 0, 4).repeat(3), 0));
    }

    #[test]
    fn a_head_lasts_until_its_last_frame() {
        let mut ledger = ledger();
        assert!(ledger.advance(&frame(HEADERS, 0, 10), 0) && ledger.is_midway());
        assert!(ledger.advance(&frame(CONTINUATION, 0, 10), 0) && ledger.is_midway());
        assert!(ledger.advance(&frame(CONTINUATION, END_HEADERS, 10), 0) && !ledger.is_midway());
        let data = frame(DATA, 0, 10);
        assert!(ledger.advance(&data[..12], 0) && !ledger.is_midway(), "data may take its time");
        assert!(ledger.advance(&data[12..], 0) && ledger.advance(&data[..3], 0) && ledger.is_midway());
    }
}

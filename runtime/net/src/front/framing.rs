//! Where messages end in the bytes of a connection.
//!
//! hyper drops a `Content-Length` beside a `Transfer-Encoding` before a service sees it, and reads as far ahead as it likes. So the
//! connection gives hyper one message at a time, and notes of each head what it really said (RFC 9112, 6.1). Where this file and
//! hyper do not agree about an end, hyper decides: its request has no note then, and is not trusted with a transfer coding.

use std::collections::VecDeque;

/// A head's memory above this size is given back.
const HEAD_KEPT_MAX: usize = 1024;
/// The longest line with the size of a chunk.
const SIZE_LINE_MAX: usize = 4096;

/// What the head of a request said, as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeadNote {
    /// It has a `Content-Length`.
    pub(super) has_length: bool,
}

/// What is read at the moment.
#[derive(Debug, Default)]
enum Part {
    #[default]
    Head,
    Length(u64),
    /// The line with the size of a chunk.
    ChunkSize(Vec<u8>),
    /// A chunk with its line end.
    Chunk(u64),
    /// Lines after the last chunk.
    Trailer(Line),
    /// Nobody knows any more.
    Rest,
}

/// How much has come of a line after the last chunk. Only a whole line end makes an empty line, as for hyper.
#[derive(Clone, Copy, Debug)]
enum Line {
    Nothing,
    Return,
    Text,
}

/// Follows the messages of a connection.
#[derive(Debug, Default)]
pub(super) struct Framing {
    part: Part,
    head: Vec<u8>,
}

impl Framing {
    /// Whether a message ended here, and nothing of the next one has come.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.part, Part::Head) && self.head.is_empty()
    }

    /// How many of these bytes, but at least one, belong to the message that is being read. Heads that end in them are noted.
    pub(super) fn advance(&mut self, bytes: &[u8], heads: &mut VecDeque<HeadNote>) -> usize {
        let mut used = 0;
        while let Some(rest @ [_, ..]) = bytes.get(used..) {
            let (count, ends) = match std::mem::take(&mut self.part) {
                Part::Head => self.take_head(rest, heads),
                Part::Length(left) => {
                    let count = length_of(left, rest);
                    let left = left - count as u64;
                    if left > 0 {
                        self.part = Part::Length(left);
                    }
                    (count, left == 0)
                }
                Part::Rest => {
                    self.part = Part::Rest;
                    (rest.len(), false)
                }
                chunked => self.take_chunked(chunked, rest),
            };
            used += count;
            if ends {
                break;
            }
        }
        used
    }

    /// Reads on in a head; the part that follows is in place then.
    fn take_head(&mut self, bytes: &[u8], heads: &mut VecDeque<HeadNote>) -> (usize, bool) {
        // Empty lines may stand before a request (RFC 9112, 2.2).
        let blank = match self.head.is_empty() {
            true => bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count(),
            false => 0,
        };
        let known = self.head.len();
        let fresh = bytes.get(blank..).unwrap_or_default();
        // Most heads come whole, and need not be kept for that.
        let whole = if known == 0 { end_of_head(fresh, 0).and_then(|end| fresh.get(..end)) } else { None };
        let (end, (note, part)) = if let Some(head) = whole {
            (head.len(), read_head(head))
        } else {
            self.head.extend_from_slice(fresh);
            let Some(end) = end_of_head(&self.head, known) else { return (bytes.len(), false) };
            let read = read_head(self.head.get(..end).unwrap_or_default());
            self.head.clear();
            self.head.shrink_to(HEAD_KEPT_MAX);
            (end, read)
        };
        heads.push_back(note);
        let ends = part.is_none();
        self.part = part.unwrap_or_default();
        (blank + end - known, ends)
    }

    fn take_chunked(&mut self, part: Part, bytes: &[u8]) -> (usize, bool) {
        match part {
            Part::Chunk(left) => {
                let count = length_of(left, bytes);
                let left = left - count as u64;
                self.part = if left > 0 { Part::Chunk(left) } else { Part::ChunkSize(Vec::new()) };
                (count, false)
            }
            Part::ChunkSize(mut line) => {
                let (count, whole) = line_of(bytes);
                line.extend_from_slice(bytes.get(..count).unwrap_or_default());
                self.part = match (whole, size_of(&line)) {
                    (false, _) if line.len() <= SIZE_LINE_MAX => Part::ChunkSize(line),
                    (true, Some(0)) => Part::Trailer(Line::Nothing),
                    (true, Some(size)) => Part::Chunk(size.saturating_add(2)),
                    _ => Part::Rest,
                };
                (count, false)
            }
            Part::Trailer(mut line) => {
                for (at, byte) in bytes.iter().enumerate() {
                    line = match (line, byte) {
                        (Line::Return, b'\n') => return (at + 1, true),
                        (Line::Nothing, b'\r') => Line::Return,
                        (Line::Text, b'\n') => Line::Nothing,
                        (Line::Nothing, b'\n') => {
                            self.part = Part::Rest;
                            return (bytes.len(), false);
                        }
                        _ => Line::Text,
                    };
                }
                self.part = Part::Trailer(line);
                (bytes.len(), false)
            }
            other => {
                self.part = other;
                (bytes.len(), false)
            }
        }
    }
}

fn length_of(left: u64, bytes: &[u8]) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())
}

/// The length of the line that begins here, with its end if that has come.
fn line_of(bytes: &[u8]) -> (usize, bool) {
    bytes.iter().position(|&byte| byte == b'\n').map_or((bytes.len(), false), |end| (end + 1, true))
}

/// The length of the head with the empty line that ends it, of which the first `known` bytes have none.
fn end_of_head(head: &[u8], known: usize) -> Option<usize> {
    let from = known.saturating_sub(2);
    let ends = head.iter().enumerate().skip(from).filter(|(_, byte)| **byte == b'\n');
    for (at, _) in ends {
        match head.get(at + 1..) {
            Some([b'\n', ..]) => return Some(at + 2),
            Some([b'\r', b'\n', ..]) => return Some(at + 3),
            _ => {}
        }
    }
    None
}

/// What a head says, and how its body is framed; none if there is no body.
fn read_head(head: &[u8]) -> (HeadNote, Option<Part>) {
    let (mut length, mut is_coded) = (None, false);
    for line in head.split(|&byte| byte == b'\n').skip(1) {
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            continue;
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            length = Some(value.get(1..).unwrap_or_default().trim_ascii());
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            is_coded = true;
        }
    }
    let part = match length {
        _ if is_coded => Some(Part::ChunkSize(Vec::new())),
        None => None,
        Some(digits) => match std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()) {
            Some(0) => None,
            Some(length) => Some(Part::Length(length)),
            None => Some(Part::Rest),
        },
    };
    (HeadNote { has_length: length.is_some() }, part)
}

/// The size in a chunk's line.
fn size_of(line: &[u8]) -> Option<u64> {
    let digits = line.split(|&byte| byte == b';').next()?.trim_ascii();
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages that come out of bytes which arrive in pieces of a size, and what was noted.
    fn messages(bytes: &[u8], piece: usize) -> (Vec<String>, Vec<bool>) {
        let (mut framing, mut heads) = (Framing::default(), VecDeque::new());
        let (mut found, mut open) = (Vec::new(), String::new());
        for mut piece in bytes.chunks(piece) {
            while !piece.is_empty() {
                let count = framing.advance(piece, &mut heads);
                assert!(count > 0);
                let (message, rest) = piece.split_at(count);
                open.push_str(std::str::from_utf8(message).unwrap());
                piece = rest;
                if matches!(framing.part, Part::Head) && framing.head.is_empty() {
                    found.push(std::mem::take(&mut open));
                }
            }
        }
        found.extend(Some(open).filter(|open| !open.is_empty()));
        (found, heads.into_iter().map(|note| note.has_length).collect())
    }

    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const LENGTH: &str = "POST / HTTP/1.1\r\ncontent-LENGTH: 12\r\n\r\nGET /\r\n\r\nabc";
    const CHUNKED: &str = "POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n\
        5;x=y\r\nab\r\nc\r\nA\r\n0123456789\r\n0\r\nx: y\r\n\r\n";
    const BOTH: &str = "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";

    #[test]
    fn messages_end_where_they_end_however_they_are_cut() {
        let all = [GET, LENGTH, GET, CHUNKED, BOTH, CHUNKED, GET];
        let bytes = all.concat();
        for piece in [1, 2, 3, 5, 7, 16, 64, bytes.len()] {
            let (found, has_length) = messages(bytes.as_bytes(), piece);
            assert_eq!(found, all, "pieces of {piece}");
            assert_eq!(has_length, [false, true, false, false, true, false, false]);
        }
    }

    #[test]
    fn empty_lines_before_a_request_belong_to_it() {
        let bytes = format!("\r\n\n{GET}\r\n{BOTH}");
        for piece in [1, 2, 3, bytes.len()] {
            assert_eq!(messages(bytes.as_bytes(), piece).1, [false, true], "pieces of {piece}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_left_to_hyper() {
        for bad in [
            "Content-Length: x",
            "Transfer-Encoding: chunked\r\n\r\nxyz",
            // hyper takes what follows for a line after the last chunk.
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\n",
        ] {
            let bytes = format!("POST / HTTP/1.1\r\n{bad}\r\n\r\n{BOTH}");
            assert_eq!(messages(bytes.as_bytes(), 1000).1.len(), 1, "{bad}");
        }
    }
}

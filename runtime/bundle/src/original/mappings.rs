//! The mappings of a source map by the bytes of the published file. Maps are added in the order of the parts of the file
//! that they are about; each line begins with a segment of its own, so that none reaches over the end of its line.

use super::map::Position;
use super::{Place, Segment};

/// The segments of one published file.
pub(super) struct Segments<'a> {
    lines: Lines<'a>,
    found: Vec<Segment>,
}

impl<'a> Segments<'a> {
    pub(super) fn new(published: &'a str) -> Self {
        Self { lines: Lines::new(published), found: Vec::new() }
    }

    /// Adds mappings that begin at one position and end before another one. `place` turns the numbers of a file, a line
    /// and a column into a place, if there is one. None if the mappings are none.
    pub(super) fn add(
        &mut self,
        mappings: &str,
        from: Position,
        to: Option<Position>,
        place: impl Fn(i64, i64, i64) -> Option<Place>,
    ) -> Option<()> {
        let mut coded = mappings.split(';');
        let (mut source, mut line, mut column) = (0i64, 0i64, 0i64);
        for number in from.line.. {
            let begin = if number == from.line { from.column } else { 0 };
            if to.is_some_and(|to| to <= Position { line: number, column: begin }) || !self.lines.go(number) {
                break;
            }
            let end = to.filter(|to| to.line == number).map_or(i64::MAX, |to| i64::from(to.column));
            self.push(i64::from(begin), None);
            let mut generated = i64::from(begin);
            for piece in coded.next().unwrap_or_default().split(',').filter(|piece| !piece.is_empty()) {
                let (fields, count) = vlq(piece.as_bytes())?;
                generated = generated.checked_add(fields[0])?;
                let mut found = None;
                if count >= 4 {
                    source = source.checked_add(fields[1])?;
                    line = line.checked_add(fields[2])?;
                    column = column.checked_add(fields[3])?;
                    found = place(source, line, column);
                }
                if (i64::from(begin)..end).contains(&generated) {
                    self.push(generated, found);
                }
            }
        }
        Some(())
    }

    fn push(&mut self, column: i64, place: Option<Place>) {
        let Some(offset) = self.lines.offset(column) else { return };
        match self.found.last_mut() {
            Some(last) if last.offset == offset => last.place = place,
            _ => self.found.push(Segment { offset, place }),
        }
    }

    /// The columns of a line may have been in any order.
    pub(super) fn sorted(mut self) -> Vec<Segment> {
        if !self.found.is_sorted_by_key(|segment| segment.offset) {
            self.found.sort_by_key(|segment| segment.offset);
        }
        self.found
    }
}

/// The lines of a text, one after the other.
struct Lines<'a> {
    rest: std::str::SplitInclusive<'a, char>,
    text: &'a str,
    /// How many lines were begun.
    begun: u64,
    start: usize,
    is_ascii: bool,
    /// The bytes of the line's columns, in UTF-16, where they are not the same.
    columns: Option<Vec<u32>>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.split_inclusive('\n'), text: "", begun: 0, start: 0, is_ascii: true, columns: None }
    }

    /// Goes on to a line; false if the text ends before it.
    fn go(&mut self, number: u32) -> bool {
        while self.begun <= u64::from(number) {
            let Some(text) = self.rest.next() else { return false };
            self.start += self.text.len();
            (self.text, self.is_ascii, self.columns) = (text, text.is_ascii(), None);
            self.begun += 1;
        }
        true
    }

    /// The byte of the text at a column of the line.
    fn offset(&mut self, column: i64) -> Option<u32> {
        let column = usize::try_from(column).ok()?;
        let offset = if self.is_ascii || column == 0 {
            (column <= self.text.len()).then_some(column)?
        } else {
            let text = self.text;
            *self.columns.get_or_insert_with(|| columns(text)).get(column)? as usize
        };
        u32::try_from(self.start + offset).ok()
    }
}

/// The byte at each column and at the end; within a pair of surrogates it is the one after the pair.
fn columns(text: &str) -> Vec<u32> {
    let mut columns = Vec::with_capacity(text.len());
    for (offset, character) in text.char_indices() {
        columns.push(offset as u32);
        if character.len_utf16() == 2 {
            columns.push((offset + character.len_utf8()) as u32);
        }
    }
    columns.push(text.len() as u32);
    columns
}

/// The one, four or five numbers of a mapping (ECMA-426, base64 VLQ), and how many they are.
fn vlq(text: &[u8]) -> Option<([i64; 5], usize)> {
    let mut fields = [0; 5];
    let (mut count, mut value, mut shift) = (0, 0i64, 0);
    for byte in text {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        if shift > 30 {
            return None;
        }
        value |= i64::from(digit & 31) << shift;
        shift += 5;
        if digit & 32 == 0 {
            *fields.get_mut(count)? = if value & 1 == 1 { -(value >> 1) } else { value >> 1 };
            count += 1;
            (value, shift) = (0, 0);
        }
    }
    (shift == 0 && matches!(count, 1 | 4 | 5)).then_some((fields, count))
}

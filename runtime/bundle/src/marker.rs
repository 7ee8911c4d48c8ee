//! Markers: how a slot travels through the printer. The rewriter renames an identifier to a marker (two control
//! characters around a kind letter and a number); the printer writes it like any name; here the printed text is cut at
//! the markers again. The control characters are chosen so that the source does not contain them.

use crate::record::{Slot, Text};

/// The pair of control characters used for one module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Markers {
    open: char,
    close: char,
}

/// No JavaScript token but a literal can hold one of these.
const PAIRS: [(char, char); 4] =
    [('\u{1}', '\u{2}'), ('\u{3}', '\u{4}'), ('\u{5}', '\u{6}'), ('\u{e}', '\u{f}')];

impl Markers {
    /// A pair that `source` does not use, if there is one.
    pub(crate) fn for_source(source: &str) -> Option<Self> {
        PAIRS
            .iter()
            .find(|(open, close)| !source.contains([*open, *close]))
            .map(|(open, close)| Self { open: *open, close: *close })
    }

    /// The identifier that stands for a slot until the text is printed.
    pub(crate) fn write(self, slot: Slot) -> String {
        let (letter, number) = match slot {
            Slot::Name(symbol) => ('n', symbol),
            Slot::Callee(symbol) => ('c', symbol),
            Slot::Object(symbol) => ('o', symbol),
            Slot::Require(import) => ('r', import),
            Slot::Dynamic(import) => ('d', import),
            Slot::Url => ('u', 0),
            Slot::Asset => ('a', 0),
        };
        format!("{}{letter}{number}{}", self.open, self.close)
    }

    /// Whether an identifier is one of these.
    pub(crate) fn is_marker(self, name: &str) -> bool {
        name.starts_with(self.open)
    }

    /// Cuts printed text at its markers. `mappings` hold offsets into `printed` and are moved along.
    pub(crate) fn cut(self, printed: &str, mappings: &[(u32, u32)]) -> Text {
        let mut cut = Text { text: String::with_capacity(printed.len()), ..Text::default() };
        let mut mappings = mappings.iter().peekable();
        let mut at = 0;
        while let Some(found) = printed.get(at..).and_then(|rest| rest.find(self.open)) {
            let open = at + found;
            let kept = printed.get(at..open).unwrap_or_default();
            move_mappings(&mut mappings, &mut cut, at, open);
            cut.text.push_str(kept);
            let rest = printed.get(open + 1..).unwrap_or_default();
            let Some(length) = rest.find(self.close) else { break };
            if let Some(slot) = rest.get(..length).and_then(parse) {
                cut.slots.push((cut.text.len() as u32, slot));
            }
            at = open + 1 + length + 1;
        }
        move_mappings(&mut mappings, &mut cut, at, printed.len());
        cut.text.push_str(printed.get(at..).unwrap_or_default());
        if !cut.text.is_ascii() {
            escape(&mut cut);
        }
        cut
    }
}

fn move_mappings(
    mappings: &mut std::iter::Peekable<std::slice::Iter<'_, (u32, u32)>>,
    cut: &mut Text,
    start: usize,
    end: usize,
) {
    let base = cut.text.len();
    while let Some((offset, source)) = mappings.next_if(|(offset, _)| (*offset as usize) <= end) {
        let moved = (base + (*offset as usize).saturating_sub(start)) as u32;
        if cut.mappings.last().is_none_or(|last| last.0 < moved) {
            cut.mappings.push((moved, *source));
        }
    }
}

fn parse(marker: &str) -> Option<Slot> {
    let number = marker.get(1..)?.parse().ok()?;
    Some(match marker.as_bytes().first()? {
        b'n' => Slot::Name(number),
        b'c' => Slot::Callee(number),
        b'o' => Slot::Object(number),
        b'r' => Slot::Require(number),
        b'd' => Slot::Dynamic(number),
        b'u' => Slot::Url,
        b'a' => Slot::Asset,
        _ => return None,
    })
}

/// The printer escapes nearly everything; what it leaves is valid as `\uXXXX` in every place where it can occur.
fn escape(cut: &mut Text) {
    use std::fmt::Write;
    let mut text = String::with_capacity(cut.text.len() + 64);
    let mut moved = Vec::new();
    for (offset, character) in cut.text.char_indices() {
        moved.push((offset as u32, text.len() as u32));
        if character.is_ascii() {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    moved.push((cut.text.len() as u32, text.len() as u32));
    let shift = |offset: u32| {
        let at = moved.partition_point(|(old, _)| *old < offset);
        moved.get(at).map_or(offset, |(_, new)| *new)
    };
    cut.slots.iter_mut().for_each(|(offset, _)| *offset = shift(*offset));
    cut.mappings.iter_mut().for_each(|(offset, _)| *offset = shift(*offset));
    cut.text = text;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_where_it_marked() {
        let markers = Markers::for_source("\u{1}").expect("a free pair");
        let printed = format!("a {} b {}();", markers.write(Slot::Name(3)), markers.write(Slot::Require(12)));
        let text = markers.cut(&printed, &[(0, 10), (2, 20), (9, 30)]);
        assert_eq!(text.text, "a  b ();");
        assert_eq!(text.slots, [(2, Slot::Name(3)), (5, Slot::Require(12))]);
        assert_eq!(text.mappings, [(0, 10), (2, 20), (5, 30)]);
    }

    #[test]
    fn everything_becomes_ascii() {
        let markers = Markers::for_source("").expect("a free pair");
        let text = markers.cut("é\u{1}n1\u{2}😀", &[(0, 1)]);
        assert_eq!(text.text, "\\u00e9\\ud83d\\ude00");
        assert_eq!(text.slots, [(6, Slot::Name(1))]);
    }
}

//! Markers: how a slot travels through the printer. The rewriter renames an identifier to a marker, the printer hands each
//! name to a writer as a name, and the writer here notes the place where a marker was written. The printed text is never
//! searched: whatever a string, template, regular expression or comment of the source holds, only a name can be a marker.
//! A marker begins with a control character, which the grammar keeps out of all names that a source can hold.

use std::cell::RefCell;
use std::io::{Result, Write};
use std::rc::Rc;

use swc_common::{BytePos, LineCol, SourceMap, Span, sync::Lrc};
use swc_ecma_codegen::text_writer::{JsWriter, WriteJs};

use crate::record::{Slot, Text};

/// What a marker begins with; no name of the language does.
const START: char = '\u{1}';
/// What is written at the place of a slot until the text is cut: one byte that the printer sees as a name.
const PLACEHOLDER: &str = "_";

/// The identifier that stands for a slot until the text is printed.
pub(crate) fn marker(slot: Slot) -> String {
    let (letter, number) = match slot {
        Slot::Name(symbol) => ('n', symbol),
        Slot::Callee(symbol) => ('c', symbol),
        Slot::Object(symbol) => ('o', symbol),
        Slot::Require(import) => ('r', import),
        Slot::Dynamic(import) => ('d', import),
        Slot::Url => ('u', 0),
        Slot::Asset => ('a', 0),
    };
    format!("{START}{letter}{number}")
}

/// Whether an identifier is one of these.
pub(crate) fn is_marker(name: &str) -> bool {
    name.starts_with(START)
}

fn parse(name: &str) -> Option<Slot> {
    let marker = name.strip_prefix(START)?;
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

/// Bytes that a printer writes, and whoever asks for their number.
#[derive(Clone, Default)]
struct Written(Rc<RefCell<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What was printed: a text with a placeholder at each slot. Offsets are ascending.
pub(crate) struct Printed {
    pub(crate) text: String,
    slots: Vec<(u32, Slot)>,
}

impl Printed {
    /// The text from `start` to `end`, with holes in place of its markers. `mappings` hold offsets into the whole text and
    /// are moved along.
    pub(crate) fn cut(&self, start: usize, end: usize, mappings: &[(u32, u32)]) -> Text {
        let mut cut = Text { text: String::with_capacity(end - start), ..Text::default() };
        let mut mappings = mappings.iter().peekable();
        let mut at = start;
        for (offset, slot) in &self.slots {
            let open = *offset as usize;
            if open < start || open >= end {
                continue;
            }
            move_mappings(&mut mappings, &mut cut, at, open);
            cut.text.push_str(self.text.get(at..open).unwrap_or_default());
            cut.slots.push((cut.text.len() as u32, *slot));
            at = open + PLACEHOLDER.len();
        }
        move_mappings(&mut mappings, &mut cut, at, end);
        cut.text.push_str(self.text.get(at..end).unwrap_or_default());
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

/// swc's writer, and the places of the markers that it was given.
pub(crate) struct SlotWriter<'a> {
    inner: JsWriter<'a, Written>,
    written: Written,
    slots: Vec<(u32, Slot)>,
    spaced: bool,
}

impl<'a> SlotWriter<'a> {
    /// A `spaced` one indents by two and puts spaces around `=>`, as people write it: functions are texts, too, which errors
    /// show (`DataCloneError: () => 1 could not be cloned.`).
    pub(crate) fn new(
        source_map: Lrc<SourceMap>,
        positions: &'a mut Vec<(BytePos, LineCol)>,
        spaced: bool,
    ) -> Self {
        let written = Written::default();
        let mut inner = JsWriter::new(source_map, "\n", written.clone(), Some(positions));
        inner.set_indent_str(if spaced { "  " } else { " " });
        Self { inner, written, slots: Vec::new(), spaced }
    }

    /// What was written.
    pub(crate) fn finish(self) -> Result<Printed> {
        let bytes = self.written.0.take();
        let text = String::from_utf8(bytes).map_err(std::io::Error::other)?;
        Ok(Printed { text, slots: self.slots })
    }
}

impl WriteJs for SlotWriter<'_> {
    fn write_symbol(&mut self, span: Span, name: &str) -> Result<()> {
        let Some(slot) = parse(name) else { return self.inner.write_symbol(span, name) };
        self.inner.write_symbol(span, PLACEHOLDER)?;
        let end = self.written.0.borrow().len();
        self.slots.push((end.saturating_sub(PLACEHOLDER.len()) as u32, slot));
        Ok(())
    }

    fn increase_indent(&mut self) -> Result<()> {
        self.inner.increase_indent()
    }
    fn decrease_indent(&mut self) -> Result<()> {
        self.inner.decrease_indent()
    }
    fn write_semi(&mut self, span: Option<Span>) -> Result<()> {
        self.inner.write_semi(span)
    }
    fn write_space(&mut self) -> Result<()> {
        self.inner.write_space()
    }
    fn write_keyword(&mut self, span: Option<Span>, text: &'static str) -> Result<()> {
        self.inner.write_keyword(span, text)
    }
    fn write_operator(&mut self, span: Option<Span>, text: &str) -> Result<()> {
        self.inner.write_operator(span, text)
    }
    fn write_param(&mut self, text: &str) -> Result<()> {
        self.inner.write_param(text)
    }
    fn write_property(&mut self, text: &str) -> Result<()> {
        self.inner.write_property(text)
    }
    fn write_line(&mut self) -> Result<()> {
        self.inner.write_line()
    }
    fn write_lit(&mut self, span: Span, text: &str) -> Result<()> {
        self.inner.write_lit(span, text)
    }
    fn write_comment(&mut self, text: &str) -> Result<()> {
        self.inner.write_comment(text)
    }
    fn write_str_lit(&mut self, span: Span, text: &str) -> Result<()> {
        self.inner.write_str_lit(span, text)
    }
    fn write_str(&mut self, text: &str) -> Result<()> {
        self.inner.write_str(text)
    }
    fn write_punct(&mut self, span: Option<Span>, text: &'static str, semi: bool) -> Result<()> {
        let spaced = self.spaced && text == "=>";
        if spaced {
            self.inner.write_space()?;
        }
        self.inner.write_punct(span, text, semi)?;
        if spaced { self.inner.write_space() } else { Ok(()) }
    }
    fn care_about_srcmap(&self) -> bool {
        self.inner.care_about_srcmap()
    }
    fn add_srcmap(&mut self, position: BytePos) -> Result<()> {
        self.inner.add_srcmap(position)
    }
    fn commit_pending_semi(&mut self) -> Result<()> {
        self.inner.commit_pending_semi()
    }
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

    fn written(pieces: &[&str], names: &[Slot], mappings: &[(u32, u32)]) -> Text {
        let (source_map, mut positions) = (Lrc::default(), Vec::new());
        let mut writer = SlotWriter::new(source_map, &mut positions, false);
        for (number, piece) in pieces.iter().enumerate() {
            writer.write_str(piece).expect("memory takes everything");
            if let Some(slot) = names.get(number) {
                writer.write_symbol(Span::default(), &marker(*slot)).expect("memory takes everything");
            }
        }
        let printed = writer.finish().expect("the text is UTF-8");
        printed.cut(0, printed.text.len(), mappings)
    }

    #[test]
    fn cuts_where_it_marked() {
        let slots = [Slot::Name(3), Slot::Require(12)];
        let text = written(&["a ", " b ", "();"], &slots, &[(0, 10), (2, 20), (6, 30)]);
        assert_eq!(text.text, "a  b ();");
        assert_eq!(text.slots, [(2, Slot::Name(3)), (5, Slot::Require(12))]);
        assert_eq!(text.mappings, [(0, 10), (2, 20), (5, 30)]);
    }

    #[test]
    fn only_names_are_markers() {
        let one = marker(Slot::Name(1));
        let text = written(&[&one, "'_'"], &[Slot::Url], &[]);
        assert_eq!(text.text, format!("{one}'_'"));
        assert_eq!(text.slots, [(one.len() as u32, Slot::Url)]);
    }

    #[test]
    fn everything_becomes_ascii() {
        let text = written(&["\u{e9}", "\u{1f600}"], &[Slot::Name(1)], &[(0, 1)]);
        assert_eq!(text.text, "\\u00e9\\ud83d\\ude00");
        assert_eq!(text.slots, [(6, Slot::Name(1))]);
    }
}

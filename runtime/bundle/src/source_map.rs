//! The output text together with its source map. `link` writes text piece by piece; the positions of the pieces are
//! turned into the mappings of a version 3 source map (ECMA-426) when somebody asks for it: most builds run without an
//! error, and without a debugger.

use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::original::{Original, ShippedMap};
use crate::paths::line_starts;

/// A bundle's source map: JSON, version 3. It is made when its bytes are first asked for.
#[derive(Clone)]
pub struct SourceMap(Arc<LazyLock<Vec<u8>, MakeJson>>);

type MakeJson = Box<dyn FnOnce() -> Vec<u8> + Send>;

impl SourceMap {
    /// A map that was made earlier. The bytes are not looked at: they must be a source map, version 3, as JSON.
    pub fn from_json(json: Vec<u8>) -> Self {
        Self::new(move || json)
    }

    fn new(make: impl FnOnce() -> Vec<u8> + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(make))))
    }
}

impl AsRef<[u8]> for SourceMap {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SourceMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourceMap")
    }
}

/// Text written so far, and where its pieces came from.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) code: String,
    mappings: Vec<Mapping>,
}

/// Offset in the code, module, byte offset in the module's source.
type Mapping = (u32, u32, u32);

/// A module's source, and the map that says what it was made of.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: Arc<str>,
    pub(crate) map: Option<Arc<ShippedMap>>,
}

impl Output {
    pub(crate) fn push(&mut self, text: &str) {
        self.code.push_str(text);
    }

    /// Whatever is written next comes from this place.
    pub(crate) fn map(&mut self, module: usize, source: u32) {
        self.mappings.push((self.code.len() as u32, module as u32, source));
    }

    /// Puts text before all that was written.
    pub(crate) fn prepend(&mut self, text: &str) {
        self.code.insert_str(0, text);
        self.mappings.iter_mut().for_each(|mapping| mapping.0 += text.len() as u32);
    }

    /// The code, and its map with the sources that something in the code came from.
    pub(crate) fn finish(self, sources: Vec<Source>) -> (String, SourceMap) {
        let lines = line_starts(&self.code);
        let mappings = self.mappings;
        (self.code, SourceMap::new(move || json(&mappings, &lines, &sources)))
    }
}

/// The map as JSON. The code is ASCII, so its bytes are its columns.
fn json(mappings: &[Mapping], lines: &[u32], sources: &[Source]) -> Vec<u8> {
    let mut readers: Vec<Option<Reader<'_>>> = sources.iter().map(|_| None).collect();
    let mut used = Used::default();
    let mut coded = String::with_capacity(mappings.len() * 6);
    let mut line_start = 0;
    let mut last = (0i64, 0i64, 0i64, 0i64);
    let mut first = true;
    let mut starts = lines.iter().skip(1).peekable();
    for (offset, module, at) in mappings {
        while let Some(start) = starts.next_if(|start| *start <= offset) {
            coded.push(';');
            line_start = *start;
            last.0 = 0;
            first = true;
        }
        let module = *module as usize;
        let (Some(slot), Some(source)) = (readers.get_mut(module), sources.get(module)) else { continue };
        let reader = slot.get_or_insert_with(|| Reader::new(source));
        let (number, line, column) = reader.locate(*at, &mut used);
        let now = (i64::from(offset - line_start), number as i64, line as i64, column as i64);
        // Of several tokens that came from one place, the first is enough.
        if !first && (now.1, now.2, now.3) == (last.1, last.2, last.3) {
            continue;
        }
        if !first {
            coded.push(',');
        }
        first = false;
        for value in [now.0 - last.0, now.1 - last.1, now.2 - last.2, now.3 - last.3] {
            vlq(value, &mut coded);
        }
        last = now;
    }
    let map = Map {
        version: 3,
        sources: used.0.iter().map(|(name, _)| *name).collect(),
        sources_content: used.0.iter().map(|(_, text)| *text).collect(),
        names: [],
        mappings: &coded,
    };
    serde_json::to_vec(&map).unwrap_or_default()
}

/// Names and texts of the map's sources.
#[derive(Default)]
struct Used<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Used<'a> {
    fn add(&mut self, name: &'a str, text: &'a str) -> usize {
        self.0.push((name, text));
        self.0.len() - 1
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Map<'a> {
    version: u8,
    sources: Vec<&'a str>,
    sources_content: Vec<&'a str>,
    names: [&'a str; 0],
    mappings: &'a str,
}

/// A reader of one module: turns byte offsets, which mostly ascend, into lines and columns of the map's sources.
struct Reader<'a> {
    source: &'a Source,
    original: Option<&'a Original>,
    /// The module's own text, when something came from there.
    lines: Option<Lines<'a>>,
    /// The numbers in the map of the files that it was made of.
    numbers: Vec<Option<usize>>,
    /// The segment that was asked for last.
    segment: usize,
}

impl<'a> Reader<'a> {
    fn new(source: &'a Source) -> Self {
        let original = source.map.as_ref().map(|map| map.original());
        let files = original.map_or(0, |original| original.files.len());
        Self { source, original, lines: None, numbers: vec![None; files], segment: 0 }
    }

    fn locate(&mut self, offset: u32, used: &mut Used<'a>) -> (usize, usize, usize) {
        let source = self.source;
        if let Some(original) = self.original
            && let Some(place) = original.locate(offset, &mut self.segment)
            && let Some(file) = original.files.get(place.file as usize)
            && let Some(number) = self.numbers.get_mut(place.file as usize)
        {
            let number = *number.get_or_insert_with(|| used.add(&file.name, &file.text));
            return (number, place.line as usize, place.column as usize);
        }
        let lines =
            self.lines.get_or_insert_with(|| Lines::new(&source.text, used.add(&source.name, &source.text)));
        let (line, column) = lines.locate(offset);
        (lines.number, line, column)
    }
}

/// One source by its lines.
struct Lines<'a> {
    text: &'a str,
    /// The source's number in the map.
    number: usize,
    starts: Vec<u32>,
    is_ascii: bool,
    /// Offset, line and column that were asked for last.
    last: (u32, usize, usize),
}

impl<'a> Lines<'a> {
    fn new(text: &'a str, number: usize) -> Self {
        Self { text, number, starts: line_starts(text), is_ascii: text.is_ascii(), last: (0, 0, 0) }
    }

    fn locate(&mut self, offset: u32) -> (usize, usize) {
        let (before, mut line, mut column) = self.last;
        let next = self.starts.get(line + 1).copied().unwrap_or(u32::MAX);
        let mut from = before;
        if offset < before || offset >= next {
            line = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
            from = self.starts.get(line).copied().unwrap_or(0);
            column = 0;
        }
        // A long line is walked through once, not from its start for each of its places.
        column += if self.is_ascii {
            (offset - from) as usize
        } else {
            let between = self.text.get(from as usize..offset as usize).unwrap_or_default();
            between.chars().map(char::len_utf16).sum()
        };
        self.last = (offset, line, column);
        (line, column)
    }
}

fn vlq(value: i64, out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut rest = value.unsigned_abs() << 1 | u64::from(value < 0);
    loop {
        let digit = (rest & 31) as usize;
        rest >>= 5;
        let digit = if rest > 0 { digit | 32 } else { digit };
        out.push(char::from(DIGITS.get(digit).copied().unwrap_or(b'A')));
        if rest == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_lines_and_columns() {
        let mut output = Output::default();
        output.push("x\n ");
        output.map(0, 5);
        output.push("y");
        let source = Source { name: "a".into(), text: "\u{e9}\n\u{e9}b".into(), map: None };
        let (_, map) = output.finish(vec![source]);
        let map: serde_json::Value = serde_json::from_slice(map.as_ref()).expect("valid JSON");
        assert_eq!(map["mappings"], ";CACC");
    }
}

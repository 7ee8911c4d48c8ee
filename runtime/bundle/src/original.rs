//! What a published file was made of, as the source map in it or beside it says (ECMA-426). `graph` finds and reads the
//! map with the file; it is understood when the bundle's own source map is made, by `source_map`. A map that is wrong in
//! any way is no map: traces then name the published file. Nothing outside of the package is read for it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use crate::cache::Kept;
use crate::files::Files;
use crate::source_map::line_starts;

/// The source map of one published file.
pub(crate) struct ShippedMap {
    pub(crate) place: MapPlace,
    /// The map's file, if it has one of its own.
    file: Option<Arc<Kept>>,
    published: Arc<str>,
    files: Files,
    root: PathBuf,
    /// Longer maps and longer original files are left out.
    bytes_max: usize,
    original: OnceLock<Original>,
}

/// The files that a published file was made of.
#[derive(Default)]
pub(crate) struct Original {
    pub(crate) files: Vec<OriginalFile>,
    /// By their offsets.
    segments: Vec<Segment>,
}

/// One of them, as the bundle's source map names it.
pub(crate) struct OriginalFile {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// From this byte of the published file on, until the next segment.
#[derive(Clone, Copy)]
struct Segment {
    offset: u32,
    place: Option<Place>,
}

/// A place in an original file; line and column count from 0, columns in UTF-16.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) file: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Original {
    /// Where a byte of the published file came from. `at` remembers the last answer, because questions mostly ascend.
    pub(crate) fn locate(&self, offset: u32, at: &mut usize) -> Option<Place> {
        let is_after =
            |number: usize| self.segments.get(number).is_none_or(|segment| segment.offset > offset);
        if !is_after(*at) && is_after(*at + 1) {
            return self.segments.get(*at)?.place;
        }
        *at = self.segments.partition_point(|segment| segment.offset <= offset).checked_sub(1)?;
        self.segments.get(*at)?.place
    }
}

/// Where a map is, and what its paths are relative to.
#[derive(Clone)]
pub(crate) struct MapPlace {
    /// The map's file; `None` when the map is in the published file itself.
    pub(crate) file: Option<PathBuf>,
    folder: PathBuf,
    /// Nothing outside of this folder is read or named.
    package: PathBuf,
}

impl MapPlace {
    /// Where the published file says that its map is.
    pub(crate) fn of(published: &Path, text: &str, package: &Path) -> Option<Self> {
        let url = map_url(text)?;
        let folder = published.parent()?;
        let inside = Self { file: None, folder: folder.to_path_buf(), package: package.to_path_buf() };
        if url.starts_with("data:") {
            return Some(inside);
        }
        let path = String::from_utf8(percent_decoded(url.split(['?', '#']).next()?)).ok()?;
        if path.is_empty() || path.contains("://") || path.starts_with('/') {
            return None;
        }
        let file = walk(folder, &path, package)?;
        let folder = file.parent()?.to_path_buf();
        (!leaves(&file, package)).then_some(Self { file: Some(file), folder, ..inside })
    }
}

impl ShippedMap {
    pub(crate) fn new(
        place: MapPlace,
        file: Option<Arc<Kept>>,
        published: Arc<str>,
        files: &Files,
        root: &Path,
        bytes_max: usize,
    ) -> Self {
        let (files, root) = (files.clone(), root.to_path_buf());
        Self { place, file, published, files, root, bytes_max, original: OnceLock::new() }
    }

    /// Whether these are the contents of the published file.
    pub(crate) fn is_of(&self, published: &Arc<str>) -> bool {
        Arc::ptr_eq(&self.published, published)
    }

    /// Whether these are the contents of the map's own file.
    pub(crate) fn is_in(&self, file: Option<&Arc<Kept>>) -> bool {
        self.file.as_ref().map(Arc::as_ptr) == file.map(Arc::as_ptr)
    }

    /// What it says.
    pub(crate) fn original(&self) -> &Original {
        self.original.get_or_init(|| {
            let parsed = match &self.file {
                Some(file) => self.parse(&file.bytes),
                None => map_url(&self.published).and_then(data).and_then(|map| self.parse(&map)),
            };
            parsed.unwrap_or_default()
        })
    }

    fn parse(&self, map: &[u8]) -> Option<Original> {
        if map.len() > self.bytes_max {
            return None;
        }
        let map: Map = serde_json::from_slice(map.strip_prefix(b")]}'").unwrap_or(map)).ok()?;
        if map.version != 3 {
            return None;
        }
        let source_root = map.source_root.unwrap_or_default();
        let mut contents = map.sources_content.unwrap_or_default().into_iter();
        let mut files = Vec::new();
        // The number that a file of the map has here.
        let mut numbers = Vec::with_capacity(map.sources.len());
        for source in map.sources {
            let content = contents.next().flatten();
            let path = source.and_then(|source| self.path(&source, &source_root));
            let text = path.as_ref().and_then(|path| content.or_else(|| self.text(path)));
            numbers.push(text.is_some().then_some(files.len() as u32));
            if let (Some(path), Some(text)) = (path, text) {
                files.push(OriginalFile { name: crate::graph::file_url(&self.root, &path), text });
            }
        }
        let segments = segments(&map.mappings, &self.published, &files, &numbers)?;
        Some(Original { files, segments })
    }

    /// The file that a map calls `source`; one that leads out of the package is taken to be in it.
    fn path(&self, source: &str, source_root: &str) -> Option<PathBuf> {
        let joined = format!("{}/{source}", source_root.trim_end_matches('/'));
        let written = if source_root.is_empty() || source.contains("://") { source } else { &joined };
        // Bundlers write URLs of their own, such as `webpack://name/./src/file.ts?1a2b`.
        let (base, path) = match written.split_once("://") {
            Some((_, path)) => (&self.place.package, path.split(['?', '#']).next()?),
            None if written.starts_with('/') => (&self.place.package, written),
            None => (&self.place.folder, written),
        };
        let path = walk(base, path, &self.place.package)?;
        (path != *base).then_some(path)
    }

    fn text(&self, path: &Path) -> Option<String> {
        if leaves(path, &self.place.package) {
            return None;
        }
        self.files.read_text(path, self.bytes_max)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Map {
    version: u32,
    sources: Vec<Option<String>>,
    sources_content: Option<Vec<Option<String>>>,
    source_root: Option<String>,
    mappings: String,
}

/// Comments that may follow the one with the URL.
const COMMENT_LINES_MAX: usize = 8;

/// The URL in one of the comments that end a file.
fn map_url(text: &str) -> Option<&str> {
    const NAME: &str = " sourceMappingURL=";
    for line in text.trim_end().lines().rev().take(COMMENT_LINES_MAX) {
        if let Some((before, url)) = line.rsplit_once(NAME)
            && ["//#", "//@", "/*#", "/*@"].iter().any(|opening| before.ends_with(opening))
        {
            let url = url.split_whitespace().next()?;
            return Some(url.strip_suffix("*/").unwrap_or(url));
        }
        if !line.is_empty() && !line.trim_start().starts_with("//") {
            return None;
        }
    }
    None
}

/// The bytes of a `data:` URL.
fn data(url: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let (kind, data) = url.strip_prefix("data:")?.split_once(',')?;
    if kind.ends_with(";base64") {
        base64::engine::general_purpose::STANDARD.decode(data).ok()
    } else {
        Some(percent_decoded(data))
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let code =
            after.get(..2).filter(|_| *byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(code) => {
                decoded.push(code);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(*byte);
                rest = after;
            }
        }
    }
    decoded
}

/// Follows a path from a folder without ever going above another one.
fn walk(from: &Path, path: &str, top: &Path) -> Option<PathBuf> {
    let mut at = from.strip_prefix(top).ok()?.to_path_buf();
    for piece in path.split(['/', '\\']) {
        match piece {
            "" | "." => {}
            ".." => drop(at.pop()),
            name => at.push(name),
        }
    }
    Some(top.join(at))
}

/// Whether a symbolic link leads out of the package.
fn leaves(path: &Path, package: &Path) -> bool {
    path.canonicalize().is_ok_and(|real| !real.starts_with(package))
}

/// The map's mappings by the published file's bytes. Each line begins with a segment of its own, so that none reaches
/// over the end of its line.
fn segments(
    mappings: &str,
    published: &str,
    files: &[OriginalFile],
    numbers: &[Option<u32>],
) -> Option<Vec<Segment>> {
    let lines: Vec<Vec<u32>> = files.iter().map(|file| line_starts(&file.text)).collect();
    let length = |file: u32, line: u32| {
        let (starts, text) = (lines.get(file as usize)?, &files.get(file as usize)?.text);
        let start = *starts.get(line as usize)?;
        Some(starts.get(line as usize + 1).copied().unwrap_or(text.len() as u32 + 1) - start)
    };
    let mut found = Segments::default();
    let mut coded = mappings.split(';');
    let (mut source, mut line, mut column) = (0i64, 0i64, 0i64);
    let mut start = 0u32;
    for text in published.split_inclusive('\n') {
        found.add(start, None);
        let mut columns = Columns { text, offset: 0, column: 0 };
        let mut generated = 0i64;
        for piece in coded.next().unwrap_or_default().split(',').filter(|piece| !piece.is_empty()) {
            let (fields, count) = vlq(piece.as_bytes())?;
            generated = generated.checked_add(fields[0])?;
            let mut place = None;
            if count >= 4 {
                source = source.checked_add(fields[1])?;
                line = line.checked_add(fields[2])?;
                column = column.checked_add(fields[3])?;
                let file = usize::try_from(source).ok().and_then(|source| *numbers.get(source)?);
                if let (Some(file), Ok(line), Ok(column)) = (file, u32::try_from(line), u32::try_from(column))
                {
                    let is_inside = length(file, line).is_some_and(|length| column < length);
                    place = is_inside.then_some(Place { file, line, column });
                }
            }
            if let Some(offset) = columns.offset(generated) {
                found.add(start + offset, place);
            }
        }
        start = start.checked_add(u32::try_from(text.len()).ok()?)?;
    }
    Some(found.sorted())
}

#[derive(Default)]
struct Segments(Vec<Segment>);

impl Segments {
    fn add(&mut self, offset: u32, place: Option<Place>) {
        match self.0.last_mut() {
            Some(last) if last.offset == offset => last.place = place,
            _ => self.0.push(Segment { offset, place }),
        }
    }

    /// The columns of a line may be in any order.
    fn sorted(mut self) -> Vec<Segment> {
        if !self.0.is_sorted_by_key(|segment| segment.offset) {
            self.0.sort_by_key(|segment| segment.offset);
        }
        self.0
    }
}

/// Turns columns in UTF-16, which mostly ascend, into bytes of a line.
struct Columns<'a> {
    text: &'a str,
    offset: usize,
    column: i64,
}

impl Columns<'_> {
    fn offset(&mut self, column: i64) -> Option<u32> {
        if column < self.column {
            (self.offset, self.column) = (0, 0);
        }
        for character in self.text.get(self.offset..)?.chars() {
            if self.column >= column {
                break;
            }
            self.column += character.len_utf16() as i64;
            self.offset += character.len_utf8();
        }
        (self.column >= column && column >= 0).then_some(self.offset as u32)
    }
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

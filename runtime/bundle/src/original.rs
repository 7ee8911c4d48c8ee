//! What a published file was made of, as the source map in it or beside it says (ECMA-426). `graph` finds and reads the
//! map with the file; it is understood when the bundle's own source map is made, by `source_map`. A map that is wrong in
//! any way is no map: traces then name the published file. Nothing outside of the package is read for it.

mod map;
mod mappings;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashMap;

use self::map::{Part, Sources};
use self::mappings::Segments;

use crate::files::{Files, Kept};
use crate::paths::{file_url, line_starts};

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

/// The files while maps are read.
#[derive(Default)]
struct Originals {
    files: Vec<OriginalFile>,
    /// Where the lines of each file begin.
    lines: Vec<Vec<u32>>,
    /// The numbers of the files, those that could not be read included.
    known: FxHashMap<PathBuf, Option<u32>>,
}

impl Originals {
    fn add(&mut self, name: String, text: String) -> u32 {
        self.lines.push(line_starts(&text));
        self.files.push(OriginalFile { name, text });
        self.files.len() as u32 - 1
    }

    /// A place in a file, if the file has that line and column.
    fn place(&self, file: u32, line: u32, column: u32) -> Option<Place> {
        let (starts, text) = (self.lines.get(file as usize)?, &self.files.get(file as usize)?.text);
        let start = *starts.get(line as usize)?;
        let end = starts.get(line as usize + 1).copied().unwrap_or(text.len() as u32 + 1);
        (column < end - start).then_some(Place { file, line, column })
    }
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
        let parts = map::parts(map.strip_prefix(b")]}'").unwrap_or(map))?;
        let mut originals = Originals::default();
        let mut segments = Segments::new(&self.published);
        let mut parts = parts.into_iter().peekable();
        while let Some(Part { from, sources, mappings }) = parts.next() {
            let next = parts.peek().map(|next| next.from);
            let numbers = self.sources(sources, &mut originals);
            segments.add(&mappings, from, next, |source, line, column| {
                let file = usize::try_from(source).ok().and_then(|source| *numbers.get(source)?)?;
                originals.place(file, u32::try_from(line).ok()?, u32::try_from(column).ok()?)
            })?;
        }
        Some(Original { files: originals.files, segments: segments.sorted() })
    }

    /// Adds files; the numbers that they have from now on.
    fn sources(&self, sources: Sources, originals: &mut Originals) -> Vec<Option<u32>> {
        let mut contents = sources.contents.into_iter();
        let mut numbers = Vec::with_capacity(sources.names.len());
        for name in sources.names {
            let content = contents.next().flatten();
            let path = name.and_then(|name| self.path(&name, &sources.root));
            numbers.push(path.and_then(|path| self.source(path, content, originals)));
        }
        numbers
    }

    /// One file, whose text is in the map or where the map says. A file that several maps name is there once.
    fn source(&self, path: PathBuf, content: Option<String>, originals: &mut Originals) -> Option<u32> {
        let known = originals.known.get(&path).copied();
        let text = match content {
            Some(content) => Some(content),
            None if known.is_some() => return known.flatten(),
            None => self.text(&path),
        };
        if let (Some(known), Some(text)) = (known.flatten(), &text)
            && originals.files.get(known as usize).is_some_and(|file| file.text == *text)
        {
            return Some(known);
        }
        let number = text.map(|text| originals.add(file_url(&self.root, &path), text));
        originals.known.insert(path, number);
        number
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

//! Source maps that packages ship: whatever a map says, its segments lie in the published file, in order.

#[path = "../../runtime/bundle/src/original/map.rs"]
mod map;
#[path = "../../runtime/bundle/src/original/mappings.rs"]
mod mappings;

use map::Part;
use mappings::Segments;

#[derive(Clone, Copy)]
struct Segment {
    offset: u32,
    place: Option<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    file: u32,
    line: u32,
    column: u32,
}

const PUBLISHED: &str = "export function greet(name) {\n  return `hello ${name} \u{1f389} é`;\n}\n\nlast";

/// The bytes are a map.
pub fn run(bytes: &[u8]) {
    let Some(parts) = map::parts(bytes) else { return };
    let mut segments = Segments::new(PUBLISHED);
    let mut parts = parts.into_iter().peekable();
    while let Some(Part { from, sources, mappings }) = parts.next() {
        let next = parts.peek().map(|next| next.from);
        let place = |source: i64, line: i64, column: i64| {
            sources.names.get(usize::try_from(source).ok()?)?;
            Some(Place {
                file: u32::try_from(source).ok()?,
                line: u32::try_from(line).ok()?,
                column: u32::try_from(column).ok()?,
            })
        };
        if segments.add(&mappings, from, next, place).is_none() {
            return;
        }
    }
    let mut least = 0;
    for segment in segments.sorted() {
        assert!(segment.offset >= least && segment.offset as usize <= PUBLISHED.len());
        assert!(PUBLISHED.is_char_boundary(segment.offset as usize));
        least = segment.offset;
    }
}

//! A source map as JSON (ECMA-426): one of its own, or an index map, which puts maps of parts of a file together.

use serde::Deserialize;

/// A place in a published file; line and column count from 0, columns in UTF-16.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Position {
    /// This position of a part that begins elsewhere.
    fn within(self, part: Self) -> Option<Self> {
        let column = if self.line == 0 { part.column.checked_add(self.column)? } else { self.column };
        Some(Self { line: part.line.checked_add(self.line)?, column })
    }
}

/// The map of a part of a published file: of the whole one, if it is the only part.
pub(super) struct Part {
    /// The part reaches from here to where the next one begins.
    pub(super) from: Position,
    pub(super) sources: Sources,
    pub(super) mappings: String,
}

/// The files that a part was made of.
pub(super) struct Sources {
    pub(super) names: Vec<Option<String>>,
    pub(super) contents: Vec<Option<String>>,
    pub(super) root: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Map {
    version: u32,
    sections: Option<Vec<Section>>,
    sources: Option<Vec<Option<String>>>,
    sources_content: Option<Vec<Option<String>>>,
    source_root: Option<String>,
    mappings: Option<String>,
}

#[derive(Deserialize)]
struct Section {
    offset: Position,
    map: Map,
}

/// The parts of a map in their order. None if it is no map, or one whose sections are not in order.
pub(super) fn parts(json: &[u8]) -> Option<Vec<Part>> {
    // The parser refuses what is nested so deeply that following it would need too much of the stack.
    let map: Map = serde_json::from_slice(json).ok()?;
    let mut parts = Vec::new();
    gather(map, Position::default(), &mut parts)?;
    Some(parts)
}

fn gather(map: Map, from: Position, parts: &mut Vec<Part>) -> Option<()> {
    if map.version != 3 {
        return None;
    }
    let Some(sections) = map.sections else {
        let sources = Sources {
            names: map.sources?,
            contents: map.sources_content.unwrap_or_default(),
            root: map.source_root.unwrap_or_default(),
        };
        parts.push(Part { from, sources, mappings: map.mappings? });
        return Some(());
    };
    for section in sections {
        let from = section.offset.within(from)?;
        if parts.last().is_some_and(|before| from < before.from) {
            return None;
        }
        gather(section.map, from, parts)?;
    }
    Some(())
}

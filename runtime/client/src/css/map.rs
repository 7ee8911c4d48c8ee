//! The source map of a bundled sheet: where each of its blocks stands in the sheets that it was made from.
//!
//! The parser tells where a rule began, the printer not where it put it. So the blocks of the printed text are counted: the
//! rules are printed in their order. Where the counts differ, only the beginning of the sheet is mapped.

use std::path::{Component, Path, PathBuf};

use lightningcss::rules::{CssRule, CssRuleList, Location};
use rolldown_sourcemap::SourceMapBuilder;

use super::Sheet;

/// A line and a column, from 0.
pub(crate) type Place = (u32, u32);

/// A sheet's part of a bundle: the line at which it begins, and the sheet.
pub(crate) type Part<'sheet> = (u32, &'sheet Path, &'sheet Sheet);

/// The map as JSON, for a bundle that is written into `outdir`.
pub(crate) fn json(parts: &[Part<'_>], outdir: &Path) -> String {
    let names: Vec<String> = parts.iter().map(|(_, path, _)| relative(path, outdir)).collect();
    let mut map = SourceMapBuilder::default();
    for ((line, _, sheet), name) in parts.iter().zip(&names) {
        let source = map.set_source_and_content(name, &sheet.source);
        let printed = blocks(&sheet.code);
        let known = sheet.blocks.as_ref().filter(|known| known.len() == printed.len());
        let mut add = |(at, column): Place, (of, of_column): Place| {
            map.add_token(line + at, column, of, of_column, Some(source), None);
        };
        match known {
            Some(known) => printed.into_iter().zip(known).for_each(|(printed, known)| add(printed, *known)),
            None => add((0, 0), (0, 0)),
        }
    }
    map.into_sourcemap().to_json_string()
}

/// Where the rules that print a block each begin, in the order of printing; none if that cannot be told.
pub(crate) fn of_rules(rules: &CssRuleList<'_>) -> Option<Vec<Place>> {
    let mut places = Vec::new();
    collect(rules, &mut places)?;
    Some(places)
}

fn collect(rules: &CssRuleList<'_>, places: &mut Vec<Place>) -> Option<()> {
    let place = |at: Location| (at.line, at.column.saturating_sub(1));
    for rule in &rules.0 {
        let (at, inner) = match rule {
            CssRule::Style(rule) => (rule.loc, Some(&rule.rules)),
            CssRule::Media(rule) => (rule.loc, Some(&rule.rules)),
            CssRule::Supports(rule) => (rule.loc, Some(&rule.rules)),
            CssRule::LayerBlock(rule) => (rule.loc, Some(&rule.rules)),
            CssRule::Container(rule) => (rule.loc, Some(&rule.rules)),
            CssRule::Scope(rule) => (rule.loc, Some(&rule.rules)),
            CssRule::StartingStyle(rule) => (rule.loc, Some(&rule.rules)),
            CssRule::FontFace(rule) => (rule.loc, None),
            CssRule::Property(rule) => (rule.loc, None),
            CssRule::CounterStyle(rule) => (rule.loc, None),
            CssRule::Keyframes(rule) => {
                // Its own block, and one for each step.
                places.extend(std::iter::repeat_n(place(rule.loc), 1 + rule.keyframes.len()));
                continue;
            }
            // They print no block.
            CssRule::Import(_)
            | CssRule::Namespace(_)
            | CssRule::LayerStatement(_)
            | CssRule::NestedDeclarations(_)
            | CssRule::Ignored => continue,
            _ => return None,
        };
        places.push(place(at));
        if let Some(inner) = inner {
            collect(inner, places)?;
        }
    }
    Some(())
}

/// Where the blocks of printed CSS begin: the first character of what stands before each `{`.
fn blocks(code: &str) -> Vec<Place> {
    let mut found = Vec::new();
    let (mut line, mut column) = (0, 0);
    let mut begin: Option<Place> = None;
    let mut quote = None;
    let mut chars = code.chars().peekable();
    while let Some(char) = chars.next() {
        let here = (line, column);
        match char {
            '\n' => (line, column) = (line + 1, 0),
            // A map counts UTF-16 units.
            char => column += char.len_utf16() as u32,
        }
        match (quote, char) {
            (_, '\\') => {
                column += chars.next().map_or(0, |escaped| escaped.len_utf16() as u32);
                begin.get_or_insert(here);
            }
            (Some(open), char) if open == char => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(char),
            (None, '/') if chars.peek() == Some(&'*') => {
                // A comment that the printer kept: a licence.
                let mut last = ' ';
                for next in chars.by_ref() {
                    (line, column) =
                        if next == '\n' { (line + 1, 0) } else { (line, column + next.len_utf16() as u32) };
                    if last == '*' && next == '/' {
                        break;
                    }
                    last = next;
                }
            }
            (None, '{') => found.push(begin.take().unwrap_or(here)),
            (None, '}' | ';') => begin = None,
            (None, char) if char.is_whitespace() => {}
            (None, _) => drop(begin.get_or_insert(here)),
        }
    }
    found
}

/// The way from a folder to a file, with slashes.
fn relative(path: &Path, folder: &Path) -> String {
    let common = path.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(common).map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(path.components().skip(common)).collect();
    way.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_begin_with_their_selectors() {
        let code = "/*! {x} */\n.a {\n  content: \"{\\\"\";\n}\n\n@media print {\n  .b\\{ {\n    color: red;\n  }\n}\n";
        assert_eq!(blocks(code), [(1, 0), (5, 0), (6, 2)]);
        assert_eq!(blocks(".é{a:b}.c{d:url(x)}@layer x;e{f:g}"), [(0, 0), (0, 7), (0, 28)]);
    }

    #[test]
    fn ways_lead_up_and_down() {
        let way = |path: &str, folder: &str| relative(Path::new(path), Path::new(folder));
        assert_eq!(way("/p/src/a.css", "/p/public/dist"), "../../src/a.css");
        assert_eq!(way("/p/dist/a.css", "/p/dist"), "a.css");
    }
}

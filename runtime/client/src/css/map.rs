//! The source map of a bundled sheet: where each of its selectors, declarations and values is in the original sheets.
//!
//! The parser reports where a rule began, but the printer does not report where it put it. So the blocks of the printed
//! text are counted, because rules are printed in order. If the counts differ, only the beginning of the sheet is
//! mapped. The declarations of a block are matched by their names.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use lightningcss::rules::{CssRule, CssRuleList, Location};
use rolldown_sourcemap::SourceMapBuilder;

use super::scan::{Block, Declaration, Place, scan};
use super::sheet::{Rule, Sheet};

/// A sheet's part of a bundle: the line at which it begins, and the sheet.
pub(crate) type Part<'sheet> = (u32, &'sheet Path, &'sheet Sheet);

/// The map as JSON, for a bundle that is written into `outdir`.
pub(crate) fn json(parts: &[Part<'_>], outdir: &Path) -> String {
    let names: Vec<String> = parts.iter().map(|(_, path, _)| relative(path, outdir)).collect();
    let mut map = SourceMapBuilder::default();
    for ((line, _, sheet), name) in parts.iter().zip(&names) {
        let source = map.set_source_and_content(name, &sheet.source);
        for ((at, column), (of, of_column)) in tokens(sheet) {
            map.add_token(line + at, column, of, of_column, Some(source), None);
        }
    }
    map.into_sourcemap().to_json_string()
}

/// Places of the printed text, in their order, and those of the text that was read.
fn tokens(sheet: &Sheet) -> Vec<(Place, Place)> {
    let printed = scan(&sheet.code);
    let Some(rules) = sheet.rules.as_ref().filter(|rules| rules.len() == printed.len()) else {
        return vec![((0, 0), (0, 0))];
    };
    let blocks = scan(&sheet.source);
    let numbers: HashMap<Place, usize> = blocks
        .iter()
        .enumerate()
        .filter_map(|(number, block)| Some((*block.heads.first()?, number)))
        .collect();
    let mut tokens = Vec::new();
    for (printed, rule) in printed.iter().zip(rules) {
        let block = numbers.get(&rule.place).and_then(|number| blocks.get(*number));
        let block = block.and_then(|block| match rule.step {
            None => Some(block),
            Some((step, count)) if block.inner.len() == count => blocks.get(*block.inner.get(step)?),
            Some(_) => None,
        });
        match block {
            Some(block) => pair(printed, block, &mut tokens),
            None => tokens.extend(printed.heads.first().map(|head| (*head, rule.place))),
        }
    }
    tokens.sort_by_key(|(printed, _)| *printed);
    tokens
}

/// The places of a printed block and of the one that it was made of.
fn pair(printed: &Block, block: &Block, tokens: &mut Vec<(Place, Place)>) {
    let count = if printed.heads.len() == block.heads.len() { printed.heads.len() } else { 1 };
    tokens.extend(printed.heads.iter().copied().zip(block.heads.iter().copied()).take(count));
    let mut known = Known::new(&block.declarations);
    for declaration in printed.declarations.iter().rev() {
        match known.of(&declaration.name) {
            Some(known) => tokens.extend([(declaration.at, known.at), (declaration.value, known.value)]),
            None => tokens.extend(block.heads.first().map(|head| (declaration.at, *head))),
        }
    }
    tokens.extend(printed.end.zip(block.end));
}

/// The declarations of a block by their names, for questions from the last to the first.
struct Known<'a> {
    named: HashMap<&'a str, Vec<&'a Declaration>>,
    /// By what stands before a hyphen in their names: the printer puts `margin-top` and its kind together.
    parts: HashMap<&'a str, &'a Declaration>,
}

impl<'a> Known<'a> {
    fn new(declarations: &'a [Declaration]) -> Self {
        let (mut named, mut parts) = (HashMap::<_, Vec<_>>::new(), HashMap::new());
        for declaration in declarations {
            named.entry(declaration.name.as_str()).or_default().push(declaration);
            for name in shorter(&declaration.name) {
                parts.entry(name).or_insert(declaration);
            }
        }
        Self { named, parts }
    }

    /// What a declaration of that name was made of. Of several the last is the one that counts, so that it is found first.
    fn of(&mut self, name: &str) -> Option<&'a Declaration> {
        if let Some(named) = self.named.get_mut(name) {
            return if named.len() > 1 { named.pop() } else { named.first().copied() };
        }
        let whole = || shorter(name).find_map(|name| self.named.get(name)?.first().copied());
        self.parts.get(name).copied().or_else(whole)
    }
}

/// The names of properties that one may be a part of, the longest first.
fn shorter(name: &str) -> impl Iterator<Item = &str> {
    let is_custom = name.starts_with("--");
    name.rmatch_indices('-')
        .filter_map(move |(at, _)| name.get(..at))
        .filter(move |part| !is_custom && !part.is_empty())
}

/// Where the rules that print a block each begin, in the order of printing; none if that cannot be told.
pub(crate) fn of_rules(rules: &CssRuleList<'_>) -> Option<Vec<Rule>> {
    let mut places = Vec::new();
    collect(rules, &mut places)?;
    Some(places)
}

fn collect(rules: &CssRuleList<'_>, places: &mut Vec<Rule>) -> Option<()> {
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
                let (place, count) = (place(rule.loc), rule.keyframes.len());
                let steps = (0..count).map(|step| Some((step, count)));
                places.extend(std::iter::once(None).chain(steps).map(|step| Rule { place, step }));
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
        places.push(Rule { place: place(at), step: None });
        if let Some(inner) = inner {
            collect(inner, places)?;
        }
    }
    Some(())
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
    fn ways_lead_up_and_down() {
        let way = |path: &str, folder: &str| relative(Path::new(path), Path::new(folder));
        assert_eq!(way("/p/src/a.css", "/p/public/dist"), "../../src/a.css");
        assert_eq!(way("/p/dist/a.css", "/p/dist"), "a.css");
    }
}

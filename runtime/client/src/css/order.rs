//! The order of style sheets in a bundle.
//!
//! CSS says that a sheet which is imported several times counts where it is imported last; so do we, for each set of
//! conditions. Imports come before the sheet that has them. Addresses on a server come first, as `@import` must.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::map::{self, Part};
use super::sheet::{Condition, Sheet, Target};

type Conditions = Vec<Condition>;

/// The sheet of an entry, with the parts that it is made of.
pub(crate) struct Bundled<'sheet> {
    pub(crate) text: String,
    parts: Vec<Part<'sheet>>,
}

impl Bundled<'_> {
    /// Its source map, for an output in `outdir`.
    pub(crate) fn map(&self, outdir: &Path) -> String {
        map::json(&self.parts, outdir)
    }
}

/// The sheet of an entry whose modules import these sheets.
pub(crate) fn bundle<'sheet>(
    roots: &[PathBuf],
    sheets: &'sheet BTreeMap<PathBuf, Sheet>,
    cwd: &Path,
    minify: bool,
) -> Bundled<'sheet> {
    let mut places = Vec::new();
    for root in roots {
        collect(&Target::File(root.clone()), &Vec::new(), sheets, &mut HashSet::new(), &mut places);
    }
    let mut seen: Vec<&(Target, Conditions)> = Vec::new();
    for place in places.iter().rev() {
        if !seen.contains(&place) {
            seen.push(place);
        }
    }
    seen.reverse();
    let mut text = String::new();
    for (target, conditions) in &seen {
        if let Target::Address(address) = target {
            text.push_str(&import(address, conditions));
        }
    }
    let mut parts = Vec::new();
    for (target, conditions) in &seen {
        let Target::File(path) = target else { continue };
        let Some((path, sheet)) = sheets.get_key_value(path) else { continue };
        if sheet.code.trim().is_empty() {
            continue;
        }
        if !minify {
            let shown = path.strip_prefix(cwd).unwrap_or(path).display();
            text.push_str(&format!("/* {shown} */\n"));
        }
        let line = text.matches('\n').count() + wrappers(conditions);
        parts.push((u32::try_from(line).unwrap_or(u32::MAX), path.as_path(), sheet));
        text.push_str(&wrapped(&sheet.code, conditions));
        text.push('\n');
    }
    Bundled { text, parts }
}

fn collect(
    target: &Target,
    conditions: &Conditions,
    sheets: &BTreeMap<PathBuf, Sheet>,
    open: &mut HashSet<PathBuf>,
    places: &mut Vec<(Target, Conditions)>,
) {
    if let Target::File(path) = target {
        // A sheet that imports itself, over others or not, is already on its way.
        if !open.insert(path.clone()) {
            return;
        }
        for (imported, condition) in sheets.get(path).into_iter().flat_map(|sheet| &sheet.imports) {
            let mut inner = conditions.clone();
            if *condition != Condition::default() {
                inner.push(condition.clone());
            }
            collect(imported, &inner, sheets, open, places);
        }
        open.remove(path);
    }
    places.push((target.clone(), conditions.clone()));
}

// How many lines stand before the code that is wrapped.
fn wrappers(conditions: &Conditions) -> usize {
    let of_one = |condition: &Condition| {
        let Condition { layer, supports, media } = condition;
        usize::from(layer.is_some()) + usize::from(supports.is_some()) + usize::from(media.is_some())
    };
    conditions.iter().map(of_one).sum()
}

fn wrapped(code: &str, conditions: &Conditions) -> String {
    let mut text = code.trim_end().to_owned();
    for condition in conditions.iter().rev() {
        if let Some(layer) = &condition.layer {
            text = format!("@layer {layer} {{\n{text}\n}}");
        }
        if let Some(supports) = &condition.supports {
            text = format!("@supports {supports} {{\n{text}\n}}");
        }
        if let Some(media) = &condition.media {
            text = format!("@media {media} {{\n{text}\n}}");
        }
    }
    text
}

// Only the innermost condition can be said in an `@import`; the others would need a sheet of their own.
fn import(address: &str, conditions: &Conditions) -> String {
    let mut text = format!("@import url({address:?})");
    if let Some(condition) = conditions.last() {
        match condition.layer.as_deref() {
            Some("") => text.push_str(" layer"),
            Some(layer) => text.push_str(&format!(" layer({layer})")),
            None => {}
        }
        if let Some(supports) = &condition.supports {
            text.push_str(&format!(" supports({supports})"));
        }
        if let Some(media) = &condition.media {
            text.push_str(&format!(" {media}"));
        }
    }
    text.push_str(";\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(code: &str, imports: &[(&str, Option<&str>)]) -> Sheet {
        let imports = imports.iter().map(|(name, media)| {
            let target = match name.starts_with("https:") {
                true => Target::Address((*name).to_owned()),
                false => Target::File(PathBuf::from(name)),
            };
            (target, Condition { media: media.map(str::to_owned), ..Condition::default() })
        });
        Sheet {
            imports: imports.collect(),
            code: code.to_owned(),
            source: code.to_owned(),
            rules: None,
            exports: Vec::new(),
        }
    }

    #[test]
    fn the_last_import_counts_and_addresses_come_first() {
        let sheets: BTreeMap<PathBuf, Sheet> = [
            (
                "/a.css",
                sheet(
                    "a{}",
                    &[("/reset.css", None), ("https://x/font.css", None), ("/p.css", Some("print"))],
                ),
            ),
            ("/b.css", sheet("b{}", &[("/reset.css", None), ("/b.css", None)])),
            ("/reset.css", sheet("reset{}", &[])),
            ("/p.css", sheet("p{}", &[])),
        ]
        .into_iter()
        .map(|(path, sheet)| (PathBuf::from(path), sheet))
        .collect();
        let roots = ["/a.css", "/b.css"].map(PathBuf::from);
        assert_eq!(
            bundle(&roots, &sheets, Path::new("/"), true).text,
            "@import url(\"https://x/font.css\");\n@media print {\np{}\n}\na{}\nreset{}\nb{}\n"
        );
        assert!(bundle(&roots, &sheets, Path::new("/"), false).text.contains("/* b.css */\nb{}\n"));
    }
}

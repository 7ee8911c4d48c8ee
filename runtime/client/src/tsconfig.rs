//! TypeScript configurations. rolldown is given the one nearest to an entry for the whole bundle: it would apply one of another
//! file only to what that includes, which esbuild does not check. What the other files' own say besides is done here: names
//! lead where their `paths` and `baseUrl` say, and `typing.rs` and `jsx.rs` have the rest.
//!
//! If the `extends` of a configuration leads nowhere, as in a project that was taken out of a larger repository,
//! rolldown builds nothing, while esbuild warns and uses what the file itself says. Rolldown doesn't find a package's
//! `tsconfig` either. So what can be found is written to a file of its own, and rolldown gets that one.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use partyrun_tsconfig::{base, extended, parse};
use serde_json::{Map, Value};
use tempfile::NamedTempFile;

/// So many configurations are read for one: a circle ends as well.
const EXTENDS_MAX: usize = 32;

/// A configuration reduced to what rolldown can read: what it says itself, and what it extends where that is found.
#[derive(Debug)]
pub(crate) struct Alone {
    file: NamedTempFile,
    /// Everything that it extends is in it.
    pub(crate) is_whole: bool,
}

impl Alone {
    /// Reduces a configuration, if it can be read.
    pub(crate) fn of(original: &Path) -> Option<Self> {
        let (mut options, mut read) = (Map::new(), Vec::new());
        let is_whole = merge(&mut options, original, &mut read)?;
        let mut file = tempfile::Builder::new().prefix("tsconfig").suffix(".json").tempfile().ok()?;
        file.write_all(serde_json::json!({ "compilerOptions": options }).to_string().as_bytes()).ok()?;
        Some(Self { file, is_whole })
    }

    /// Where the reduced configuration stands, as long as this value lives.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }
}

/// The options of a configuration with those that it extends, as far as they can be read, and the files that were read.
pub(crate) fn options(config: &Path) -> (Map<String, Value>, Vec<PathBuf>) {
    let (mut options, mut read) = (Map::new(), Vec::new());
    let _is_whole = merge(&mut options, config, &mut read);
    (options, read)
}

/// Where a name that is no path may lead by `paths` and `baseUrl`, the first one first.
pub(crate) fn places(options: &Map<String, Value>, name: &str) -> Vec<PathBuf> {
    let paths = options.get("paths").and_then(Value::as_object);
    let exact = paths.and_then(|paths| paths.get(name)).map(|targets| (targets, ""));
    // Of patterns the one with the longest beginning counts.
    let fitting = paths.into_iter().flatten().filter_map(|(pattern, targets)| {
        let (before, after) = pattern.split_once('*')?;
        let between = name.strip_prefix(before)?.strip_suffix(after)?;
        Some((before.len(), targets, between))
    });
    let pattern = fitting.max_by_key(|(length, ..)| *length).map(|(_, targets, between)| (targets, between));
    let found = exact.or(pattern);
    let targets = found.iter().filter_map(|(targets, between)| {
        let targets = targets.as_array()?.iter().filter_map(Value::as_str);
        Some(targets.map(move |target| PathBuf::from(target.replacen('*', between, 1))))
    });
    let base = options.get("baseUrl").and_then(Value::as_str).map(|base| Path::new(base).join(name));
    targets.flatten().chain(base).collect()
}

// Adds the options of a configuration after those that it extends, and says whether all of these were found.
fn merge(options: &mut Map<String, Value>, config: &Path, read: &mut Vec<PathBuf>) -> Option<bool> {
    read.push(config.to_owned());
    let mut value = parse(config)?;
    let mut is_whole = true;
    for extended in extended(&value) {
        let found = base(config, &extended).filter(|_| read.len() < EXTENDS_MAX);
        is_whole &= found.and_then(|path| merge(options, &path, read)).unwrap_or(false);
    }
    let own = value.get_mut("compilerOptions").and_then(Value::as_object_mut);
    let mut own = own.map(std::mem::take).unwrap_or_default();
    make_absolute(&mut own, config.parent().unwrap_or(config));
    options.extend(own);
    Some(is_whole)
}

// The reduced file stands in another folder than the one that its paths count from.
fn make_absolute(options: &mut Map<String, Value>, folder: &Path) {
    let absolute = |base: &Path, value: &mut Value| {
        if let Some(path) = value.as_str() {
            *value = base.join(path).to_string_lossy().into_owned().into();
        }
    };
    let mut base = folder.to_owned();
    if let Some(url) = options.get_mut("baseUrl") {
        absolute(folder, url);
        base = url.as_str().map_or(base, PathBuf::from);
    }
    let paths = options.get_mut("paths").and_then(Value::as_object_mut);
    let targets = paths.into_iter().flat_map(Map::values_mut).filter_map(Value::as_array_mut).flatten();
    targets.for_each(|target| absolute(&base, target));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reduced_configuration_says_the_same_without_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let reduced = |text: &str| -> Value {
            std::fs::write(folder.path().join("tsconfig.json"), text).unwrap();
            let original = partyrun_tsconfig::nearest(&folder.path().join("src")).unwrap();
            let alone = Alone::of(&original).unwrap();
            serde_json::from_str(&std::fs::read_to_string(alone.path()).unwrap()).unwrap()
        };
        let inside = |path: &str| folder.path().join(path).to_string_lossy().into_owned();
        assert_eq!(reduced(r#"{ "extends": "./no.json" }"#), serde_json::json!({ "compilerOptions": {} }));
        let options = r#"{
            // why
            "extends": "./no.json",
            "compilerOptions": { "jsx": "preserve", "baseUrl": "src", "paths": { "~/*": ["lib/*"] }, },
        }"#;
        let expected = serde_json::json!({
            "compilerOptions": {
                "jsx": "preserve",
                "baseUrl": inside("src"),
                "paths": { "~/*": [inside("src/lib/*")] },
            }
        });
        assert_eq!(reduced(options), expected);
    }

    #[test]
    fn names_lead_to_the_places_of_the_best_pattern() {
        let options = serde_json::json!({
            "baseUrl": "/p",
            "paths": { "a": ["/p/one", "/p/two"], "a*": ["/p/wide/*"], "ab/*/c": ["/p/narrow/*.ts"] },
        });
        let led = |name: &str| places(options.as_object().unwrap(), name);
        assert_eq!(led("a"), ["/p/one", "/p/two", "/p/a"].map(PathBuf::from));
        assert_eq!(led("ab/x/c"), ["/p/narrow/x.ts", "/p/ab/x/c"].map(PathBuf::from));
        assert_eq!(led("abc"), ["/p/wide/bc", "/p/abc"].map(PathBuf::from));
        assert_eq!(led("b"), [PathBuf::from("/p/b")]);
        assert_eq!(places(&Map::new(), "b"), [] as [PathBuf; 0]);
    }
}

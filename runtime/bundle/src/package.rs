//! Packages: what the nearest `package.json` says about the files below it, which is not always the `package.json` of
//! the package's root. A broken one says nothing; whoever resolves through it reports it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::Deserialize;

use crate::files::Files;
use crate::settings::ModuleHint;

/// The fields that concern single files.
#[derive(Debug, Default)]
pub(crate) struct Package {
    folder: PathBuf,
    pub(crate) hint: ModuleHint,
    side_effects: Option<Vec<String>>,
    /// It has a `module` field and no `main`.
    only_module: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SideEffects {
    Any(bool),
    One(String),
    Some(Vec<String>),
    Unknown(serde::de::IgnoredAny),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    #[serde(rename = "type")]
    kind: Option<serde_json::Value>,
    main: Option<serde_json::Value>,
    module: Option<serde_json::Value>,
    side_effects: Option<SideEffects>,
}

impl Package {
    /// Whether evaluating the file may do something besides making its exports.
    pub(crate) fn has_side_effects(&self, file: &Path) -> bool {
        let Some(listed) = &self.side_effects else { return true };
        let name = file.strip_prefix(&self.folder).unwrap_or(file).to_string_lossy();
        listed.iter().any(|pattern| {
            let pattern = pattern.strip_prefix("./").or(pattern.strip_prefix('/')).unwrap_or(pattern);
            // A pattern without a folder means the file in every folder.
            if pattern.contains('/') {
                fast_glob::glob_match(pattern, &*name)
            } else {
                fast_glob::glob_match(format!("**/{pattern}"), &*name)
            }
        })
    }

    fn read(files: &Files, folder: &Path) -> Option<Self> {
        let text = String::from_utf8(files.read(&folder.join("package.json")).ok()?).ok()?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let fields: Fields = serde_json::from_str(text).unwrap_or_default();
        let hint = match fields.kind.as_ref().and_then(serde_json::Value::as_str) {
            Some("module") => ModuleHint::Esm,
            Some("commonjs") => ModuleHint::CommonJs,
            _ => ModuleHint::None,
        };
        let side_effects = match fields.side_effects {
            Some(SideEffects::Any(false)) => Some(Vec::new()),
            Some(SideEffects::One(pattern)) => Some(vec![pattern]),
            Some(SideEffects::Some(patterns)) => Some(patterns),
            Some(SideEffects::Any(true) | SideEffects::Unknown(_)) | None => None,
        };
        let is_text =
            |field: &Option<serde_json::Value>| field.as_ref().is_some_and(serde_json::Value::is_string);
        let only_module = is_text(&fields.module) && !is_text(&fields.main);
        Some(Self { folder: folder.to_path_buf(), hint, side_effects, only_module })
    }
}

/// All that were looked up in one build.
pub(crate) struct Packages {
    files: Files,
    folders: RefCell<FxHashMap<PathBuf, Arc<Package>>>,
}

impl Packages {
    pub(crate) fn new(files: Files) -> Self {
        Self { files, folders: RefCell::default() }
    }

    /// The folder of the package that a file belongs to; the project's for its own files.
    pub(crate) fn folder_of(&self, file: &Path, root: &Path) -> PathBuf {
        let mut below = file;
        for folder in file.ancestors().skip(1) {
            let scope = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with('@'));
            if folder.ends_with("node_modules") {
                return below.to_path_buf();
            }
            if !scope {
                below = folder;
            }
        }
        let nearest = if file.starts_with(root) { root.to_path_buf() } else { self.of(file).folder.clone() };
        if nearest.as_os_str().is_empty() { file.parent().unwrap_or(root).to_path_buf() } else { nearest }
    }

    /// Whether an index file is what `main` would say, in the folder of a package that only names a `module`.
    pub(crate) fn is_main(&self, index: &Path) -> bool {
        let package = self.of(index);
        package.only_module && index.parent() == Some(&package.folder)
    }

    /// The nearest one above a file.
    pub(crate) fn of(&self, file: &Path) -> Arc<Package> {
        let mut missed = Vec::new();
        let mut found = None;
        for folder in file.ancestors().skip(1) {
            if let Some(known) = self.folders.borrow().get(folder) {
                found = Some(known.clone());
                break;
            }
            missed.push(folder);
            // The folder of all packages belongs to none of them.
            if folder.file_name().is_some_and(|name| name == "node_modules") {
                break;
            }
            if let Some(package) = Package::read(&self.files, folder) {
                found = Some(Arc::new(package));
                break;
            }
        }
        let found = found.unwrap_or_default();
        for folder in missed {
            self.folders.borrow_mut().insert(folder.to_path_buf(), found.clone());
        }
        found
    }
}

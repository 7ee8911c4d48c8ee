//! The list of packages of Yarn Plug'n'Play. As Yarn writes it, it is a text inside of `.pnp.cjs`, which is what the
//! resolver's library reads. With `pnpEnableInlining: false` it is the file `.pnp.data.json` beside it: the library then
//! reads a `.pnp.cjs` made for it in a temporary folder, with the same list and absolute paths in it.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

const INLINED: &str = ".pnp.cjs";
const APART: &str = ".pnp.data.json";

/// The file with the list of a project: the nearest one above it; in one folder the JSON counts, as for esbuild.
pub(crate) fn manifest(root: &Path) -> Option<PathBuf> {
    let files = root.ancestors().flat_map(|folder| [APART, INLINED].map(|name| folder.join(name)));
    files.into_iter().find(|path| path.is_file())
}

/// A folder in which the library finds the list, if it is not the manifest's own. It goes with the value.
pub(crate) fn readable(manifest: &Path) -> Result<Option<TempDir>, String> {
    if !manifest.ends_with(APART) {
        return Ok(None);
    }
    let text = std::fs::read(manifest).map_err(|error| error.to_string())?;
    let mut list: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let made = tempfile::Builder::new().prefix("partyrun-pnp-").tempdir();
    let made = made.and_then(|made| Ok((made.path().canonicalize()?, made)));
    let (folder, made) = made.map_err(|error| format!("no folder for temporary files: {error}"))?;
    let project = manifest.parent().unwrap_or(manifest);
    if !locate(&mut list, project) {
        return Err("it does not name the project itself".to_owned());
    }
    ignore(&mut list, &folder, project);
    let quoted = list.to_string().replace('\\', "\\\\").replace('\'', "\\'");
    std::fs::write(folder.join(INLINED), format!("const RAW_RUNTIME_STATE =\n'{quoted}';\n"))
        .map_err(|error| format!("no folder for temporary files: {error}"))?;
    Ok(Some(made))
}

// Makes the places of packages absolute. False if the project is not among them, for which the library would panic.
fn locate(list: &mut Value, project: &Path) -> bool {
    let mut is_there = false;
    // Names with their references: `[[name, [[reference, { "packageLocation": .. }]]]]`.
    let packages = list.get_mut("packageRegistryData").and_then(Value::as_array_mut);
    for package in packages.into_iter().flatten() {
        let is_root = package.get(0).is_some_and(Value::is_null);
        for reference in package.get_mut(1).and_then(Value::as_array_mut).into_iter().flatten() {
            is_there |= is_root && reference.get(0).is_some_and(Value::is_null);
            let location = reference.get_mut(1).and_then(|package| package.get_mut("packageLocation"));
            if let Some(Value::String(location)) = location {
                *location = format!("{}/{location}", project.display());
            }
        }
    }
    is_there
}

// Patterns of files that have nothing to do with Plug'n'Play are about paths relative to the manifest: alternatives, each
// of them anchored at its beginning, where now stands how the project is reached from the folder.
fn ignore(list: &mut Value, folder: &Path, project: &Path) {
    let Some(Value::String(patterns)) = list.get_mut("ignorePatternData") else { return };
    let common =
        folder.components().zip(project.components()).take_while(|(one, other)| one == other).count();
    let mut way = "\\.\\.\\/".repeat(folder.components().count() - common);
    for piece in project.components().skip(common) {
        for character in piece.as_os_str().to_string_lossy().chars() {
            if character.is_ascii_punctuation() {
                way.push('\\');
            }
            way.push(character);
        }
        way.push_str("\\/");
    }
    *patterns = patterns.replace("(^", &format!("(^{way}"));
}

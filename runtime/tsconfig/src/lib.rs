//! Where TypeScript's configurations are, and which ones they extend. Both bundlers ask here, so that a file of the server and one
//! of the client follow the same `tsconfig.json`. What the options mean is each bundler's own matter. Nothing here fails: a
//! configuration that cannot be read is none.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The names of configurations; the first counts where a folder has both.
const NAMES: [&str; 2] = ["tsconfig.json", "jsconfig.json"];

/// The configuration of the files in a folder: its own, or that of the nearest folder above.
pub fn nearest(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().flat_map(|folder| NAMES.map(|name| folder.join(name))).find(|path| path.is_file())
}

/// A configuration as it is written, with comments and trailing commas.
pub fn parse(config: &Path) -> Option<Value> {
    let mut text = std::fs::read_to_string(config).ok()?;
    json_strip_comments::strip(&mut text).ok()?;
    serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()
}

/// What a configuration says that it extends, in the order in which later ones win.
pub fn extended(config: &Value) -> Vec<String> {
    match config.get("extends") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The file that a configuration extends: a path, or a package's file, folder or `tsconfig`.
pub fn base(config: &Path, extends: &str) -> Option<PathBuf> {
    let folder = config.parent()?;
    let file = |path: PathBuf| {
        let mut named = path.clone().into_os_string();
        named.push(".json");
        [path, named.into()].into_iter().find(|path| path.is_file())
    };
    if extends.starts_with(['.', '/']) {
        return file(folder.join(extends));
    }
    folder.ancestors().map(|above| above.join("node_modules").join(extends)).find_map(|path| {
        let named =
            || parse(&path.join("package.json"))?.get("tsconfig").and_then(Value::as_str).map(str::to_owned);
        file(path.clone())
            .or_else(|| named().and_then(|name| file(path.join(name))))
            .or_else(|| file(path.join("tsconfig.json")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_path_or_something_of_a_package() {
        let project = tempfile::tempdir().unwrap();
        let at = |path: &str| project.path().join(path);
        for (path, text) in [
            ("src/deep/tsconfig.json", "{ \"extends\": [\"a\", \"b\"], } // c"),
            ("shared.json", "{}"),
            ("node_modules/named/package.json", r#"{ "tsconfig": "strict.json" }"#),
            ("node_modules/named/strict.json", "{}"),
            ("node_modules/@org/plain/tsconfig.json", "{}"),
            ("node_modules/@org/plain/other.json", "{}"),
        ] {
            std::fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            std::fs::write(at(path), text).unwrap();
        }
        let config = nearest(&at("src/deep/er")).unwrap();
        assert_eq!(config, at("src/deep/tsconfig.json"));
        assert_eq!(extended(&parse(&config).unwrap()), ["a", "b"]);
        let found = |extends: &str| {
            base(&config, extends).map(|path| path.canonicalize().unwrap()).map(|path| {
                path.strip_prefix(project.path().canonicalize().unwrap())
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
        };
        assert_eq!(found("../../shared").as_deref(), Some("shared.json"));
        assert_eq!(found("named").as_deref(), Some("node_modules/named/strict.json"));
        assert_eq!(found("@org/plain").as_deref(), Some("node_modules/@org/plain/tsconfig.json"));
        assert_eq!(found("@org/plain/other").as_deref(), Some("node_modules/@org/plain/other.json"));
        assert_eq!(found("./no"), None);
        assert_eq!(found("nothing"), None);
    }
}

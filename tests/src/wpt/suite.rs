//! The tests of a checkout: `*.any.js` files, once for each variant that they name.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One test: a file, with the query by which it is told what to run.
#[derive(Debug)]
pub struct Test {
    /// Its name: the path below the checkout, and the variant.
    pub name: String,
    /// The file's path below the checkout.
    pub file: String,
    /// The variant, such as `?1-1000`; empty where there is none.
    pub variant: String,
    /// Its text.
    pub text: String,
}

// What a room cannot be asked for: a secure server of the tests' own names, HTTP/2 WebSockets.
const VARIANTS_LEFT_OUT: [&str; 2] = ["?wss", "?wpt_flags=h2"];

/// The tests below `subset`, or the one in a file of this name, in order.
pub fn collect(root: &Path, subset: &str) -> Result<Vec<Test>> {
    let mut paths = Vec::new();
    walk(&root.join(subset), &mut paths)?;
    paths.sort();
    let mut tests = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path)?;
        let file = path.strip_prefix(root)?.to_string_lossy().into_owned();
        let mut variants: Vec<String> = meta(&text, "variant").map(str::to_string).collect();
        if variants.is_empty() {
            variants.push(String::new());
        }
        variants.retain(|variant| !VARIANTS_LEFT_OUT.contains(&variant.as_str()));
        tests.extend(variants.into_iter().map(|variant| Test {
            name: format!("{file}{variant}"),
            file: file.clone(),
            variant,
            text: text.clone(),
        }));
    }
    Ok(tests)
}

fn walk(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        found.push(path.to_path_buf());
        return Ok(());
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("there is no {}", path.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() || path.to_string_lossy().ends_with(".any.js") {
            walk(&path, found)?;
        }
    }
    Ok(())
}

/// The values of the lines `// META: key=value` at the head of a test.
pub fn meta<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines()
        .take_while(|line| line.starts_with("//") || line.is_empty())
        .filter_map(|line| line.strip_prefix("// META:"))
        .filter_map(move |line| line.trim().strip_prefix(key)?.strip_prefix('='))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::meta;

    #[test]
    fn meta_lines_stand_at_the_head() {
        let text = "// META: script=/a.js\n// META: variant=?x\n\ncode();\n// META: script=/late.js\n";
        assert_eq!(meta(text, "script").collect::<Vec<_>>(), ["/a.js"]);
        assert_eq!(meta(text, "variant").collect::<Vec<_>>(), ["?x"]);
    }
}

//! Guesses which file was meant where a name leads to none.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Letters that may be wrong.
const DISTANCE_MAX: usize = 2;
/// Files of a folder that are looked at.
const FILES_MAX: usize = 1000;
/// Endings of scripts.
const SCRIPTS: [&str; 8] = ["ts", "tsx", "js", "jsx", "mts", "mjs", "cts", "cjs"];

/// The file that was probably meant by `path`, which is not there: one in the same folder whose name is nearly the same, or
/// one of the same name in the project's folder or its `src`.
pub(crate) fn near(path: &Path, root: &Path) -> Option<PathBuf> {
    let name = path.file_name()?;
    let close = path.parent().and_then(|folder| in_folder(folder, name));
    close.or_else(|| [root.join(name), root.join("src").join(name)].into_iter().find(|file| file.is_file()))
}

fn in_folder(folder: &Path, name: &OsStr) -> Option<PathBuf> {
    let wanted = name.to_string_lossy().to_lowercase();
    let stem = Path::new(&wanted).with_extension("");
    let entries = std::fs::read_dir(folder).ok()?.flatten().take(FILES_MAX);
    let files = entries.map(|entry| entry.path()).filter(|file| file.is_file() && is_script(file));
    let distance = |file: &PathBuf| {
        let other = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let same_stem = Path::new(&other).with_extension("") == stem;
        if same_stem { 0 } else { strsim::damerau_levenshtein(&wanted, &other) }
    };
    let (distance, file) = files.map(|file| (distance(&file), file)).min()?;
    (distance <= DISTANCE_MAX).then_some(file)
}

fn is_script(file: &Path) -> bool {
    file.extension().is_some_and(|ending| SCRIPTS.iter().any(|script| ending.eq_ignore_ascii_case(script)))
}

/// The guess as the end of a message; `from` is the folder from which the file is named.
pub(crate) fn hint(path: &Path, root: &Path, from: &Path) -> String {
    match near(path, root) {
        Some(file) => {
            let shown = file.strip_prefix(from).unwrap_or(&file).display().to_string();
            format!("; did you mean `{shown}`?")
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_nearly_that_name_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        std::fs::create_dir(root.join("src")).expect("a folder");
        for file in ["Server.ts", "util.mjs", "src/game.ts", "notes.md"] {
            std::fs::write(root.join(file), "").expect("a file");
        }
        let hint = |name: &str| hint(&root.join(name), root, root);
        assert_eq!(hint("server.ts"), "; did you mean `Server.ts`?");
        assert_eq!(hint("sever.ts"), "; did you mean `Server.ts`?");
        assert_eq!(hint("util.ts"), "; did you mean `util.mjs`?");
        assert_eq!(hint("game.ts"), "; did you mean `src/game.ts`?");
        assert_eq!(hint("src/Server.ts"), "; did you mean `Server.ts`?");
        for far in ["chat.ts", "notes.ts", "src/other.ts"] {
            assert_eq!(hint(far), "", "{far}");
        }
    }
}

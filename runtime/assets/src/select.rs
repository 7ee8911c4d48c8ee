//! Which files of the folder are served: `serve.include` and `serve.exclude`.
//!
//! Globs in the manner of `.gitignore`: a pattern without a slash matches a name in any folder, one with a slash
//! counts from the root, and a pattern that matches a folder covers all that is in it. The original has these two
//! settings in its schema but never built them (spec 4.3). Exclusion ignores case, because some file systems do.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::AssetsError;

/// The compiled settings.
#[derive(Debug)]
pub(crate) struct Selection {
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl Selection {
    pub(crate) fn new(include: &[String], exclude: &[String]) -> Result<Self, AssetsError> {
        let include = if include.is_empty() { None } else { Some(compile(include, false)?) };
        Ok(Self { include, exclude: compile(exclude, true)? })
    }

    /// Whether a path below the root may be served.
    pub(crate) fn allows(&self, path: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(path)) && !self.exclude.is_match(path)
    }
}

fn compile(patterns: &[String], ignore_case: bool) -> Result<GlobSet, AssetsError> {
    let error = |pattern: &str, error: globset::Error| AssetsError::Glob {
        pattern: pattern.to_owned(),
        reason: error.kind().to_string(),
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let anchored = pattern.trim_start_matches("./");
        let bare = anchored.trim_start_matches('/').trim_end_matches('/');
        let from_root = anchored.trim_end_matches('/').contains('/');
        let prefix = if from_root { "" } else { "**/" };
        for suffix in ["", "/**"] {
            let glob = GlobBuilder::new(&format!("{prefix}{bare}{suffix}"))
                .literal_separator(true)
                .case_insensitive(ignore_case)
                .build()
                .map_err(|e| error(pattern, e))?;
            set.add(glob);
        }
    }
    set.build().map_err(|e| error(&patterns.join(", "), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(include: &[&str], exclude: &[&str], path: &str) -> bool {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Selection::new(&owned(include), &owned(exclude)).expect("patterns").allows(path)
    }

    #[test]
    fn patterns_work_as_in_gitignore() {
        let excluded = [
            ("*.map", "a.map", true),
            ("*.map", "x/y/a.map", true),
            ("*.map", "a.map.js", false),
            ("/*.map", "x/a.map", false),
            ("./x/*.map", "x/a.map", true),
            ("x/*.map", "x/y/a.map", false),
            ("x/**/*.map", "x/y/z/a.map", true),
            ("private", "private/a/b.txt", true),
            ("private/", "x/private/b.txt", true),
            ("/private/", "x/private/b.txt", false),
            ("private/**", "private/b.txt", true),
            ("*.{ts,tsx}", "src/a.tsx", true),
            ("SECRET*", "secret.txt", true),
        ];
        for (pattern, path, expected) in excluded {
            assert_eq!(allows(&[], &[pattern], path), !expected, "{pattern} {path}");
        }
        assert!(allows(&["*.html", "assets"], &[], "assets/a/b.png"));
        assert!(allows(&["**/*"], &[], "a/b"));
        assert!(!allows(&["*.html"], &[], "a.js"));
        assert!(!allows(&["*.html"], &["draft*"], "draft.html"));
    }

    #[test]
    fn a_wrong_pattern_is_named() {
        let error = Selection::new(&[], &["a[".to_owned()]).expect_err("pattern").to_string();
        assert!(error.contains("`a[`"), "{error}");
    }
}

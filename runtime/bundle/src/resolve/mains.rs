//! Main files: which of a package's own names of a file stands for its folder. An `import` takes `module` before `main`,
//! a `require` the other way round, so that it meets CommonJS. The rules are esbuild's for packages without `exports`.

use std::path::{Path, PathBuf};

use oxc_resolver::{Resolution, ResolveError, ResolveOptions, Resolver};

use super::package_name;
use crate::package::Packages;

/// What the answer to a specifier is, asked of one resolver.
pub(super) type Answer = Result<Resolution, ResolveError>;

/// Resolvers under the same conditions, by the fields of `package.json` that they follow.
pub(super) struct Mains {
    /// `module` before `main`.
    pub(super) module: Resolver,
    main: Resolver,
    /// Neither of the two.
    index: Resolver,
}

impl Mains {
    /// They share what `known` has looked up already.
    pub(super) fn new(known: &Resolver, options: &ResolveOptions, conditions: &[String]) -> Self {
        Self::with_first(&["browser"], known, options, conditions)
    }

    /// The same without what packages have for browsers.
    pub(super) fn elsewhere(known: &Resolver, options: &ResolveOptions, conditions: &[String]) -> Self {
        Self::with_first(&[], known, options, conditions)
    }

    fn with_first(first: &[&str], known: &Resolver, options: &ResolveOptions, conditions: &[String]) -> Self {
        let with = |fields: &[&str]| {
            known.clone_with_options(ResolveOptions {
                condition_names: conditions.to_vec(),
                main_fields: first.iter().chain(fields).map(ToString::to_string).collect(),
                ..options.clone()
            })
        };
        Self { module: with(&["module", "main"]), main: with(&["main", "module"]), index: with(&[]) }
    }

    /// The file that stands for a folder where `main` counts more than `module`. An index file is the `main` of a package
    /// that only names a `module`.
    pub(super) fn by_main(
        &self,
        folder: &Path,
        specifier: &str,
        packages: &Packages,
        ask: impl Fn(&Resolver) -> Answer,
    ) -> Answer {
        let found = ask(&self.main)?;
        if is_named(found.path(), folder, specifier) {
            return Ok(found);
        }
        match ask(&self.index) {
            Ok(index) if index.path() != found.path() && packages.is_main(index.path()) => Ok(index),
            _ => Ok(found),
        }
    }
}

/// Whether a specifier says the file itself, not a folder that it stands for. `false` where that is not clear.
pub(super) fn is_named(file: &Path, folder: &Path, specifier: &str) -> bool {
    let is_same = |named: &Path, same: &dyn Fn(&Path, &Path) -> bool| {
        let plain = file.with_extension("");
        same(file, named) || same(&plain, named) || same(&plain, &named.with_extension(""))
    };
    if specifier.starts_with('.') {
        return is_same(&joined(folder, specifier), &|file, named| file == named);
    }
    let is_in_package = package_name(specifier).is_some_and(|package| package.len() < specifier.len());
    is_in_package && is_same(Path::new(specifier), &|file, named| file.ends_with(named))
}

/// A relative path below a folder, without `.` and `..`.
fn joined(folder: &Path, relative: &str) -> PathBuf {
    let mut path = folder.to_path_buf();
    for name in relative.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            name => path.push(name),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_from_folders() {
        let named = |file: &str, specifier| is_named(Path::new(file), Path::new("/a/b"), specifier);
        assert!(named("/a/b/c.js", "./c") && named("/a/b/c.ts", "./c.js") && named("/a/c.d.js", "../c.d"));
        assert!(named("/n/p/sub.js", "p/sub") && named("/n/@s/p/x.js", "@s/p/x"));
        // Files that folders of the same name may stand for.
        assert!(
            !named("/a/b/c/c.js", "./c") && !named("/a/b/c/index.js", "./c") && !named("/a/index.js", "..")
        );
        assert!(!named("/n/p/p.js", "p") && !named("/n/@s/p/p.js", "@s/p"));
        assert!(!named("/n/p/sub/dist/sub.js", "p/sub"));
    }
}

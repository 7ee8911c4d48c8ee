//! Copies: a package with a `module` and a `main` file is loaded once. Where both were reached, by an `import` and a
//! `require`, everybody gets the `main` file, as with esbuild: what the one makes is then known to the other. That is
//! only seen when everything was read, which is why the graph is walked again in that case.

use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;

use super::{Target, Walk};
use crate::record::Import;
use crate::resolve::Found;

impl Walk<'_> {
    /// The `main` files that were read beside the `module` files that imports lead to.
    pub(super) fn copies(&self) -> FxHashSet<PathBuf> {
        let mut mains = FxHashSet::default();
        for module in &self.modules {
            for (import, target) in module.record.imports.iter().zip(&module.targets) {
                if let Target::Module(other) = target
                    && let Some(other) = self.modules.get(*other)
                    && let Some(main) = self.main_instead(&module.path, import, &other.path)
                    && self.known.contains_key(&main.path)
                {
                    mains.insert(main.path);
                }
            }
        }
        mains.retain(|main| !self.mains.contains(main));
        mains
    }

    /// What an import leads to, now that it is known which packages there would be two copies of.
    pub(super) fn only_copy(&self, file: &Path, import: &Import, found: Found) -> Found {
        if self.mains.is_empty() {
            return found;
        }
        let main = self.main_instead(file, import, &found.path);
        main.filter(|main| self.mains.contains(&main.path)).unwrap_or(found)
    }

    fn main_instead(&self, file: &Path, import: &Import, module: &Path) -> Option<Found> {
        let is_import = !import.kind.is_require() && import.pattern.is_none();
        if is_import { self.resolve.main_instead(file, &import.specifier, module) } else { None }
    }
}

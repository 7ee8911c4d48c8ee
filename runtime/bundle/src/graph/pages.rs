//! Files for pages: under PartyKit's conditions a package may offer the file that it made for browsers, and that file fails
//! when it is loaded, because a room is no page. It has then another for everybody else. Which files fail is only known when
//! they were read, which is why the graph is walked again in that case. Nothing that runs on the original is changed by this.

use std::path::PathBuf;

use rustc_hash::FxHashSet;

use super::{Target, Walk};
use crate::record::{Import, ImportKind, ModuleForm};
use crate::resolve::Found;

impl Walk<'_> {
    /// Files that fail, or that lead to one that does, and that their packages have others for.
    pub(super) fn files_for_pages(&self) -> FxHashSet<PathBuf> {
        let fails =
            |module: &&super::Module| module.record.needs_page && module.record.form != ModuleForm::Value;
        let failing = self.modules.iter().filter(fails).filter(|module| is_of_package(&module.name));
        failing.filter_map(|module| self.replaceable(self.known.get(&module.path).copied()?)).collect()
    }

    /// The nearest file on the way to a module that could be another: the module, or one that loads it in any case.
    fn replaceable(&self, index: usize) -> Option<PathBuf> {
        let (mut at, mut seen) = (index, FxHashSet::default());
        while seen.insert(at) {
            let module = self.modules.get(at).filter(|module| is_of_package(&module.name))?;
            let importer = self.modules.get(module.importer?)?;
            let imports = importer.record.imports.iter().zip(&importer.targets);
            let is_certain = |import: &Import| match import.kind {
                ImportKind::Static => true,
                ImportKind::Require => importer.record.required.contains(&import.specifier),
                ImportKind::Dynamic | ImportKind::RequireResolve => false,
            };
            let mut leading = imports
                .filter(|(import, target)| **target == Target::Module(at) && is_certain(import))
                .peekable();
            leading.peek()?;
            let has_other = |(import, _): (&Import, &Target)| {
                self.resolve
                    .without_page(&importer.path, &import.specifier, import.kind, &module.path)
                    .is_some()
            };
            if !self.pages.contains(&module.path) && leading.any(has_other) {
                return Some(module.path.clone());
            }
            at = module.importer?;
        }
        None
    }

    /// What an import leads to, now that it is known which files fail.
    pub(super) fn without_page(&self, file: &std::path::Path, import: &Import, found: Found) -> Found {
        if !self.pages.contains(&found.path) {
            return found;
        }
        let other = self.resolve.without_page(file, &import.specifier, import.kind, &found.path);
        other.unwrap_or(found)
    }
}

fn is_of_package(name: &str) -> bool {
    name.contains("node_modules/")
}

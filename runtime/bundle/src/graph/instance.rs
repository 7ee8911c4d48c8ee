//! Instances: the modules that stand for the instances of WebAssembly files, beside those that stand for the files.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::jobs::Job;
use super::{Made, Module, Target, Walk, ending};
use crate::cache::{Cache, Contents};
use crate::record::{Import, ImportKind};
use crate::resolve::{Found, Resolved};
use crate::settings::Settings;
use crate::wasm::{Interface, is_instance_wanted};

impl Walk<'_> {
    /// The module of the instance, if that is what an import means. What the file imports must be there: otherwise the
    /// program makes the instance itself, of the default export.
    pub(super) fn wasm_instance(
        &mut self,
        index: usize,
        number: u32,
        import: &Import,
        found: &Found,
    ) -> Option<Target> {
        if import.kind != ImportKind::Static
            || ending(&found.path) != ".wasm"
            || import.specifier.contains('?')
        {
            return None;
        }
        let record = self.modules.get(index)?.record.clone();
        if !is_instance_wanted(&record, number) {
            return None;
        }
        let file = found.path.file_name()?.to_str()?;
        let path = found.path.with_file_name(format!("{file}.instance.mjs"));
        if !self.instances.contains_key(&path) {
            let source = self.instance_source(file, found)?;
            self.instances.insert(path.clone(), source.into());
        }
        let found = Found { hint: found.hint, side_effects: found.side_effects, ..Found::plain(path) };
        Some(Target::Module(self.add_file(found, Some(index), Some(Made::Instance))))
    }

    fn instance_source(&mut self, file: &str, found: &Found) -> Option<String> {
        let kept = self.cache.read(self.files, &found.path, Contents::Bytes).ok()?;
        let interface = Interface::read(&kept.bytes)?;
        let is_there = |module: &String| {
            let resolved = self.resolve.specifier(&found.path, module, ImportKind::Static);
            matches!(resolved, Resolved::File(_))
        };
        interface.modules.iter().all(is_there).then(|| interface.instance(file))
    }

    /// What is left to do for such a module.
    pub(super) fn instance(&mut self, mut module: Module, settings: Settings) -> Job {
        if let Some(source) = self.instances.get(&module.path) {
            module.source = source.clone();
        }
        let key = Cache::key(&Sha256::digest(module.source.as_bytes()).into(), &settings);
        match self.cache.get(&key) {
            Some(record) => Job::done(Module { record, ..module }, Vec::new()),
            None => {
                let file: Option<PathBuf> = self.cache.file(&key);
                Job::Transform(Box::new((module, settings, key, file)))
            }
        }
    }
}

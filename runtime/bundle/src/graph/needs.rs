//! Needs: which imports are followed. A file without side effects is read only when something that is used comes from
//! it: of a package that passes hundreds of files on, most are never opened. It asks for at least what `link::live`
//! may use, without knowing yet which statements of a file that is used are: all of them count.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

use super::{Module, Target, Walk};
use crate::record::{Binding, ImportKind, ImportName, chain};

/// What is needed of a module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Need {
    /// It is evaluated.
    Body,
    /// Its namespace, as a value.
    Namespace,
    /// An export, or what properties of it are, as far as it is a namespace.
    Export(Vec<String>),
}

/// What was asked for.
#[derive(Default)]
pub(super) struct Needs {
    known: FxHashSet<(usize, Need)>,
    open: VecDeque<(usize, Need)>,
}

impl Needs {
    pub(super) fn are_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub(super) fn add(&mut self, module: usize, need: Need) {
        let need = (module, need);
        if !self.known.contains(&need) {
            self.known.insert(need.clone());
            self.open.push_back(need);
        }
    }
}

impl Walk<'_> {
    /// Asks for everything that the modules which are known by now need. What it finds is pending.
    pub(super) fn follow(&mut self) {
        let mut later = VecDeque::new();
        while let Some((module, need)) = self.needs.open.pop_front() {
            if module < self.modules.len() {
                self.meet(module, need);
            } else {
                later.push_back((module, need));
            }
        }
        self.needs.open = later;
        if self.pending.is_empty() {
            self.needs_of_open_stars();
        }
    }

    fn meet(&mut self, index: usize, need: Need) {
        let Some(module) = self.modules.get(index) else { return };
        let is_common_js = module.is_common_js();
        let record = module.record.clone();
        match need {
            Need::Body => self.body(index),
            _ if is_common_js => self.needs.add(index, Need::Body),
            Need::Namespace => {
                self.needs.add(index, Need::Body);
                record.exports.iter().for_each(|export| self.symbol(index, export.symbol, &[]));
                record.stars.iter().for_each(|star| self.import(index, *star, Need::Namespace));
            }
            Need::Export(path) => {
                let Some((name, rest)) = path.split_first() else { return };
                if let Some(export) = record.exports.iter().find(|export| export.name == *name) {
                    self.symbol(index, export.symbol, rest);
                } else if name != "default" {
                    record
                        .stars
                        .iter()
                        .for_each(|star| self.import(index, *star, Need::Export(path.clone())));
                }
            }
        }
    }

    /// Everything that statements of a module mention, and every import that does something by itself.
    fn body(&mut self, index: usize) {
        let Some(module) = self.modules.get(index) else { return };
        let record = module.record.clone();
        let mut used: Vec<u32> = record.parts.iter().flat_map(|part| part.uses.iter().copied()).collect();
        used.sort_unstable();
        used.dedup();
        let imported = |symbol: &u32| match record.symbols.get(chain(&record.symbols, *symbol).0 as usize) {
            Some(found) => match found.binding {
                Binding::Imported { import, .. } => Some(import),
                _ => None,
            },
            None => None,
        };
        let bound: FxHashSet<u32> = used.iter().filter_map(imported).collect();
        for (number, import) in (0u32..).zip(&record.imports) {
            if import.pattern.is_some() {
                self.glob_import(index, number);
            } else if import.kind != ImportKind::Static {
                self.import(index, number, Need::Namespace);
            } else if bound.contains(&number) || self.has_side_effects(index, number) {
                // The module itself; what of it is asked for below.
                let _file = self.import_target(index, number);
            }
        }
        for symbol in used {
            // Symbols of its own were met when it was.
            if imported(&symbol).is_some() {
                self.symbol(index, symbol, &[]);
            }
        }
    }

    /// What a symbol of a module means, and then properties of that.
    fn symbol(&mut self, index: usize, symbol: u32, rest: &[String]) {
        let Some(record) = self.modules.get(index).map(|module| module.record.clone()) else { return };
        let (root, properties) = chain(&record.symbols, symbol);
        let Some(found) = record.symbols.get(root as usize) else { return };
        let path = properties.iter().map(|(name, _)| (*name).to_string()).chain(rest.iter().cloned());
        match &found.binding {
            Binding::Imported { import, name: ImportName::Named(name) } => {
                let path = std::iter::once(name.clone()).chain(path).collect();
                self.import(index, *import, Need::Export(path));
            }
            Binding::Imported { import, name: ImportName::Namespace } => {
                let path: Vec<String> = path.collect();
                let need = if path.is_empty() { Need::Namespace } else { Need::Export(path) };
                self.import(index, *import, need);
            }
            Binding::Local | Binding::Property { .. } => self.needs.add(index, Need::Body),
        }
    }

    fn import(&mut self, index: usize, import: u32, need: Need) {
        if let Some(other) = self.import_target(index, import) {
            self.needs.add(other, need);
        }
    }

    /// What `export *` of a module that is not an ES module exports is known only at run time: in a namespace.
    fn needs_of_open_stars(&mut self) {
        let asked: FxHashSet<usize> = self.needs.known.iter().map(|(module, _)| *module).collect();
        for (index, module) in self.modules.iter().enumerate().filter(|(index, _)| asked.contains(index)) {
            let is_open = |star: &u32| match module.targets.get(*star as usize) {
                Some(Target::Module(other)) => self.modules.get(*other).is_some_and(Module::is_common_js),
                Some(Target::Unneeded) => false,
                _ => true,
            };
            if module.record.stars.iter().any(is_open) {
                self.needs.add(index, Need::Namespace);
            }
        }
    }
}

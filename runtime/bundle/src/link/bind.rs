//! Binding: what every name of every module means, across modules. Follows ECMA-262 16.2.1.7 for ES modules; what comes
//! from CommonJS or a built-in module is a property of the namespace that the import makes at run time.

use std::cell::RefCell;
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::graph::{Graph, Module, Target};
use crate::record::{Binding, ImportKind, ImportName, ModuleForm, PartKind};
use crate::{BundleErrors, Diagnostic};

/// What a name means in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Meaning<'a> {
    /// A variable: module and symbol.
    Local(usize, u32),
    /// A module's namespace.
    Namespace(usize),
    /// The namespace that an import of a CommonJS or built-in module made: module and import.
    Import(usize, u32),
    /// A property of that.
    Member(usize, u32, &'a str),
    /// Found only at run time, behind `export * from` a CommonJS module.
    Dynamic(usize, &'a str),
    /// Nothing that is evaluated uses it, and its file was not read (`graph::needs`).
    Unneeded,
    /// Several `export *` give different answers.
    Ambiguous,
    Missing,
}

type Seen<'a> = FxHashSet<(usize, &'a str)>;
type Names<'a> = Rc<[&'a str]>;

/// Looks names up in a graph.
pub(super) struct Binder<'a> {
    graph: &'a Graph,
    /// Per module: the symbol behind each exported name.
    exports: Vec<FxHashMap<&'a str, u32>>,
    found: RefCell<FxHashMap<(usize, &'a str), Meaning<'a>>>,
    names: RefCell<Vec<Option<Names<'a>>>>,
}

impl<'a> Binder<'a> {
    pub(super) fn new(graph: &'a Graph) -> Self {
        let table = |module: &'a Module| {
            let exports = module.record.exports.iter().rev();
            exports.map(|export| (export.name.as_str(), export.symbol)).collect()
        };
        Self {
            graph,
            exports: graph.modules.iter().map(table).collect(),
            found: RefCell::default(),
            names: RefCell::new(vec![None; graph.modules.len()]),
        }
    }

    pub(super) fn module(&self, index: usize) -> Option<&'a Module> {
        self.graph.modules.get(index)
    }

    pub(super) fn target(&self, module: usize, import: u32) -> Option<&'a Target> {
        self.module(module)?.targets.get(import as usize)
    }

    /// The ES module that an import leads to, if it leads to one.
    pub(super) fn esm_target(&self, module: usize, import: u32) -> Option<usize> {
        match self.target(module, import)? {
            Target::Module(other) if !self.module(*other)?.is_common_js() => Some(*other),
            _ => None,
        }
    }

    fn is_unneeded(&self, module: usize, import: u32) -> bool {
        self.target(module, import) == Some(&Target::Unneeded)
    }

    /// What each symbol of each module means.
    pub(super) fn meanings(&self) -> Vec<Vec<Meaning<'a>>> {
        let modules = self.graph.modules.iter().enumerate();
        modules
            .map(|(index, module)| {
                let symbols = 0..module.record.symbols.len() as u32;
                symbols.map(|symbol| self.symbol(index, symbol, &mut FxHashSet::default())).collect()
            })
            .collect()
    }

    fn symbol(&self, module: usize, symbol: u32, seen: &mut Seen<'a>) -> Meaning<'a> {
        let found = self.module(module).and_then(|found| found.record.symbols.get(symbol as usize));
        let Some(found) = found else { return Meaning::Missing };
        let (import, name) = match &found.binding {
            Binding::Local => return Meaning::Local(module, symbol),
            Binding::Property { of, name } => return self.property(module, *of, name),
            Binding::Imported { import, name } => (import, name),
        };
        match (self.esm_target(module, *import), name) {
            (None, _) if self.is_unneeded(module, *import) => Meaning::Unneeded,
            (Some(other), ImportName::Namespace) => Meaning::Namespace(other),
            (Some(other), ImportName::Named(name)) => self.resolve(other, name, seen),
            (None, ImportName::Namespace) => Meaning::Import(module, *import),
            (None, ImportName::Named(name)) => Meaning::Member(module, *import, name),
        }
    }

    /// What a property of a symbol means: that of a namespace is known, of anything else it is the thing itself.
    fn property(&self, module: usize, of: u32, name: &'a str) -> Meaning<'a> {
        match self.symbol(module, of, &mut FxHashSet::default()) {
            Meaning::Namespace(other) => self.export(other, name),
            object => object,
        }
    }

    /// What a module exports under a name.
    pub(super) fn export(&self, module: usize, name: &'a str) -> Meaning<'a> {
        self.resolve(module, name, &mut FxHashSet::default())
    }

    fn resolve(&self, module: usize, name: &'a str, seen: &mut Seen<'a>) -> Meaning<'a> {
        // Only answers that do not depend on where a cycle was entered are kept.
        let first = seen.is_empty();
        if first && let Some(known) = self.found.borrow().get(&(module, name)) {
            return *known;
        }
        let meaning = stacker::maybe_grow(64 * 1024, 1024 * 1024, || self.resolve_export(module, name, seen));
        if first {
            self.found.borrow_mut().insert((module, name), meaning);
        }
        meaning
    }

    /// ECMA-262 16.2.1.7.2.2 ResolveExport, and CommonJS behind `export *`.
    fn resolve_export(&self, module: usize, name: &'a str, seen: &mut Seen<'a>) -> Meaning<'a> {
        if !seen.insert((module, name)) {
            return Meaning::Missing;
        }
        if let Some(symbol) = self.exports.get(module).and_then(|exports| exports.get(name)) {
            return self.symbol(module, *symbol, seen);
        }
        let Some(found) = self.module(module).filter(|_| name != "default") else { return Meaning::Missing };
        let (mut result, mut open, mut unneeded) = (None, false, false);
        for star in &found.record.stars {
            let Some(other) = self.esm_target(module, *star) else {
                let is_unneeded = self.is_unneeded(module, *star);
                open |= !is_unneeded;
                unneeded |= is_unneeded;
                continue;
            };
            match (self.resolve(other, name, seen), &result) {
                (Meaning::Missing, _) => {}
                (Meaning::Unneeded, _) => unneeded = true,
                (Meaning::Ambiguous, _) => return Meaning::Ambiguous,
                (meaning, None) => result = Some(meaning),
                (meaning, Some(first)) if meaning == *first => {}
                _ => return Meaning::Ambiguous,
            }
        }
        match result {
            Some(meaning) => meaning,
            None if unneeded => Meaning::Unneeded,
            None if open => Meaning::Dynamic(module, name),
            None => Meaning::Missing,
        }
    }

    /// Every name that a namespace has, sorted.
    pub(super) fn export_names(&self, module: usize) -> Names<'a> {
        if let Some(Some(names)) = self.names.borrow().get(module) {
            return names.clone();
        }
        let mut names = FxHashSet::default();
        let (mut seen, mut open) = (FxHashSet::default(), vec![module]);
        while let Some(index) = open.pop() {
            let Some(found) = self.module(index).filter(|_| seen.insert(index)) else { continue };
            let own = found.record.exports.iter().map(|export| export.name.as_str());
            names.extend(own.filter(|name| index == module || *name != "default"));
            open.extend(found.record.stars.iter().filter_map(|star| self.esm_target(index, *star)));
        }
        let mut names: Vec<&'a str> = names.into_iter().collect();
        names.sort_unstable();
        let names: Names<'a> = names.into();
        if let Some(slot) = self.names.borrow_mut().get_mut(module) {
            *slot = Some(names.clone());
        }
        names
    }

    /// `export *` statements whose names are known only at run time.
    pub(super) fn open_stars(&self, module: usize) -> impl Iterator<Item = u32> {
        let stars = self.module(module).map(|module| module.record.stars.as_slice()).unwrap_or_default();
        let is_open =
            move |star: &u32| self.esm_target(module, *star).is_none() && !self.is_unneeded(module, *star);
        stars.iter().copied().filter(is_open)
    }

    /// `export *` statements that lead to an ES module which has such names, directly or further on.
    pub(super) fn passing_stars(&self, module: usize) -> Vec<usize> {
        let stars = self.module(module).map(|module| module.record.stars.as_slice()).unwrap_or_default();
        let led = stars.iter().filter_map(|star| self.esm_target(module, *star));
        led.filter(|other| self.is_open(*other)).collect()
    }

    fn is_open(&self, module: usize) -> bool {
        let (mut seen, mut open) = (FxHashSet::default(), vec![module]);
        while let Some(index) = open.pop() {
            let Some(found) = self.module(index).filter(|_| seen.insert(index)) else { continue };
            for star in &found.record.stars {
                match self.esm_target(index, *star) {
                    Some(other) => open.push(other),
                    None if self.is_unneeded(index, *star) => {}
                    None => return true,
                }
            }
        }
        false
    }

    /// Imports of names that do not exist, and exports of names that nothing declares.
    pub(super) fn check(&self, meanings: &[Vec<Meaning<'a>>]) -> Result<(), BundleErrors> {
        let mut problems = Vec::new();
        for (index, module) in self.graph.modules.iter().enumerate() {
            let record = &module.record;
            let used: FxHashSet<u32> =
                record.parts.iter().flat_map(|part| part.uses.iter().copied()).collect();
            for (number, meaning) in meanings.get(index).into_iter().flatten().enumerate() {
                // A type that was re-exported, or imported and kept: nothing reads it (spec 6.1).
                let is_type = module.typescript && !used.contains(&(number as u32));
                if is_type || !matches!(meaning, Meaning::Missing | Meaning::Ambiguous) {
                    continue;
                }
                if let Some(Binding::Imported { import, name: ImportName::Named(name) }) =
                    record.symbols.get(number).map(|symbol| &symbol.binding)
                    && !self.is_lenient(index, *import)
                {
                    problems.push((index, *import, self.no_export(index, *import, name, *meaning)));
                }
            }
        }
        let mut errors: Vec<Diagnostic> = problems
            .into_iter()
            .filter_map(|(index, import, text)| self.problem(index, import, text))
            .collect();
        errors.extend(self.undeclared());
        if errors.is_empty() {
            return Ok(());
        }
        let (warnings, inputs) = (self.graph.warnings.clone(), self.graph.inputs.clone());
        Err(BundleErrors { errors, warnings, inputs })
    }

    fn no_export(&self, module: usize, import: u32, name: &str, meaning: Meaning<'_>) -> String {
        let other = self.esm_target(module, import).and_then(|other| self.module(other));
        let file = other.map(|other| other.name.as_str()).unwrap_or_default();
        match meaning {
            Meaning::Ambiguous => {
                format!("Several `export *` in \"{file}\" export \"{name}\", and they differ")
            }
            _ => format!("No matching export in \"{file}\" for import \"{name}\""),
        }
    }

    /// A problem of an import statement.
    pub(super) fn problem(&self, module: usize, import: u32, message: String) -> Option<Diagnostic> {
        let found = self.module(module)?;
        let start = found.record.imports.get(import as usize).map_or(0, |import| import.start);
        let mut problem = Diagnostic::at(message, found.name.as_ref(), &found.source, start);
        problem.chain = self.graph.chain(module);
        Some(problem)
    }

    /// `export { x }` where nothing declares `x`. In TypeScript it may be a type, and is left out.
    fn undeclared(&self) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for (index, module) in self.graph.modules.iter().enumerate().filter(|(_, module)| !module.typescript)
        {
            let record = &module.record;
            let declared: FxHashSet<u32> =
                record.parts.iter().flat_map(|part| part.declares.iter().copied()).collect();
            for export in &record.exports {
                let symbol = record.symbols.get(export.symbol as usize);
                if symbol.is_some_and(|symbol| symbol.binding == Binding::Local)
                    && !declared.contains(&export.symbol)
                {
                    let message = format!("\"{}\" is exported, but not declared in this file", export.name);
                    let mut problem = Diagnostic::in_file(message, module.name.as_ref());
                    problem.chain = self.graph.chain(index);
                    found.push(problem);
                }
            }
        }
        found
    }

    /// Whether a missing name is `undefined`: read through a namespace, or from a script without exports.
    fn is_lenient(&self, module: usize, import: u32) -> bool {
        let namespace = Binding::Imported { import, name: ImportName::Namespace };
        let through_namespace = self
            .module(module)
            .is_some_and(|module| module.record.symbols.iter().any(|symbol| symbol.binding == namespace));
        let script = |other| self.module(other).is_some_and(|other| other.record.form == ModuleForm::Unknown);
        through_namespace || self.esm_target(module, import).is_some_and(script)
    }

    /// The static imports of a module, in their order.
    pub(super) fn statics(&self, module: usize) -> impl Iterator<Item = u32> + use<'a> {
        let parts = self.module(module).map(|module| module.record.parts.as_slice()).unwrap_or_default();
        parts.iter().filter_map(|part| match part.kind {
            PartKind::Import(import) => Some(import),
            _ => None,
        })
    }

    /// What the `require` and `import()` calls behind an import of a part lead to.
    pub(super) fn reached(&self, module: usize, import: u32) -> Vec<usize> {
        match self.target(module, import) {
            Some(Target::Module(other)) => vec![*other],
            Some(Target::Glob(files)) => files.iter().map(|(_, other)| *other).collect(),
            _ => Vec::new(),
        }
    }

    /// `require` of a module that has to be awaited throws when it runs, as in Node.js.
    pub(super) fn required_waits(&self, waits: &[bool]) -> Vec<Diagnostic> {
        let mut errors = Vec::new();
        for (index, module) in self.graph.modules.iter().enumerate() {
            for (number, import) in (0u32..).zip(&module.record.imports) {
                if import.kind == ImportKind::Require
                    && !import.guarded
                    && let Some(other) = self.esm_target(index, number)
                    && waits.get(other).copied().unwrap_or(false)
                {
                    let message =
                        format!("`require` of \"{}\" throws: it uses top-level await", import.specifier);
                    errors.extend(self.problem(index, number, message));
                }
            }
        }
        errors
    }
}

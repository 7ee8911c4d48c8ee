//! Liveness: which parts of which modules end up in the bundle. A module's parts with side effects are in when the
//! module is evaluated, all others only when something that is in uses what they declare. A package that says
//! `"sideEffects": false` is not evaluated only because it is imported.

use rustc_hash::FxHashSet;

use super::bind::{Binder, Meaning};
use crate::graph::{Graph, Module, Target};
use crate::record::PartKind;

/// What is in.
pub(super) struct Live {
    pub(super) modules: Vec<bool>,
    /// Per module and part.
    pub(super) parts: Vec<Vec<bool>>,
    /// Modules that need a namespace object.
    pub(super) namespaces: Vec<bool>,
    /// Modules that `require` or `import()` may evaluate, any time.
    pub(super) reached: Vec<bool>,
    /// Static imports of CommonJS and built-in modules that are evaluated.
    pub(super) imports: FxHashSet<(usize, u32)>,
    /// Those of them whose namespace is used.
    pub(super) bound: FxHashSet<(usize, u32)>,
}

enum Task<'a> {
    Module(usize),
    Part(usize, usize),
    Meaning(Meaning<'a>),
    Namespace(usize),
    Import(usize, u32),
    Reached(usize),
}

struct Marker<'a, 'b> {
    binder: &'b Binder<'a>,
    meanings: &'b [Vec<Meaning<'a>>],
    /// Per module, sorted: symbol and the part that declares it.
    declarers: Vec<Vec<(u32, u32)>>,
    live: Live,
    open: Vec<Task<'a>>,
}

impl Live {
    /// Follows everything that the entries use.
    pub(super) fn find<'a>(graph: &'a Graph, binder: &Binder<'a>, meanings: &[Vec<Meaning<'a>>]) -> Self {
        let count = graph.modules.len();
        let declarers = graph.modules.iter().map(|module| {
            let parts = (0u32..).zip(&module.record.parts);
            let mut list: Vec<_> = parts
                .flat_map(|(part, found)| found.declares.iter().map(move |symbol| (*symbol, part)))
                .collect();
            list.sort_unstable();
            list
        });
        let live = Self {
            modules: vec![false; count],
            parts: graph.modules.iter().map(|module| vec![false; module.record.parts.len()]).collect(),
            namespaces: vec![false; count],
            reached: vec![false; count],
            imports: FxHashSet::default(),
            bound: FxHashSet::default(),
        };
        let open = graph.entries.iter().rev().map(|(_, module)| Task::Namespace(*module)).collect();
        let mut marker = Marker { binder, meanings, declarers: declarers.collect(), live, open };
        while let Some(task) = marker.open.pop() {
            marker.mark(task);
        }
        marker.live
    }

    pub(super) fn module(&self, index: usize) -> bool {
        self.modules.get(index).copied().unwrap_or(false)
    }

    pub(super) fn part(&self, module: usize, part: usize) -> bool {
        self.parts.get(module).and_then(|parts| parts.get(part)).copied().unwrap_or(false)
    }

    pub(super) fn namespace(&self, index: usize) -> bool {
        self.namespaces.get(index).copied().unwrap_or(false)
    }
}

/// Sets a flag and says whether it was not set.
fn first(flags: &mut [bool], index: usize) -> bool {
    flags.get_mut(index).is_some_and(|flag| !std::mem::replace(flag, true))
}

impl<'a> Marker<'a, '_> {
    fn mark(&mut self, task: Task<'a>) {
        match task {
            Task::Module(index) => self.module(index),
            Task::Part(index, part) => self.part(index, part),
            Task::Meaning(meaning) => self.meaning(meaning),
            Task::Namespace(index) => self.namespace(index),
            Task::Import(index, import) => {
                if self.live.imports.insert((index, import))
                    && let Some(Target::Module(other)) = self.binder.target(index, import)
                {
                    self.open.push(Task::Module(*other));
                }
            }
            Task::Reached(index) => {
                if first(&mut self.live.reached, index) {
                    self.open.push(Task::Namespace(index));
                }
            }
        }
    }

    fn module(&mut self, index: usize) {
        let Some(module) = self.binder.module(index) else { return };
        if !first(&mut self.live.modules, index) {
            return;
        }
        for (number, part) in module.record.parts.iter().enumerate() {
            if let PartKind::Import(import) = part.kind {
                let Some(Target::Module(other)) = self.binder.target(index, import) else { continue };
                if let Some(found) = self.binder.module(*other).filter(|found| found.side_effects) {
                    let task =
                        if found.is_common_js() { Task::Import(index, import) } else { Task::Module(*other) };
                    self.open.push(task);
                }
            } else if !part.pure || module.is_common_js() {
                self.open.push(Task::Part(index, number));
            }
        }
    }

    fn part(&mut self, index: usize, number: usize) {
        if !self.live.parts.get_mut(index).is_some_and(|parts| first(parts, number)) {
            return;
        }
        self.open.push(Task::Module(index));
        let part = self.binder.module(index).and_then(|module| module.record.parts.get(number));
        let Some(part) = part else { return };
        for symbol in &part.uses {
            let meaning = self.meanings.get(index).and_then(|meanings| meanings.get(*symbol as usize));
            self.open.extend(meaning.map(|meaning| Task::Meaning(*meaning)));
        }
        for import in &part.imports {
            self.open.extend(self.binder.reached(index, *import).into_iter().map(Task::Reached));
        }
    }

    fn meaning(&mut self, meaning: Meaning<'a>) {
        match meaning {
            Meaning::Local(module, symbol) => {
                let Some(declarers) = self.declarers.get(module) else { return };
                let start = declarers.partition_point(|(other, _)| *other < symbol);
                let parts = declarers.get(start..).unwrap_or_default().iter();
                for (_, part) in parts.take_while(|(other, _)| *other == symbol) {
                    self.open.push(Task::Part(module, *part as usize));
                }
            }
            Meaning::Namespace(module) | Meaning::Dynamic(module, _) => {
                self.open.push(Task::Namespace(module))
            }
            Meaning::Import(module, import) | Meaning::Member(module, import, _) => {
                self.live.bound.insert((module, import));
                self.open.push(Task::Import(module, import));
            }
            Meaning::Unneeded | Meaning::Ambiguous | Meaning::Missing => {}
        }
    }

    fn namespace(&mut self, index: usize) {
        if !first(&mut self.live.namespaces, index) {
            return;
        }
        self.open.push(Task::Module(index));
        if self.binder.module(index).is_none_or(Module::is_common_js) {
            return;
        }
        let names = self.binder.export_names(index);
        self.open.extend(names.iter().map(|name| Task::Meaning(self.binder.export(index, name))));
        for other in self.binder.passing_stars(index) {
            self.open.push(Task::Namespace(other));
        }
        for star in self.binder.open_stars(index) {
            self.live.bound.insert((index, star));
            self.open.push(Task::Import(index, star));
        }
    }
}

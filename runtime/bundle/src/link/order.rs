//! Order: where each module's code stands. An ES module that only static imports reach is *flat*: its code stands in
//! the script's main sequence, at the place where it is evaluated. One that `require` or `import()` may evaluate at any
//! time is *lazy*: a function that runs once. So is everything that a lazy module imports. The sequence is the order
//! of ECMA-262 16.2.1.6: a module's imports from left to right, then the module, CommonJS and built-in modules included.
//! Where several parties have modules of their own, all of them are lazy and there is no main sequence: a room evaluates
//! what its own party imports, and nothing else.

use super::bind::Binder;
use super::live::Live;
use crate::graph::{Graph, Module, Target};

/// One step of the main sequence.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// An `import` statement of a module: module and import.
    Import(usize, u32),
    /// The module's own code.
    Body(usize),
    /// An entry that is not flat.
    Entry(usize),
}

/// The result.
pub(super) struct Order {
    /// Modules that are functions which run once.
    pub(super) lazy: Vec<bool>,
    /// Modules that wait: their own top-level `await`, or that of something they import statically.
    pub(super) waits: Vec<bool>,
    pub(super) steps: Vec<Step>,
    /// The main sequence contains an `await`.
    pub(super) main_waits: bool,
    /// There is no main sequence: each entry is evaluated when it is asked for.
    pub(super) on_demand: bool,
}

impl Order {
    pub(super) fn find(graph: &Graph, binder: &Binder<'_>, live: &Live) -> Self {
        let first = graph.entries.first().map(|(_, module)| *module);
        let on_demand = graph.entries.iter().any(|(_, module)| Some(*module) != first);
        let entries = graph.entries.iter().map(|(_, module)| *module).filter(|_| on_demand);
        let lazy = lazy(binder, live, entries);
        let waits = waits(graph, binder, live);
        let mut order = Self { lazy, waits, steps: Vec::new(), main_waits: false, on_demand };
        if !on_demand {
            order.walk(graph, binder, live);
        }
        order.main_waits = order.steps.iter().any(|step| match step {
            Step::Import(module, import) => {
                binder.esm_target(*module, *import).is_some_and(|other| order.waits(other))
            }
            Step::Body(module) => binder.module(*module).is_some_and(|found| found.record.top_level_await),
            Step::Entry(module) => order.waits(*module),
        });
        order
    }

    pub(super) fn is_lazy(&self, module: usize) -> bool {
        self.lazy.get(module).copied().unwrap_or(false)
    }

    pub(super) fn waits(&self, module: usize) -> bool {
        self.waits.get(module).copied().unwrap_or(false)
    }

    /// Depth first, without recursion: import chains can be thousands of modules long.
    fn walk(&mut self, graph: &Graph, binder: &Binder<'_>, live: &Live) {
        let mut seen = vec![false; graph.modules.len()];
        for (_, entry) in &graph.entries {
            if self.is_lazy(*entry) || binder.module(*entry).is_none_or(Module::is_common_js) {
                self.steps.push(Step::Entry(*entry));
                continue;
            }
            let mut stack = Vec::new();
            enter(*entry, &mut seen, &mut stack, binder);
            while let Some((module, imports)) = stack.last_mut() {
                let module = *module;
                let Some(import) = imports.next() else {
                    stack.pop();
                    // A module that is lazy was only passed through, because it is not in the bundle itself.
                    if live.module(module) && !self.is_lazy(module) {
                        self.steps.push(Step::Body(module));
                    }
                    continue;
                };
                match binder.esm_target(module, import) {
                    Some(other) if self.is_lazy(other) && live.module(other) => {
                        self.steps.push(Step::Import(module, import));
                    }
                    Some(other) => enter(other, &mut seen, &mut stack, binder),
                    None if live.imports.contains(&(module, import)) => {
                        self.steps.push(Step::Import(module, import));
                    }
                    None => {}
                }
            }
        }
    }
}

type Frame = (usize, std::vec::IntoIter<u32>);

fn enter(module: usize, seen: &mut [bool], stack: &mut Vec<Frame>, binder: &Binder<'_>) {
    if seen.get_mut(module).is_some_and(|seen| !std::mem::replace(seen, true)) {
        stack.push((module, binder.statics(module).collect::<Vec<_>>().into_iter()));
    }
}

fn lazy(binder: &Binder<'_>, live: &Live, entries: impl Iterator<Item = usize>) -> Vec<bool> {
    let mut lazy = vec![false; live.modules.len()];
    let reached = live.reached.iter().enumerate().filter(|(_, reached)| **reached);
    let mut open: Vec<usize> = reached.map(|(index, _)| index).chain(entries).collect();
    // CommonJS modules run when they are asked for, and with them what their `import` statements lead to.
    for index in 0..live.modules.len() {
        if live.module(index) && binder.module(index).is_some_and(Module::is_common_js) {
            open.extend(binder.statics(index).filter_map(|import| binder.esm_target(index, import)));
        }
    }
    while let Some(index) = open.pop() {
        if binder.module(index).is_none_or(Module::is_common_js) {
            continue;
        }
        match lazy.get_mut(index) {
            Some(flag) if !*flag => *flag = true,
            _ => continue,
        }
        open.extend(binder.statics(index).filter_map(|import| binder.esm_target(index, import)));
    }
    lazy
}

fn waits(graph: &Graph, binder: &Binder<'_>, live: &Live) -> Vec<bool> {
    let mut importers: Vec<Vec<usize>> = vec![Vec::new(); graph.modules.len()];
    for index in 0..graph.modules.len() {
        for import in binder.statics(index) {
            if let Some(Target::Module(other)) = binder.target(index, import)
                && let Some(list) = importers.get_mut(*other)
            {
                list.push(index);
            }
        }
    }
    let mut waits = vec![false; graph.modules.len()];
    let own = graph.modules.iter().enumerate();
    let mut open: Vec<usize> = own
        .filter(|(index, module)| module.record.top_level_await && live.module(*index))
        .map(|(index, _)| index)
        .collect();
    while let Some(index) = open.pop() {
        if let Some(flag) = waits.get_mut(index)
            && !std::mem::replace(flag, true)
        {
            open.extend(importers.get(index).into_iter().flatten());
        }
    }
    waits
}

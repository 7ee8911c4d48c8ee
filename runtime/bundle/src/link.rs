//! Linking: joins the records of a graph to one script. `bind` finds out what every name means, `live` what is needed,
//! `order` when it is evaluated, `naming` how it is called; `write` then only copies text. All bindings are variables of
//! one scope, which is what makes imports live.

mod bind;
mod fill;
mod helpers;
mod live;
mod naming;
mod order;
mod write;

use sha2::{Digest, Sha256};

use crate::graph::{Graph, Target};
use crate::record::PartKind;
use crate::source_map::{Output, Source};
use crate::{Bundle, BundleErrors, Diagnostic};
use bind::{Binder, Meaning};
use live::Live;
use naming::Naming;
use order::Order;

struct Linker<'a> {
    graph: &'a Graph,
    minify: bool,
    binder: Binder<'a>,
    /// Per module and symbol.
    meanings: Vec<Vec<Meaning<'a>>>,
    live: Live,
    order: Order,
    naming: Naming,
    warnings: Vec<Diagnostic>,
    out: Output,
    wasm: Vec<usize>,
    binaries: Vec<usize>,
}

/// Joins the graph to a bundle.
pub(crate) fn link(graph: &Graph, minify: bool) -> Result<Bundle, BundleErrors> {
    let binder = Binder::new(graph);
    let meanings = binder.meanings();
    binder.check(&meanings)?;
    let live = Live::find(graph, &binder, &meanings);
    let order = Order::find(graph, &binder, &live);
    let mut warnings = graph.warnings.clone();
    warnings.extend(binder.required_waits(&order.waits));
    let mut linker = Linker {
        graph,
        minify,
        binder,
        meanings,
        live,
        order,
        naming: Naming::default(),
        warnings,
        out: Output::default(),
        wasm: Vec::new(),
        binaries: Vec::new(),
    };
    linker.naming = Naming::give(&linker);
    linker.write();
    Ok(linker.finish())
}

impl<'a> Linker<'a> {
    /// The symbols that a live part of the module declares.
    fn live_symbols(&self, index: usize) -> Vec<u32> {
        let parts =
            self.binder.module(index).map(|module| module.record.parts.as_slice()).unwrap_or_default();
        let live = parts.iter().enumerate().filter(|(number, _)| self.live.part(index, *number));
        let mut symbols: Vec<u32> = live.flat_map(|(_, part)| part.declares.iter().copied()).collect();
        symbols.sort_unstable();
        symbols.dedup();
        symbols
    }

    /// Whether an inner scope of a module binds or mentions a name.
    fn mentions(&self, index: usize, name: &str) -> bool {
        let names = self.binder.module(index).map(|module| module.record.inner_names.as_slice());
        names.unwrap_or_default().binary_search_by(|known| known.as_str().cmp(name)).is_ok()
    }

    fn specifier(&self, index: usize, import: u32) -> &'a str {
        let module = self.binder.module(index);
        let found = module.and_then(|module| module.record.imports.get(import as usize));
        found.map(|import| import.specifier.as_str()).unwrap_or_default()
    }

    fn finish(self) -> Bundle {
        let modules = &self.graph.modules;
        let sources = modules.iter().map(|module| Source {
            name: format!("file:///{}", module.name),
            text: module.source.clone(),
            map: module.map.clone(),
        });
        let files = |list: &[usize]| {
            let found = list.iter().filter_map(|index| modules.get(*index));
            found.map(|module| (module.name.clone(), module.bytes.clone())).collect::<Vec<_>>()
        };
        let (wasm, binaries) = (files(&self.wasm), files(&self.binaries));
        let builtins = self.builtins();
        let (code, source_map) = self.out.finish(sources.collect());
        let mut hash = Sha256::new();
        hash.update(&code);
        for (name, bytes) in wasm.iter().chain(&binaries) {
            hash.update(name);
            hash.update(bytes.len().to_le_bytes());
            hash.update(bytes);
        }
        let hash = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Bundle {
            builtins,
            code,
            hash,
            source_map,
            inputs: self.graph.inputs.clone(),
            warnings: self.warnings,
            wasm,
            binaries,
        }
    }

    /// The built-in modules that live code can ask for.
    fn builtins(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (index, module) in self.graph.modules.iter().enumerate() {
            let mut add = |import: u32| {
                if let Some(Target::Builtin(name)) = module.targets.get(import as usize) {
                    names.push(name.clone());
                }
            };
            for (number, part) in module.record.parts.iter().enumerate() {
                if let PartKind::Import(import) = part.kind
                    && self.live.imports.contains(&(index, import))
                {
                    add(import);
                } else if self.live.part(index, number) {
                    part.imports.iter().for_each(|import| add(*import));
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

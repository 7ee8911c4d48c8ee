//! Naming: the final names of everything that lives in the script's scope. Names of modules that are not in the bundle
//! are given to nobody.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Linker;
use super::bind::Meaning;
use crate::names::{Names, identifier};
use crate::record::Binding;

/// Per module, empty where nothing needs a name.
#[derive(Default)]
pub(super) struct Naming {
    /// Per symbol.
    pub(super) locals: Vec<Vec<String>>,
    /// Per import of a CommonJS or built-in module: the variable of its namespace.
    pub(super) imports: FxHashMap<(usize, u32), String>,
    /// `init_x` or `require_x`.
    pub(super) functions: Vec<String>,
    /// The namespace object.
    pub(super) objects: Vec<String>,
}

impl Naming {
    pub(super) fn give(linker: &Linker<'_>) -> Self {
        let modules = || {
            let all = linker.graph.modules.iter().enumerate();
            all.filter(|(index, _)| linker.live.module(*index))
        };
        let mut names = Names::new(modules().flat_map(|(_, module)| module.record.global_names.iter()));
        let is_shared = |name: &&str| {
            let starts = ["require_", "init_", "import_", "_"].iter().any(|start| name.starts_with(start));
            starts || name.contains("_exports")
        };
        let everywhere: FxHashSet<&str> = modules()
            .flat_map(|(_, module)| module.record.inner_names.iter().map(String::as_str).filter(is_shared))
            .collect();
        let count = linker.graph.modules.len();
        let mut naming = Self {
            functions: vec![String::new(); count],
            objects: vec![String::new(); count],
            ..Self::default()
        };
        naming.shared(linker, &mut names, &everywhere);
        naming.locals(linker, &mut names);
        naming
    }

    /// Names that any module may mention: `require_x`, `init_x`, `import_x` and `x_exports`.
    fn shared(&mut self, linker: &Linker<'_>, names: &mut Names, everywhere: &FxHashSet<&str>) {
        let captured = |name: &str| everywhere.contains(name);
        for (index, module) in linker.graph.modules.iter().enumerate() {
            let base = file_base(&module.name);
            let common_js = module.is_common_js();
            if linker.live.module(index)
                && (common_js || linker.order.is_lazy(index))
                && let Some(slot) = self.functions.get_mut(index)
            {
                *slot =
                    names.give(&format!("{}_{base}", if common_js { "require" } else { "init" }), captured);
            }
            if linker.live.namespace(index)
                && !common_js
                && let Some(slot) = self.objects.get_mut(index)
            {
                *slot = names.give(&format!("{base}_exports"), captured);
            }
        }
        let mut imports: Vec<_> = linker.live.bound.iter().copied().collect();
        imports.sort_unstable();
        for (module, import) in imports {
            let name = format!("import_{}", file_base(linker.specifier(module, import)));
            self.imports.insert((module, import), names.give(&name, captured));
        }
    }

    fn locals(&mut self, linker: &Linker<'_>, names: &mut Names) {
        let mut users: FxHashMap<(usize, u32), Vec<usize>> = FxHashMap::default();
        for (index, meanings) in linker.meanings.iter().enumerate() {
            for meaning in meanings {
                if let Meaning::Local(module, symbol) = meaning
                    && *module != index
                {
                    users.entry((*module, *symbol)).or_default().push(index);
                }
            }
        }
        for (index, module) in linker.graph.modules.iter().enumerate() {
            let symbols = &module.record.symbols;
            let mut given = vec![String::new(); symbols.len()];
            for symbol in linker.live_symbols(index) {
                let Some(found) =
                    symbols.get(symbol as usize).filter(|found| found.binding == Binding::Local)
                else {
                    continue;
                };
                let users = users.get(&(index, symbol)).map(Vec::as_slice).unwrap_or_default();
                let captured = |name: &str| {
                    let mut users = users.iter().chain(std::iter::once(&index));
                    users.any(|user| linker.mentions(*user, name))
                };
                let name = match &*found.name {
                    "default" => names.give(&format!("{}_default", file_base(&module.name)), captured),
                    name => names.give(name, captured),
                };
                if let Some(slot) = given.get_mut(symbol as usize) {
                    *slot = name;
                }
            }
            self.locals.push(given);
        }
    }

    pub(super) fn local(&self, module: usize, symbol: u32) -> &str {
        self.locals.get(module).and_then(|names| names.get(symbol as usize)).map_or("", String::as_str)
    }

    pub(super) fn function(&self, module: usize) -> &str {
        self.functions.get(module).map_or("", String::as_str)
    }

    pub(super) fn object(&self, module: usize) -> &str {
        self.objects.get(module).map_or("", String::as_str)
    }

    pub(super) fn import(&self, module: usize, import: u32) -> &str {
        self.imports.get(&(module, import)).map_or("", String::as_str)
    }
}

/// The part of a path or specifier that a name is made from.
pub(super) fn file_base(path: &str) -> String {
    let mut pieces = path.rsplit('/').map(|piece| piece.split('.').next().unwrap_or_default());
    let last = pieces.next().unwrap_or_default();
    let piece = if last == "index" { pieces.next().unwrap_or(last) } else { last };
    identifier(if piece.is_empty() { "module" } else { piece })
}

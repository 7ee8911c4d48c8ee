//! Linking: joins the records of a graph to one script. Every module is a function that runs once, when it is first
//! imported; its bindings are variables of the script's outer scope, which is what makes imports live. CommonJS modules
//! follow the interoperation rules that bundlers agree on.

use rustc_hash::{FxHashMap, FxHashSet};
use sha2::{Digest, Sha256};

use crate::graph::{Graph, Module, Target};
use crate::names::{Names, member};
use crate::record::{Asset, Binding, ImportKind, ImportName, ModuleForm, Part, PartKind, Slot, Text};
use crate::source_map::{Output, Source};
use crate::value::quote;
use crate::{Bundle, BundleErrors, Diagnostic};

/// What a name means in the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Meaning {
    /// A variable: module and symbol.
    Local(usize, u32),
    /// A module's namespace.
    Namespace(usize),
    /// The namespace that an import of a CommonJS or built-in module made: module and import.
    Import(usize, u32),
    /// A property of that.
    Member(usize, u32, String),
    /// Found only at run time, behind `export * from` a CommonJS module.
    Dynamic(usize, String),
    Missing,
}

struct Linker<'a> {
    graph: &'a Graph,
    asynchronous: Vec<bool>,
    /// Per module and symbol.
    meanings: Vec<Vec<Meaning>>,
    namespaces: Vec<bool>,
    locals: FxHashMap<(usize, u32), String>,
    imports: FxHashMap<(usize, u32), String>,
    /// `init_x` or `require_x`.
    functions: Vec<String>,
    objects: Vec<String>,
    out: Output,
    errors: Vec<Diagnostic>,
    wasm: Vec<usize>,
    binaries: Vec<usize>,
}

/// Joins the graph to a bundle.
pub(crate) fn link(graph: &Graph) -> Result<Bundle, BundleErrors> {
    let mut linker = Linker {
        graph,
        asynchronous: asynchronous(graph),
        meanings: Vec::new(),
        namespaces: vec![false; graph.modules.len()],
        locals: FxHashMap::default(),
        imports: FxHashMap::default(),
        functions: Vec::new(),
        objects: Vec::new(),
        out: Output::default(),
        errors: Vec::new(),
        wasm: Vec::new(),
        binaries: Vec::new(),
    };
    linker.bind();
    linker.check();
    if !linker.errors.is_empty() {
        let (warnings, inputs) = (graph.warnings.clone(), graph.inputs.clone());
        return Err(BundleErrors { errors: linker.errors, warnings, inputs });
    }
    linker.find_namespaces();
    linker.name();
    linker.write();
    Ok(linker.finish())
}

fn is_common_js(module: &Module) -> bool {
    matches!(module.record.form, ModuleForm::CommonJs | ModuleForm::Value)
}

/// Modules that wait: their own top-level `await`, or that of something they import statically.
fn asynchronous(graph: &Graph) -> Vec<bool> {
    let mut waits: Vec<bool> = graph.modules.iter().map(|module| module.record.top_level_await).collect();
    loop {
        let mut changed = false;
        for (index, module) in graph.modules.iter().enumerate() {
            let imports = module.record.imports.iter().zip(&module.targets);
            let waiting = imports.filter(|(import, _)| import.kind == ImportKind::Static).any(
                |(_, target)| matches!(target, Target::Module(other) if waits.get(*other).copied().unwrap_or(false)),
            );
            if let Some(slot) = waits.get_mut(index)
                && waiting
                && !*slot
            {
                *slot = true;
                changed = true;
            }
        }
        if !changed {
            return waits;
        }
    }
}

impl<'a> Linker<'a> {
    fn module(&self, index: usize) -> Option<&'a Module> {
        self.graph.modules.get(index)
    }

    fn target(&self, module: usize, import: u32) -> Option<&'a Target> {
        self.module(module)?.targets.get(import as usize)
    }

    /// The ES module that an import leads to, if it leads to one.
    fn esm_target(&self, module: usize, import: u32) -> Option<usize> {
        match self.target(module, import)? {
            Target::Module(other) if !is_common_js(self.module(*other)?) => Some(*other),
            _ => None,
        }
    }

    fn bind(&mut self) {
        let modules = self.graph.modules.iter().enumerate();
        self.meanings = modules
            .map(|(index, module)| {
                (0..module.record.symbols.len() as u32)
                    .map(|symbol| self.symbol(index, symbol, &mut FxHashSet::default()))
                    .collect()
            })
            .collect();
    }

    fn symbol(&self, module: usize, symbol: u32, seen: &mut FxHashSet<(usize, String)>) -> Meaning {
        let found = self.module(module).and_then(|found| found.record.symbols.get(symbol as usize));
        let Some(found) = found else { return Meaning::Missing };
        let Binding::Imported { import, name } = &found.binding else {
            return Meaning::Local(module, symbol);
        };
        match (self.esm_target(module, *import), name) {
            (Some(other), ImportName::Namespace) => Meaning::Namespace(other),
            (Some(other), ImportName::Named(name)) => self.export(other, name, seen),
            (None, ImportName::Namespace) => Meaning::Import(module, *import),
            (None, ImportName::Named(name)) => Meaning::Member(module, *import, name.clone()),
        }
    }

    /// ECMA-262 16.2.1.7.2.2 ResolveExport, and CommonJS behind `export *`.
    fn export(&self, module: usize, name: &str, seen: &mut FxHashSet<(usize, String)>) -> Meaning {
        if !seen.insert((module, name.to_string())) {
            return Meaning::Missing;
        }
        let Some(found) = self.module(module) else { return Meaning::Missing };
        if let Some(export) = found.record.exports.iter().find(|export| export.name == name) {
            return self.symbol(module, export.symbol, seen);
        }
        if name == "default" {
            return Meaning::Missing;
        }
        let (mut result, mut open) = (None, false);
        for star in &found.record.stars {
            let Some(other) = self.esm_target(module, *star) else {
                open = true;
                continue;
            };
            match (self.export(other, name, seen), &result) {
                (Meaning::Missing, _) => {}
                (meaning, None) => result = Some(meaning),
                (meaning, Some(first)) if meaning == *first => {}
                _ => return Meaning::Missing,
            }
        }
        match result {
            Some(meaning) => meaning,
            None if open => Meaning::Dynamic(module, name.to_string()),
            None => Meaning::Missing,
        }
    }

    /// Every name that a namespace has, sorted.
    fn export_names(&self, module: usize, seen: &mut FxHashSet<usize>) -> Vec<String> {
        let Some(found) = self.module(module).filter(|_| seen.insert(module)) else { return Vec::new() };
        let mut names: Vec<String> = found.record.exports.iter().map(|export| export.name.clone()).collect();
        for star in &found.record.stars {
            if let Some(other) = self.esm_target(module, *star) {
                names.extend(self.export_names(other, seen).into_iter().filter(|name| name != "default"));
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    fn open_stars(&self, module: usize) -> Vec<u32> {
        let stars = self.module(module).map(|module| module.record.stars.as_slice()).unwrap_or_default();
        stars.iter().copied().filter(|star| self.esm_target(module, *star).is_none()).collect()
    }

    /// Imports of names that do not exist, and `require` of what has to be awaited.
    fn check(&mut self) {
        let mut problems = Vec::new();
        for (index, module) in self.graph.modules.iter().enumerate() {
            let used: FxHashSet<u32> =
                module.record.parts.iter().flat_map(|part| part.uses.iter().copied()).collect();
            let symbols = module.record.symbols.iter().zip(self.meanings.get(index).into_iter().flatten());
            for (number, (symbol, meaning)) in symbols.enumerate() {
                let Binding::Imported { import, name: ImportName::Named(name) } = &symbol.binding else {
                    continue;
                };
                // A type that was re-exported, or imported and kept: nothing reads it (spec 6.1).
                let is_type = module.typescript && !used.contains(&(number as u32));
                if *meaning != Meaning::Missing || is_type || self.is_lenient(index, *import) {
                    continue;
                }
                let other = self.esm_target(index, *import).and_then(|other| self.module(other));
                let file = other.map(|other| other.name.as_str()).unwrap_or_default();
                problems.push((
                    index,
                    *import,
                    format!("No matching export in \"{file}\" for import \"{name}\""),
                ));
            }
            for (number, import) in module.record.imports.iter().enumerate() {
                if import.kind == ImportKind::Require
                    && let Some(other) = self.esm_target(index, number as u32)
                    && self.asynchronous.get(other).copied().unwrap_or(false)
                {
                    let message =
                        format!("\"{}\" uses top-level await and cannot be required", import.specifier);
                    problems.push((index, number as u32, message));
                }
            }
        }
        for (index, import, message) in problems {
            let Some(module) = self.module(index) else { continue };
            let start = module.record.imports.get(import as usize).map_or(0, |import| import.start);
            let mut problem = Diagnostic::at(message, module.name.as_ref(), &module.source, start);
            problem.chain = self.graph.chain(index);
            self.errors.push(problem);
        }
    }

    /// Whether a missing name is `undefined`: read through a namespace, or from a script without exports.
    fn is_lenient(&self, module: usize, import: u32) -> bool {
        let through_namespace = self.module(module).is_some_and(|module| {
            module
                .record
                .symbols
                .iter()
                .any(|symbol| symbol.binding == Binding::Imported { import, name: ImportName::Namespace })
        });
        let script = |other| self.module(other).is_some_and(|other| other.record.form == ModuleForm::Unknown);
        through_namespace || self.esm_target(module, import).is_some_and(script)
    }

    /// Which modules need a namespace object.
    fn find_namespaces(&mut self) {
        let mut open: Vec<usize> = self.graph.entries.iter().map(|(_, module)| *module).collect();
        for (index, module) in self.graph.modules.iter().enumerate() {
            for (import, target) in module.record.imports.iter().zip(&module.targets) {
                match target {
                    Target::Module(other) if import.kind != ImportKind::Static => open.push(*other),
                    Target::Glob(files) => open.extend(files.iter().map(|(_, other)| *other)),
                    _ => {}
                }
            }
            if !self.open_stars(index).is_empty() {
                open.push(index);
            }
            for meaning in self.meanings.get(index).into_iter().flatten() {
                if let Meaning::Namespace(other) | Meaning::Dynamic(other, _) = meaning {
                    open.push(*other);
                }
            }
        }
        while let Some(index) = open.pop() {
            match self.namespaces.get_mut(index) {
                Some(needed) if !*needed => *needed = true,
                _ => continue,
            }
            for name in self.export_names(index, &mut FxHashSet::default()) {
                if let Meaning::Namespace(other) | Meaning::Dynamic(other, _) =
                    self.export(index, &name, &mut FxHashSet::default())
                {
                    open.push(other);
                }
            }
        }
    }

    fn name(&mut self) {
        let records = || self.graph.modules.iter().map(|module| &module.record);
        let mut names = Names::new(records().flat_map(|record| record.global_names.iter()));
        let inner: Vec<FxHashSet<&str>> =
            records().map(|record| record.inner_names.iter().map(String::as_str).collect()).collect();
        let anywhere = |name: &str| inner.iter().any(|names| names.contains(name));
        for (index, module) in self.graph.modules.iter().enumerate() {
            let base = file_base(&module.name);
            let verb = if is_common_js(module) { "require" } else { "init" };
            self.functions.push(names.give(&format!("{verb}_{base}"), anywhere));
            self.objects.push(names.give(&format!("{base}_exports"), anywhere));
            for (number, import) in module.record.imports.iter().enumerate() {
                if import.kind == ImportKind::Static && self.esm_target(index, number as u32).is_none() {
                    let name = format!("import_{}", file_base(&import.specifier));
                    self.imports.insert((index, number as u32), names.give(&name, anywhere));
                }
            }
        }
        let mut users: FxHashMap<(usize, u32), Vec<usize>> = FxHashMap::default();
        for (index, meanings) in self.meanings.iter().enumerate() {
            for meaning in meanings {
                if let Meaning::Local(module, symbol) = meaning {
                    users.entry((*module, *symbol)).or_default().push(index);
                }
            }
        }
        for (index, module) in self.graph.modules.iter().enumerate() {
            for (number, symbol) in module.record.symbols.iter().enumerate() {
                let key = (index, number as u32);
                if symbol.binding != Binding::Local {
                    continue;
                }
                let users = users.get(&key).map(Vec::as_slice).unwrap_or_default();
                let captured = |name: &str| {
                    users.iter().any(|user| inner.get(*user).is_some_and(|names| names.contains(name)))
                };
                let wanted = match &*symbol.name {
                    "default" => format!("{}_default", file_base(&module.name)),
                    name => name.to_string(),
                };
                self.locals.insert(key, names.give(&wanted, captured));
            }
        }
    }

    fn function(&self, module: usize) -> &str {
        self.functions.get(module).map_or("", String::as_str)
    }

    fn object(&self, module: usize) -> &str {
        self.objects.get(module).map_or("", String::as_str)
    }

    fn is_async(&self, module: usize) -> bool {
        self.asynchronous.get(module).copied().unwrap_or(false)
    }

    /// The text that stands for a meaning, and whether it is a property.
    fn text(&self, meaning: &Meaning) -> (String, bool) {
        let import =
            |module: &usize, import: &u32| self.imports.get(&(*module, *import)).cloned().unwrap_or_default();
        match meaning {
            Meaning::Local(module, symbol) => {
                (self.locals.get(&(*module, *symbol)).cloned().unwrap_or_default(), false)
            }
            Meaning::Namespace(module) => (self.object(*module).to_string(), false),
            Meaning::Import(module, number) => (import(module, number), false),
            Meaning::Member(module, number, name) => (member(&import(module, number), name), true),
            Meaning::Dynamic(module, name) => (member(self.object(*module), name), true),
            Meaning::Missing => ("(void 0)".into(), false),
        }
    }

    fn write(&mut self) {
        self.out.push("'use strict';\n(function(host) {\n");
        self.out.push(include_str!("runtime.js"));
        for index in 0..self.graph.modules.len() {
            self.write_namespace(index);
        }
        for (index, module) in self.graph.modules.iter().enumerate() {
            if is_common_js(module) {
                self.write_common_js(index, module);
            } else {
                self.write_module(index, module);
            }
        }
        self.write_entries();
        self.out.push("})\n");
    }

    fn write_namespace(&mut self, index: usize) {
        let wanted = self.namespaces.get(index).copied().unwrap_or(false);
        if !wanted || self.module(index).is_none_or(is_common_js) {
            return;
        }
        let mut text = format!("var {} = __pk_ns({{ __proto__: null", self.object(index));
        for name in self.export_names(index, &mut FxHashSet::default()) {
            let meaning = self.export(index, &name, &mut FxHashSet::default());
            if meaning != Meaning::Missing {
                text.push_str(&format!(", [{}]: () => {}", quote(&name), self.text(&meaning).0));
            }
        }
        text.push_str(" });\n");
        self.out.push(&text);
    }

    fn write_common_js(&mut self, index: usize, module: &Module) {
        let head = format!(
            "// {}\nvar {} = __pk_cjs(function(exports, module) {{\n",
            comment(module),
            self.function(index)
        );
        self.out.push(&head);
        for part in &module.record.parts {
            self.write_text(index, &part.code);
            self.out.push("\n");
        }
        self.out.push("});\n");
    }

    fn write_module(&mut self, index: usize, module: &Module) {
        let record = &module.record;
        self.out.push(&format!("// {}\n", comment(module)));
        let mut variables: Vec<&str> = Vec::new();
        for part in record.parts.iter().filter(|part| part.kind != PartKind::Function) {
            let names = part.declares.iter().filter_map(|symbol| self.locals.get(&(index, *symbol)));
            variables.extend(names.map(String::as_str));
        }
        let imports =
            (0..record.imports.len() as u32).filter_map(|import| self.imports.get(&(index, import)));
        variables.extend(imports.map(String::as_str));
        variables.sort_unstable();
        variables.dedup();
        if !variables.is_empty() {
            let line = format!("var {};\n", variables.join(", "));
            self.out.push(&line);
        }
        for part in record.parts.iter().filter(|part| part.kind == PartKind::Function) {
            self.write_text(index, &part.code);
            self.out.push("\n");
        }
        let opening = if self.is_async(index) { "__pk_async(async (self) => {" } else { "__pk_esm(() => {" };
        let line = format!("var {} = {opening}\n", self.function(index));
        self.out.push(&line);
        for part in record.parts.iter().filter(|part| part.kind != PartKind::Function) {
            self.write_part(index, part);
        }
        self.out.push("});\n");
    }

    fn write_part(&mut self, index: usize, part: &Part) {
        match part.kind {
            PartKind::Import(import) => {
                let line = self.import_line(index, import);
                self.out.push(&line);
            }
            PartKind::Var => {
                self.out.push("(");
                self.write_text(index, &part.code);
                self.out.push(");\n");
            }
            PartKind::Class => {
                let name = part.declares.first().and_then(|symbol| self.locals.get(&(index, *symbol)));
                let head = format!("{} = ", name.map(String::as_str).unwrap_or_default());
                self.out.push(&head);
                self.write_text(index, &part.code);
                self.out.push(";\n");
            }
            PartKind::Statement | PartKind::Function => {
                self.write_text(index, &part.code);
                self.out.push(if part.code.text.ends_with([';', '}']) { "\n" } else { ";\n" });
            }
        }
    }

    /// What an `import` statement does when it is reached.
    fn import_line(&self, index: usize, import: u32) -> String {
        let variable = self.imports.get(&(index, import)).map(String::as_str).unwrap_or_default();
        let line = match self.target(index, import) {
            Some(Target::Module(other)) if self.esm_target(index, import).is_some() => {
                let init = self.function(*other);
                if self.is_async(*other) {
                    format!("await __pk_wait(self, {init});\n")
                } else {
                    format!("{init}();\n")
                }
            }
            Some(Target::Module(other)) => {
                format!(
                    "{variable} = __pk_toESM({}(), {});\n",
                    self.function(*other),
                    self.node_mode(index, *other)
                )
            }
            Some(Target::Builtin(name)) => format!("{variable} = __pk_builtinNs({});\n", quote(name)),
            _ => String::new(),
        };
        if self.esm_target(index, import).is_none() && self.open_stars(index).contains(&import) {
            return format!("{line}__pk_copy({}, {variable}, \"default\");\n", self.object(index));
        }
        line
    }

    fn node_mode(&self, importer: usize, imported: usize) -> u8 {
        let value = self.module(imported).is_some_and(|module| module.record.form == ModuleForm::Value);
        let node = self.module(importer).is_some_and(|module| module.node_mode);
        u8::from(value || node)
    }

    fn write_text(&mut self, index: usize, text: &Text) {
        let mut mappings = text.mappings.iter().peekable();
        let mut slots = text.slots.iter().peekable();
        let mut at = 0usize;
        loop {
            let slot = slots.peek().map_or(u32::MAX, |slot| slot.0);
            let mapping = mappings.peek().map_or(u32::MAX, |mapping| mapping.0);
            let next = slot.min(mapping);
            if next == u32::MAX {
                break;
            }
            self.out.push(text.text.get(at..next as usize).unwrap_or_default());
            at = next as usize;
            while let Some((_, source)) = mappings.next_if(|mapping| mapping.0 == next) {
                self.out.map(index, *source);
            }
            while let Some((_, slot)) = slots.next_if(|slot| slot.0 == next) {
                let filled = self.fill(index, *slot);
                self.out.push(&filled);
            }
        }
        self.out.push(text.text.get(at..).unwrap_or_default());
    }

    fn fill(&mut self, index: usize, slot: Slot) -> String {
        let meaning =
            |symbol: u32| self.meanings.get(index).and_then(|meanings| meanings.get(symbol as usize));
        match slot {
            Slot::Name(symbol) => meaning(symbol).map(|meaning| self.text(meaning).0).unwrap_or_default(),
            Slot::Callee(symbol) => match meaning(symbol).map(|meaning| self.text(meaning)) {
                Some((text, true)) => format!("(0, {text})"),
                Some((text, false)) => text,
                None => String::new(),
            },
            Slot::Require(import) => self.require_text(index, import),
            Slot::Dynamic(import) => self.dynamic_text(index, import),
            Slot::Url => quote(&format!(
                "file:///{}",
                self.module(index).map(|module| module.name.as_str()).unwrap_or_default()
            )),
            Slot::Asset => self.asset(index),
        }
    }

    fn asset(&mut self, index: usize) -> String {
        let asset = self.module(index).and_then(|module| module.record.asset);
        let (list, call) = match asset {
            Some(Asset::Wasm) => (&mut self.wasm, "wasm"),
            _ => (&mut self.binaries, "binary"),
        };
        list.push(index);
        format!("host.{call}({})", list.len() - 1)
    }

    fn specifier(&self, index: usize, import: u32) -> &'a str {
        let imports = self.module(index).map(|module| module.record.imports.as_slice()).unwrap_or_default();
        imports.get(import as usize).map(|import| import.specifier.as_str()).unwrap_or_default()
    }

    /// A function that does what `require` of this specifier does.
    fn require_text(&self, index: usize, import: u32) -> String {
        match self.target(index, import) {
            Some(Target::Module(other)) => match self.module(*other) {
                Some(module) if is_common_js(module) => self.function(*other).to_string(),
                Some(module) if module.record.form == ModuleForm::Unknown => {
                    format!("(() => ({}(), {{}}))", self.function(*other))
                }
                _ => {
                    format!("(() => ({}(), __pk_toCommonJS({})))", self.function(*other), self.object(*other))
                }
            },
            Some(Target::Builtin(name)) => format!("(() => __pk_builtin({}))", quote(name)),
            _ => format!("(() => __pk_missing({}))", quote(self.specifier(index, import))),
        }
    }

    /// A function that does what `import()` of this specifier does.
    fn dynamic_text(&self, index: usize, import: u32) -> String {
        match self.target(index, import) {
            Some(Target::Module(other)) => self.dynamic_module(index, *other),
            Some(Target::Builtin(name)) => format!("(async () => __pk_builtinNs({}))", quote(name)),
            Some(Target::Glob(files)) => {
                let entry = |(name, other): &(String, usize)| {
                    format!("{}: {}", quote(name), self.dynamic_module(index, *other))
                };
                format!("__pk_glob({{ {} }})", files.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
            _ => format!("(async () => __pk_missing({}))", quote(self.specifier(index, import))),
        }
    }

    fn dynamic_module(&self, importer: usize, other: usize) -> String {
        let function = self.function(other);
        if self.module(other).is_some_and(is_common_js) {
            let mode = self.node_mode(importer, other);
            return format!("(() => Promise.resolve().then(() => __pk_toESM({function}(), {mode})))");
        }
        let object = self.object(other);
        if self.is_async(other) {
            format!("(() => {function}().then(() => {object}))")
        } else {
            format!("(() => Promise.resolve().then(() => ({function}(), {object})))")
        }
    }

    /// Runs the entries, one after the other, and returns their namespaces.
    fn write_entries(&mut self) {
        let waits = self.graph.entries.iter().any(|(_, module)| self.is_async(*module));
        let mut text = String::from(if waits { "return (async () => {\n" } else { "" });
        let (mut main, mut parties) = (String::from("void 0"), String::new());
        for (number, (name, module)) in self.graph.entries.iter().enumerate() {
            let function = self.function(*module);
            let namespace = if self.module(*module).is_some_and(is_common_js) {
                text.push_str(&format!("var __pk_entry{number} = __pk_toESM({function}(), 0);\n"));
                format!("__pk_entry{number}")
            } else {
                text.push_str(&format!(
                    "{}{function}();\n",
                    if self.is_async(*module) { "await " } else { "" }
                ));
                self.object(*module).to_string()
            };
            match name {
                Some(name) => parties.push_str(&format!(", [{}]: {namespace}", quote(name))),
                None => main = namespace,
            }
        }
        text.push_str(&format!("return {{ main: {main}, parties: {{ __proto__: null{parties} }} }};\n"));
        text.push_str(if waits { "})();\n" } else { "" });
        self.out.push(&text);
    }

    fn finish(self) -> Bundle {
        let modules = &self.graph.modules;
        let sources: Vec<_> = modules
            .iter()
            .map(|module| Source { name: format!("file:///{}", module.name), text: &module.source })
            .collect();
        let source_map = self.out.source_map(&sources);
        let files = |list: &[usize]| {
            let found = list.iter().filter_map(|index| modules.get(*index));
            found.map(|module| (module.name.clone(), module.bytes.clone())).collect::<Vec<_>>()
        };
        let (wasm, binaries) = (files(&self.wasm), files(&self.binaries));
        let mut hash = Sha256::new();
        hash.update(&self.out.code);
        for (name, bytes) in wasm.iter().chain(&binaries) {
            hash.update(name);
            hash.update(bytes.len().to_le_bytes());
            hash.update(bytes);
        }
        let hash = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let targets = modules.iter().flat_map(|module| &module.targets);
        let mut builtins: Vec<String> = targets
            .filter_map(|target| if let Target::Builtin(name) = target { Some(name.clone()) } else { None })
            .collect();
        builtins.sort_unstable();
        builtins.dedup();
        Bundle {
            code: self.out.code,
            hash,
            source_map,
            inputs: self.graph.inputs.clone(),
            warnings: self.graph.warnings.clone(),
            wasm,
            binaries,
            builtins,
        }
    }
}

/// A file name that can stand in a comment.
fn comment(module: &Module) -> String {
    module.name.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '_' }).collect()
}

/// The part of a path or specifier that a name is made from.
fn file_base(path: &str) -> String {
    let mut pieces = path.rsplit('/').map(|piece| piece.split('.').next().unwrap_or_default());
    let last = pieces.next().unwrap_or_default();
    let piece = if last == "index" { pieces.next().unwrap_or(last) } else { last };
    crate::names::identifier(if piece.is_empty() { "module" } else { piece })
}

//! Writing: the script itself. First the functions of CommonJS and lazy modules, then the main sequence.

use rustc_hash::FxHashSet;

use super::Linker;
use super::bind::Meaning;
use super::helpers::helpers;
use super::order::Step;
use crate::graph::{Module, Target};
use crate::record::{Part, PartKind, Text};
use crate::value::quote;

impl<'a> Linker<'a> {
    pub(super) fn write(&mut self) {
        self.write_variables();
        for (index, module) in self.graph.modules.iter().enumerate() {
            if !self.live.module(index) {
                continue;
            }
            if module.is_common_js() {
                self.write_common_js(index, module);
            } else if self.order.is_lazy(index) {
                self.write_namespace(index);
                self.write_lazy(index, module);
            }
        }
        self.write_main();
        self.out.push("})\n");
        let helpers = helpers(&self.out.code);
        let kind = if self.order.main_waits { "async " } else { "" };
        self.out.prepend(&format!("'use strict';\n({kind}function(host) {{\n{helpers}"));
    }

    /// Import variables that the main sequence does not declare.
    fn write_variables(&mut self) {
        let steps = self.order.steps.iter();
        let main: FxHashSet<(usize, u32)> = steps
            .filter_map(
                |step| if let Step::Import(module, import) = step { Some((*module, *import)) } else { None },
            )
            .collect();
        let mut names: Vec<&str> = Vec::new();
        for (index, module) in self.graph.modules.iter().enumerate() {
            let own = self.live.module(index) && (module.is_common_js() || self.order.is_lazy(index));
            let imports = self.binder.statics(index).filter(|_| !own);
            let imports = imports.filter(|import| !main.contains(&(index, *import)));
            names.extend(
                imports.map(|import| self.naming.import(index, import)).filter(|name| !name.is_empty()),
            );
        }
        if !names.is_empty() {
            let line = format!("var {};\n", names.join(", "));
            self.out.push(&line);
        }
    }

    fn write_namespace(&mut self, index: usize) {
        if !self.live.namespace(index) || self.binder.module(index).is_none_or(Module::is_common_js) {
            return;
        }
        let mut text = format!("var {} = __pk_ns({{ __proto__: null", self.naming.object(index));
        for name in self.binder.export_names(index).iter() {
            let meaning = self.binder.export(index, name);
            if meaning != Meaning::Missing && meaning != Meaning::Ambiguous && self.is_declared(meaning) {
                let value = self.text(meaning);
                let key = if crate::names::identifier(name) == *name && *name != "__proto__" {
                    (*name).to_string()
                } else {
                    format!("[{}]", quote(name))
                };
                text.push_str(&format!(",\n {key}: () => {value}"));
            }
        }
        text.push_str("\n});\n");
        self.out.push(&text);
    }

    /// A type that TypeScript code exported has no variable.
    fn is_declared(&self, meaning: Meaning<'_>) -> bool {
        !matches!(meaning, Meaning::Local(module, symbol) if self.naming.local(module, symbol).is_empty())
    }

    fn write_comment(&mut self, module: &Module) {
        if !self.minify {
            let ascii = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '_' };
            let name: String = module.name.chars().map(ascii).collect();
            self.out.push("\n// ");
            self.out.push(&name);
            self.out.push("\n");
        }
    }

    /// CommonJS code may contain `import` statements too; what they bind stays inside the function.
    fn write_common_js(&mut self, index: usize, module: &'a Module) {
        self.write_comment(module);
        let head = format!("var {} = __pk_cjs(function(exports, module) {{\n", self.naming.function(index));
        self.out.push(&head);
        let imports = self.binder.statics(index).collect::<Vec<_>>();
        let names: Vec<&str> = imports
            .iter()
            .map(|import| self.naming.import(index, *import))
            .filter(|name| !name.is_empty())
            .collect();
        if !names.is_empty() {
            let line = format!("var {};\n", names.join(", "));
            self.out.push(&line);
        }
        for import in imports {
            self.write_imports(index, import);
        }
        for part in &module.record.parts {
            self.write_flat_part(index, module, part);
        }
        self.out.push("});\n");
    }

    fn write_lazy(&mut self, index: usize, module: &'a Module) {
        let record = &module.record;
        self.write_comment(module);
        let live: Vec<&'a Part> = self.live_parts(index, module);
        let mut variables: Vec<&str> = Vec::new();
        for part in live.iter().filter(|part| part.kind != PartKind::Function) {
            variables.extend(part.declares.iter().map(|symbol| self.naming.local(index, *symbol)));
        }
        let imports = (0..record.imports.len() as u32).map(|import| self.naming.import(index, import));
        variables.extend(imports.filter(|name| !name.is_empty()));
        variables.sort_unstable();
        variables.dedup();
        if !variables.is_empty() {
            let line = format!("var {};\n", variables.join(", "));
            self.out.push(&line);
        }
        for part in live.iter().filter(|part| part.kind == PartKind::Function) {
            self.write_text(index, &part.code);
            self.out.push("\n");
            self.write_name(index, module, part);
        }
        let opening =
            if self.order.waits(index) { "__pk_async(async (self) => {" } else { "__pk_esm(() => {" };
        let line = format!("var {} = {opening}\n", self.naming.function(index));
        self.out.push(&line);
        for import in self.binder.statics(index).collect::<Vec<_>>() {
            self.write_imports(index, import);
        }
        self.write_passing_stars(index);
        for part in live {
            self.write_lazy_part(index, module, part);
        }
        self.out.push("});\n");
    }

    fn live_parts(&self, index: usize, module: &'a Module) -> Vec<&'a Part> {
        let parts = module.record.parts.iter().enumerate();
        parts.filter(|(number, _)| self.live.part(index, *number)).map(|(_, part)| part).collect()
    }

    /// The variables are declared outside of the function, so that declarations become assignments.
    fn write_lazy_part(&mut self, index: usize, module: &Module, part: &Part) {
        match part.kind {
            PartKind::Import(_) | PartKind::Function => return,
            // `var x` without a value.
            PartKind::Var if part.code.text.is_empty() => return,
            PartKind::Var if part.code.text.starts_with('{') => {
                self.out.push("(");
                self.write_text(index, &part.code);
                self.out.push(");\n");
            }
            PartKind::Var => {
                self.write_text(index, &part.code);
                self.out.push(";\n");
            }
            PartKind::Class => self.write_class(index, part, ""),
            PartKind::Statement => self.write_statement(index, part),
        }
        self.write_name(index, module, part);
    }

    fn write_flat_part(&mut self, index: usize, module: &Module, part: &Part) {
        match part.kind {
            PartKind::Import(_) => return,
            PartKind::Var => {
                self.out.push("var ");
                self.write_text(index, &part.code);
                self.out.push(";\n");
            }
            PartKind::Class => self.write_class(index, part, "var "),
            PartKind::Statement | PartKind::Function => self.write_statement(index, part),
        }
        self.write_name(index, module, part);
    }

    fn write_class(&mut self, index: usize, part: &Part, keyword: &str) {
        let name = part.declares.first().map(|symbol| self.naming.local(index, *symbol)).unwrap_or_default();
        let head = format!("{keyword}{name} = ");
        self.out.push(&head);
        self.write_text(index, &part.code);
        self.out.push(";\n");
    }

    fn write_statement(&mut self, index: usize, part: &Part) {
        self.write_text(index, &part.code);
        self.out.push(if part.code.text.ends_with([';', '}']) { "\n" } else { ";\n" });
    }

    /// Functions and classes that had to be renamed keep their `name`: errors and serialisers print it.
    fn write_name(&mut self, index: usize, module: &Module, part: &Part) {
        let named = matches!(part.kind, PartKind::Function | PartKind::Class) || part.anonymous;
        let Some(symbol) = part.declares.first().filter(|_| named) else { return };
        let given = self.naming.local(index, *symbol);
        let own = module.record.symbols.get(*symbol as usize).map(|symbol| symbol.name.as_str());
        if let Some(own) = own.filter(|own| *own != given && !given.is_empty()) {
            let line = format!("__pk_name({given}, {}, \"{given}\");\n", quote(own));
            self.out.push(&line);
        }
    }

    /// What an `import` statement does when it is reached. One that leads to a module which is not in the bundle does
    /// what that module's own `import` statements do.
    fn write_imports(&mut self, index: usize, import: u32) {
        let mut seen = FxHashSet::default();
        let mut open = vec![(index, import)];
        while let Some((module, import)) = open.pop() {
            match self.binder.esm_target(module, import) {
                Some(other) if !self.live.module(other) => {
                    if seen.insert(other) {
                        let statics: Vec<u32> = self.binder.statics(other).collect();
                        open.extend(statics.into_iter().rev().map(|import| (other, import)));
                    }
                }
                _ => self.write_import(module, import, index, ""),
            }
        }
    }

    fn write_import(&mut self, module: usize, import: u32, within: usize, keyword: &str) {
        let variable = self.naming.import(module, import);
        let wanted = self.live.imports.contains(&(module, import));
        let line = match self.binder.target(module, import) {
            Some(Target::Module(other)) if self.binder.esm_target(module, import).is_some() => {
                let init = self.naming.function(*other);
                match (self.order.waits(*other), self.order.is_lazy(within)) {
                    (true, true) => format!("await __pk_wait(self, {init});\n"),
                    (true, false) => format!("await {init}();\n"),
                    _ => format!("{init}();\n"),
                }
            }
            _ if !wanted => return,
            Some(Target::Module(other)) => {
                let (require, mode) = (self.naming.function(*other), self.node_mode(module, *other));
                if variable.is_empty() {
                    format!("{require}();\n")
                } else {
                    format!("{keyword}{variable} = __pk_toESM({require}(), {mode});\n")
                }
            }
            Some(Target::Builtin(_)) if variable.is_empty() => return,
            Some(Target::Builtin(name)) => {
                format!("{keyword}{variable} = __pk_builtinNs({});\n", quote(name))
            }
            _ => return,
        };
        // What fails while a module is imported fails at the statement that imports it.
        let imports = self.binder.module(module).map(|module| module.record.imports.as_slice());
        if let Some(found) = imports.and_then(|imports| imports.get(import as usize)) {
            self.out.map(module, found.start);
        }
        self.out.push(&line);
        if self.live.namespace(module) && self.binder.open_stars(module).any(|star| star == import) {
            let line = format!("__pk_copy({}, {variable}, \"default\");\n", self.naming.object(module));
            self.out.push(&line);
        }
    }

    /// Names that another module's namespace got at run time.
    fn write_passing_stars(&mut self, index: usize) {
        if !self.live.namespace(index) {
            return;
        }
        for other in self.binder.passing_stars(index) {
            let line = format!(
                "__pk_copy({}, {}, \"default\");\n",
                self.naming.object(index),
                self.naming.object(other)
            );
            self.out.push(&line);
        }
    }

    /// The flat modules and the entries.
    fn write_main(&mut self) {
        let steps = self.order.steps.clone();
        for step in &steps {
            if let Step::Body(index) = step {
                self.write_namespace(*index);
            }
        }
        let mut entries = Vec::new();
        for step in steps {
            match step {
                Step::Import(module, import) => self.write_import(module, import, module, "var "),
                Step::Body(index) => {
                    let Some(module) = self.binder.module(index) else { continue };
                    let live = self.live_parts(index, module);
                    if !live.is_empty() {
                        self.write_comment(module);
                    }
                    self.write_passing_stars(index);
                    for part in live {
                        self.write_flat_part(index, module, part);
                    }
                }
                Step::Entry(index) => self.write_entry(index, &mut entries),
            }
        }
        self.write_result(&entries);
    }

    fn write_entry(&mut self, index: usize, entries: &mut Vec<usize>) {
        let function = self.naming.function(index);
        let line = if self.binder.module(index).is_some_and(Module::is_common_js) {
            if entries.contains(&index) {
                return;
            }
            entries.push(index);
            format!("var __pk_entry{index} = __pk_toESM({function}(), 0);\n")
        } else if self.order.waits(index) {
            format!("await {function}();\n")
        } else {
            format!("{function}();\n")
        };
        self.out.push(&line);
    }

    /// The function that evaluates an entry and answers its namespace, or a promise of it.
    fn evaluating(&self, index: usize) -> String {
        let (function, object) = (self.naming.function(index), self.naming.object(index));
        if self.binder.module(index).is_some_and(Module::is_common_js) {
            format!("() => __pk_toESM({function}(), 0)")
        } else if self.order.waits(index) {
            format!("() => {function}().then(() => {object})")
        } else {
            format!("() => ({function}(), {object})")
        }
    }

    fn write_result(&mut self, common_js: &[usize]) {
        let (mut main, mut parties) = (String::from("void 0"), String::new());
        for (name, module) in &self.graph.entries {
            let namespace = if self.order.on_demand {
                self.evaluating(*module)
            } else if common_js.contains(module) {
                format!("__pk_entry{module}")
            } else {
                self.naming.object(*module).to_string()
            };
            match name {
                Some(name) => parties.push_str(&format!(", [{}]: {namespace}", quote(name))),
                None => main = namespace,
            }
        }
        let line = format!("return {{ main: {main}, parties: {{ __proto__: null{parties} }} }};\n");
        self.out.push(&line);
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
                at += self.fill(index, *slot);
            }
            // What was replaced has no place of its own.
            while mappings.next_if(|mapping| (mapping.0 as usize) < at).is_some() {}
        }
        self.out.push(text.text.get(at..).unwrap_or_default());
    }
}

//! Filling: the text that stands in the holes of a module's printed code, and for its imports.

use super::Linker;
use super::bind::Meaning;
use crate::graph::{Module, Target};
use crate::names::member;
use crate::record::{Asset, ModuleForm, Slot, chain};
use crate::value::quote;

impl Linker<'_> {
    /// Writes what a hole holds, and says how much of the text behind it that replaces.
    pub(super) fn fill(&mut self, index: usize, slot: Slot) -> usize {
        let mut replaced = 0;
        let text = match slot {
            Slot::Name(symbol) | Slot::Callee(symbol) => match self.meaning(index, symbol) {
                Meaning::Local(module, symbol) => {
                    self.out.push(self.naming.local(module, symbol));
                    return replaced;
                }
                other if matches!(slot, Slot::Callee(_)) => self.callee_text(other),
                other => self.text(other),
            },
            Slot::Object(symbol) => {
                let (meaning, bytes) = self.object(index, symbol);
                replaced = bytes;
                if bytes > 0 { self.callee_text(meaning) } else { self.text(meaning) }
            }
            Slot::Require(import) => self.require_text(index, import),
            Slot::Dynamic(import) => self.dynamic_text(index, import),
            Slot::Url => {
                let name = self.binder.module(index).map(|module| module.name.as_str()).unwrap_or_default();
                quote(&format!("file:///{name}"))
            }
            Slot::Asset => self.asset(index),
        };
        self.out.push(&text);
        replaced
    }

    fn meaning(&self, index: usize, symbol: u32) -> Meaning<'_> {
        let meanings = self.meanings.get(index);
        meanings.and_then(|meanings| meanings.get(symbol as usize)).copied().unwrap_or(Meaning::Missing)
    }

    /// What a chain of properties begins with, as far as it leads through namespaces, and the length of what that was
    /// in the text.
    fn object(&self, index: usize, symbol: u32) -> (Meaning<'_>, usize) {
        let symbols = self.binder.module(index).map(|module| module.record.symbols.as_slice());
        let (root, properties) = chain(symbols.unwrap_or_default(), symbol);
        let (mut meaning, mut replaced) = (self.meaning(index, root), 0);
        for (name, symbol) in properties {
            if !matches!(meaning, Meaning::Namespace(_)) {
                break;
            }
            meaning = self.meaning(index, symbol);
            replaced += ".".len() + name.len();
        }
        (meaning, replaced)
    }

    /// The same as [`Self::text`] where it may be called: a property must not become the receiver of the call.
    fn callee_text(&self, meaning: Meaning<'_>) -> String {
        match meaning {
            Meaning::Member(..) | Meaning::Dynamic(..) => format!("(0, {})", self.text(meaning)),
            _ => self.text(meaning),
        }
    }

    /// The expression that reads a meaning.
    pub(super) fn text(&self, meaning: Meaning<'_>) -> String {
        match meaning {
            Meaning::Local(module, symbol) => self.naming.local(module, symbol).to_string(),
            Meaning::Namespace(module) => self.naming.object(module).to_string(),
            Meaning::Import(module, import) => self.naming.import(module, import).to_string(),
            Meaning::Member(module, import, name) => member(self.naming.import(module, import), name),
            Meaning::Dynamic(module, name) => member(self.naming.object(module), name),
            Meaning::Ambiguous | Meaning::Missing => "(void 0)".into(),
            // Nothing that is evaluated reads it. If it did, `undefined` would hide the mistake.
            Meaning::Unneeded => "__pk_unneeded".into(),
        }
    }

    fn asset(&mut self, index: usize) -> String {
        let asset = self.binder.module(index).and_then(|module| module.record.asset);
        let (list, call) = match asset {
            Some(Asset::Wasm) => (&mut self.wasm, "wasm"),
            _ => (&mut self.binaries, "binary"),
        };
        list.push(index);
        format!("host.{call}({})", list.len() - 1)
    }

    /// A function that does what `require` of this specifier does.
    fn require_text(&self, index: usize, import: u32) -> String {
        match self.binder.target(index, import) {
            Some(Target::Module(other)) => {
                let function = self.naming.function(*other);
                match self.binder.module(*other) {
                    Some(module) if module.is_common_js() => function.to_string(),
                    Some(module) if module.record.form == ModuleForm::Unknown => {
                        format!("(() => ({function}(), {{}}))")
                    }
                    _ if self.order.waits(*other) => {
                        format!("(() => __pk_waits({}))", quote(self.specifier(index, import)))
                    }
                    _ => format!("(() => ({function}(), __pk_toCommonJS({})))", self.naming.object(*other)),
                }
            }
            Some(Target::Builtin(name)) => format!("(() => __pk_builtin({}))", quote(name)),
            _ => format!("(() => __pk_missing({}))", quote(self.specifier(index, import))),
        }
    }

    /// A function that does what `import()` of this specifier does.
    fn dynamic_text(&self, index: usize, import: u32) -> String {
        match self.binder.target(index, import) {
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
        let function = self.naming.function(other);
        if self.binder.module(other).is_some_and(Module::is_common_js) {
            let mode = self.node_mode(importer, other);
            return format!("(() => Promise.resolve().then(() => __pk_toESM({function}(), {mode})))");
        }
        let object = self.naming.object(other);
        if self.order.waits(other) {
            format!("(() => {function}().then(() => {object}))")
        } else {
            format!("(() => Promise.resolve().then(() => ({function}(), {object})))")
        }
    }

    /// Whether the default import of a CommonJS module is `module.exports` in any case.
    pub(super) fn node_mode(&self, importer: usize, imported: usize) -> u8 {
        let value =
            self.binder.module(imported).is_some_and(|module| module.record.form == ModuleForm::Value);
        let node = self.binder.module(importer).is_some_and(|module| module.node_mode);
        u8::from(value || node)
    }
}

//! The module record: everything the linker needs to know about one source file, and nothing about the files around
//! it. A record is made once per content (by `transform` and `scan`), is plain data, and can be kept on disk.
//!
//! The code of a module is cut into *parts*, one per top-level statement. Every part is printed already; the places
//! where a name of the module scope occurs are *slots*, filled in by the linker when it knows the final names. That is
//! why linking never parses, and why a second start only concatenates text.

use serde::{Deserialize, Serialize};

/// What the source says about its own module system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ModuleForm {
    /// Has `import`, `export`, `import.meta` or top-level `await`.
    Esm,
    /// Uses `exports`, `module`, or top-level `return`.
    CommonJs,
    /// A script that says neither.
    Unknown,
    /// A value (JSON, text, binary) that takes the form its importer asks for.
    Value,
}

/// How a specifier was written; the same specifier may resolve differently for each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum ImportKind {
    Static,
    Dynamic,
    Require,
    RequireResolve,
}

impl ImportKind {
    /// Whether the `require` condition applies (spec 6.1), otherwise `import` does.
    pub(crate) fn is_require(self) -> bool {
        matches!(self, Self::Require | Self::RequireResolve)
    }
}

/// One specifier of a module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Import {
    pub(crate) specifier: String,
    pub(crate) kind: ImportKind,
    /// Inside `try`, or followed by a `catch`: a missing package throws at run time instead of failing the build.
    pub(crate) guarded: bool,
    pub(crate) start: u32,
    /// A pattern argument of `import()`: literal pieces between the interpolated values.
    pub(crate) pattern: Option<Vec<String>>,
}

/// What an imported binding refers to in the other module.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum ImportName {
    Namespace,
    Named(String),
}

/// Where a symbol of the module scope comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Binding {
    Local,
    Imported {
        import: u32,
        name: ImportName,
    },
    /// A property that is read of an imported symbol, or of another such property. Where that turns out to be a
    /// namespace, it is a binding of the other module.
    Property {
        of: u32,
        name: String,
    },
}

/// A name of the module scope.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Symbol {
    pub(crate) name: String,
    pub(crate) binding: Binding,
}

/// A chain of properties: the imported symbol that it begins with, then each property with its own symbol.
pub(crate) fn chain(symbols: &[Symbol], mut symbol: u32) -> (u32, Vec<(&str, u32)>) {
    let mut properties = Vec::new();
    while let Some(Binding::Property { of, name }) = symbols.get(symbol as usize).map(|found| &found.binding)
    {
        properties.push((name.as_str(), symbol));
        symbol = *of;
    }
    properties.reverse();
    (symbol, properties)
}

/// `export { symbol as name }`, in all its spellings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Export {
    pub(crate) name: String,
    pub(crate) symbol: u32,
}

/// A hole in printed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Slot {
    /// A reference to (or the declaration of) a symbol.
    Name(u32),
    /// A symbol in callee position: a property must not become the receiver.
    Callee(u32),
    /// An imported symbol whose properties follow in the text, as those of this symbol's chain (`Binding::Property`).
    Object(u32),
    /// The function that a `require("...")` call was replaced with.
    Require(u32),
    /// The function that an `import("...")` call was replaced with.
    Dynamic(u32),
    /// The literal of `import.meta.url`.
    Url,
    /// `host.wasm(n)` or `host.binary(n)`, where the linker knows n.
    Asset,
}

/// Printed text with holes. `offset`s are byte positions in `text`, ascending; `mappings` likewise.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) slots: Vec<(u32, Slot)>,
    /// Offset in `text`, then byte offset in the source.
    pub(crate) mappings: Vec<(u32, u32)>,
}

/// What kind of statement a part is, which decides how it is printed inside and outside a wrapper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PartKind {
    /// Any statement without declarations, printed as it is.
    Statement,
    /// Declarators without keyword and semicolon.
    Var,
    Class,
    Function,
    /// The place of an `import` statement.
    Import(u32),
}

/// One top-level statement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) kind: PartKind,
    pub(crate) code: Text,
    pub(crate) declares: Vec<u32>,
    pub(crate) uses: Vec<u32>,
    /// Imports that this part's `require` and `import()` calls refer to.
    pub(crate) imports: Vec<u32>,
    /// A variable whose value is a function or class without a name: it takes the variable's.
    pub(crate) anonymous: bool,
    /// Evaluating the part has no effect that others could see.
    pub(crate) pure: bool,
}

/// What a value module contains, for those whose bytes the runtime hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Asset {
    Wasm,
    Binary,
}

/// One module, ready to be linked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ModuleRecord {
    pub(crate) form: ModuleForm,
    pub(crate) imports: Vec<Import>,
    pub(crate) symbols: Vec<Symbol>,
    pub(crate) exports: Vec<Export>,
    /// Imports re-exported with `export * from`.
    pub(crate) stars: Vec<u32>,
    pub(crate) parts: Vec<Part>,
    /// Names that inner scopes bind or mention: no symbol used here may take one of them.
    pub(crate) inner_names: Vec<String>,
    /// Names that are bound nowhere: no symbol at all may take one of them.
    pub(crate) global_names: Vec<String>,
    pub(crate) top_level_await: bool,
    /// Loading it fails for certain where there is no page.
    pub(crate) needs_page: bool,
    /// Specifiers that it requires whenever it is loaded.
    pub(crate) required: Vec<String>,
    pub(crate) asset: Option<Asset>,
}

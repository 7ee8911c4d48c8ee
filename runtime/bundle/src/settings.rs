//! What decides, besides its text, how a file is transformed.

/// What the file's name and its package say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ModuleHint {
    /// `.mjs`, `.mts`, or `"type": "module"`.
    Esm,
    /// `.cjs`, `.cts`, or `"type": "commonjs"`.
    CommonJs,
    #[default]
    None,
}

/// Everything besides the source that decides the result. Its `Debug` text is part of the cache key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) typescript: bool,
    pub(crate) jsx: bool,
    pub(crate) hint: ModuleHint,
    pub(crate) legacy_decorators: bool,
    pub(crate) decorator_metadata: bool,
    /// Class fields are assigned (`useDefineForClassFields: false`) instead of defined.
    pub(crate) assign_fields: bool,
    pub(crate) verbatim_imports: bool,
    pub(crate) jsx_automatic: bool,
    pub(crate) jsx_development: bool,
    pub(crate) jsx_factory: Option<String>,
    pub(crate) jsx_fragment: Option<String>,
    pub(crate) jsx_source: Option<String>,
    pub(crate) minify: bool,
    /// A `debugger` statement comes before all others.
    pub(crate) pause_first: bool,
    /// Names and expressions as written.
    pub(crate) defines: Vec<(String, String)>,
}

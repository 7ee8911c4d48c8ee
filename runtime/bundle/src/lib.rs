//! The bundler: a project's entry and everything it imports become one strict classic script (spec 6).
//!
//! `Bundler::build` walks the graph (`graph`), resolves specifiers (`resolve`), turns each file into a record
//! (`transform`, `scan`, kept by content in `cache`), and links the records to text (`link`). It runs no code of the
//! project and knows nothing of V8; the script asks its host for built-in modules, WebAssembly and binary files.

mod ambient;
mod cache;
mod capture;
mod constants;
mod declared;
mod decorated;
mod diagnostic;
mod element_text;
mod elements;
mod fields;
mod files;
mod fold;
mod graph;
mod hoist;
mod link;
mod marker;
mod names;
mod namespaces;
mod nesting;
mod of;
mod original;
mod package;
mod page;
mod paths;
mod print;
mod probe;
mod purity;
mod record;
mod resolve;
mod rewrite;
mod scan;
mod settings;
mod source_map;
mod strict;
mod transform;
mod tsconfig;
mod value;
mod wasm;
mod yarn;

use std::path::PathBuf;

use bytes::Bytes;
use partyrun_limits::Limits;

pub use diagnostic::{BundleErrors, Diagnostic};
pub use source_map::SourceMap;

/// What to bundle, and how.
#[derive(Debug, Clone, Default)]
pub struct BundleOptions {
    /// The project folder; paths in messages and stack traces are relative to it.
    pub root: PathBuf,
    /// The main party's file, absolute or relative to `root`.
    pub main: PathBuf,
    /// The other parties, by name.
    pub parties: Vec<(String, PathBuf)>,
    /// Names or dotted names and the JavaScript expressions that replace them.
    pub define: Vec<(String, String)>,
    /// Specifiers and what they stand for.
    pub alias: Vec<(String, String)>,
    /// Whether white space is left out of the bundle.
    pub minify: bool,
    /// Begin the main party's module with a `debugger` statement.
    pub pause_first: bool,
    /// Where records of unchanged files are kept between processes.
    pub cache_dir: Option<PathBuf>,
    /// The limits in force; the bundler reads `source_map_bytes_max`.
    pub limits: Limits,
}

/// A finished bundle: the program that the engine evaluates, and what belongs to it.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// One strict classic script, pure ASCII; its completion value is `(host) => ({ main, parties })`, perhaps async. Where
    /// all parties have one module, these are its namespace; else functions which evaluate a party's module and answer its
    /// namespace, or a promise of it.
    pub code: String,
    /// Names the code and the files beside it: equal hashes mean equal bundles.
    pub hash: String,
    /// The source map of `code`.
    pub source_map: SourceMap,
    /// Every file that was read, as absolute paths: the files to watch for the next build.
    pub inputs: Vec<PathBuf>,
    /// Problems that did not stop the build.
    pub warnings: Vec<Diagnostic>,
    /// What `host.wasm(i)` compiles: path and bytes.
    pub wasm: Vec<(String, Bytes)>,
    /// What `host.binary(i)` returns: path and bytes.
    pub binaries: Vec<(String, Bytes)>,
    /// The built-in modules that the code can ask for, normalised.
    pub builtins: Vec<String>,
}

/// Builds one project; a second build only transforms what changed.
pub struct Bundler {
    options: BundleOptions,
    cache: cache::Cache,
}

impl Bundler {
    /// A bundler that has not read anything yet.
    pub fn new(mut options: BundleOptions) -> Self {
        options.root = options.root.canonicalize().unwrap_or(options.root);
        // `Buffer` is a name in modules, as in the original, and no property of the global object: packages that find
        // one there take their host for Node, and their users are not prepared for its buffers.
        let defaults =
            [("process.env.NODE_ENV", "\"development\""), ("Buffer", "(require(\"node:buffer\").Buffer)")];
        for (name, value) in defaults {
            if !options.define.iter().any(|(known, _)| known == name) {
                options.define.push((name.into(), value.into()));
            }
        }
        let cache = cache::Cache::new(options.cache_dir.clone());
        Self { options, cache }
    }

    /// The same, with [`BundleOptions::pause_first`].
    pub fn pausing_first(mut self) -> Self {
        self.options.pause_first = true;
        self
    }

    /// Bundles the project as it is on disk now.
    pub fn build(&mut self) -> Result<Bundle, BundleErrors> {
        let graph = graph::Graph::walk(&self.options, &mut self.cache)?;
        link::link(&graph, self.options.minify)
    }
}

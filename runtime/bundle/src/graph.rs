//! The module graph: starting at the entries, reads and transforms every file that is reached, a generation at a time
//! and in parallel, and resolves what it imports. It collects all problems before it gives up. `link` reads the result.

mod copies;
mod glob;
mod instance;
mod jobs;
mod needs;
mod pages;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::cache::{Cache, Contents};
use crate::diagnostic::Problems;
use crate::files::{Files, Kept};
use crate::original::{MapPlace, ShippedMap};
use crate::paths::relative;
use crate::record::{Asset, Import, ImportKind, ModuleForm, ModuleRecord};
use crate::resolve::{Found, Missing, Resolve, Resolved, misspelled};
use crate::settings::{ModuleHint, Settings};
use crate::{BundleErrors, BundleOptions, Diagnostic, value};
use glob::glob;
use jobs::{Job, Loaded, run};
use needs::{Need, Needs};

/// What an import leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Module(usize),
    Builtin(String),
    /// Throws when it is reached.
    Missing,
    /// Nothing of it is used, and it has no side effects: it was not read for this import.
    Unneeded,
    /// The files that a pattern matches, as `import()` would be called with them.
    Glob(Vec<(String, usize)>),
}

/// One file.
pub(crate) struct Module {
    pub(crate) path: PathBuf,
    /// Relative to the project folder, with `/`.
    pub(crate) name: String,
    pub(crate) source: Arc<str>,
    pub(crate) bytes: Bytes,
    pub(crate) record: Arc<ModuleRecord>,
    /// The source map that says what the source was made of.
    pub(crate) map: Option<Arc<ShippedMap>>,
    /// One per import of the record.
    pub(crate) targets: Vec<Target>,
    /// Node's own rules apply when this file imports CommonJS: the default export is `module.exports`.
    pub(crate) node_mode: bool,
    pub(crate) typescript: bool,
    /// Evaluating the module may do something besides making its exports, for all that its package says.
    pub(crate) side_effects: bool,
    importer: Option<usize>,
}

impl Module {
    /// Whether its exports are properties of one value, as those of CommonJS and of data are, and are not bound by name.
    pub(crate) fn is_common_js(&self) -> bool {
        matches!(self.record.form, ModuleForm::CommonJs | ModuleForm::Value)
    }
}

/// All files of a bundle.
pub(crate) struct Graph {
    pub(crate) modules: Vec<Module>,
    /// The main entry first; `None` names it.
    pub(crate) entries: Vec<(Option<String>, usize)>,
    pub(crate) inputs: Vec<PathBuf>,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// A file that was found, but not read yet.
struct Pending {
    index: usize,
    path: PathBuf,
    hint: ModuleHint,
    importer: Option<usize>,
    side_effects: bool,
    made: Option<Made>,
}

/// A module that no file is read for.
#[derive(Debug, Clone, Copy)]
enum Made {
    Empty,
    Fetch,
    /// The instance of a WebAssembly file.
    Instance,
}

/// Built-in modules that a room has no use for: no files, no processes, no threads.
const ABSENT_BUILTINS: [&str; 16] = [
    "child_process",
    "cluster",
    "dgram",
    "dns",
    "domain",
    "fs",
    "http2",
    "inspector",
    "readline",
    "repl",
    "trace_events",
    "tty",
    "v8",
    "vm",
    "wasi",
    "worker_threads",
];

struct Walk<'a> {
    options: &'a BundleOptions,
    cache: &'a mut Cache,
    files: &'a Files,
    resolve: &'a Resolve,
    /// Files that are loaded instead of their packages' `module` files.
    mains: &'a FxHashSet<PathBuf>,
    /// Files for pages that others of their packages are loaded instead of.
    pages: &'a FxHashSet<PathBuf>,
    /// By [`Found::key`].
    known: FxHashMap<PathBuf, usize>,
    needs: Needs,
    /// Files that imports lead to, module and import, which are not needed yet.
    deferred: FxHashMap<(usize, u32), Found>,
    /// Sources of the modules that make instances of WebAssembly files, by the paths that stand for them.
    instances: FxHashMap<PathBuf, Arc<str>>,
    pending: Vec<Pending>,
    modules: Vec<Module>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    inputs: Vec<PathBuf>,
}

impl Graph {
    /// Reads everything that the entries reach.
    pub(crate) fn walk(options: &BundleOptions, cache: &mut Cache) -> Result<Self, BundleErrors> {
        let files = Files::new(&options.root);
        let resolve = Resolve::new(options, &files);
        let (mut mains, mut pages) = (FxHashSet::default(), FxHashSet::default());
        let mut inputs: Vec<PathBuf> = files.manifest.iter().cloned().collect();
        let (mut walk, entries) = loop {
            let mut walk = Walk::new(options, cache, &files, &resolve, &mains, &pages);
            let entries = walk.everything();
            // What was read in vain counts as well: it decided what is read now.
            inputs.append(&mut walk.inputs);
            let (copies, unfit) = (walk.copies(), walk.files_for_pages());
            if (copies.is_empty() && unfit.is_empty()) || !walk.errors.is_empty() {
                break (walk, entries);
            }
            mains.extend(copies);
            pages.extend(unfit);
        };
        for (path, problem) in resolve.problems() {
            let name = relative(&options.root, &path);
            walk.warnings.push(Diagnostic::in_file(problem, Path::new(&name)));
            inputs.push(path);
        }
        let Walk { modules, errors, warnings, .. } = walk;
        if !errors.is_empty() {
            return Err(BundleErrors { errors, warnings, inputs });
        }
        Ok(Self { modules, entries, inputs, warnings })
    }

    /// The files through which a module was reached, the entry first.
    pub(crate) fn chain(&self, index: usize) -> Vec<PathBuf> {
        chain(&self.modules, index)
    }
}

fn chain(modules: &[Module], index: usize) -> Vec<PathBuf> {
    let mut chain = Vec::new();
    let mut at = modules.get(index);
    while let Some(module) = at {
        chain.push(PathBuf::from(&module.name));
        at = module.importer.and_then(|importer| modules.get(importer));
    }
    chain.reverse();
    chain
}

impl<'a> Walk<'a> {
    fn new(
        options: &'a BundleOptions,
        cache: &'a mut Cache,
        files: &'a Files,
        resolve: &'a Resolve,
        mains: &'a FxHashSet<PathBuf>,
        pages: &'a FxHashSet<PathBuf>,
    ) -> Self {
        Self {
            options,
            cache,
            files,
            resolve,
            mains,
            pages,
            known: FxHashMap::default(),
            needs: Needs::default(),
            deferred: FxHashMap::default(),
            instances: FxHashMap::default(),
            pending: Vec::new(),
            modules: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
            inputs: Vec::new(),
        }
    }

    /// Reads everything that the entries reach, and says which modules those are.
    fn everything(&mut self) -> Vec<(Option<String>, usize)> {
        let options = self.options;
        let mut entries = Vec::new();
        let main = std::iter::once((None, &options.main));
        for (name, path) in main.chain(options.parties.iter().map(|(name, path)| (Some(name.clone()), path)))
        {
            if let Some(index) = self.entry(path) {
                self.needs.add(index, Need::Namespace);
                entries.push((name, index));
            }
        }
        while !self.pending.is_empty() || self.needs.are_open() {
            self.generation();
            self.follow();
        }
        self.join();
        entries
    }

    fn entry(&mut self, path: &Path) -> Option<usize> {
        let absolute = self.options.root.join(path);
        let specifier = absolute.to_string_lossy().into_owned();
        match self.resolve.specifier(&self.options.root.join("package.json"), &specifier, ImportKind::Static)
        {
            Resolved::File(found) => Some(self.add(found, None)),
            _ => {
                let message = format!("Could not find the entry \"{}\"", path.display());
                self.errors.push(Diagnostic::plain(message));
                self.inputs.push(absolute);
                None
            }
        }
    }

    fn add(&mut self, found: Found, importer: Option<usize>) -> usize {
        self.add_file(found, importer, None)
    }

    fn add_file(&mut self, found: Found, importer: Option<usize>, made: Option<Made>) -> usize {
        let key = found.key();
        let Found { path, hint, side_effects, .. } = found;
        if let Some(index) = self.known.get(&key) {
            return *index;
        }
        let index = self.known.len();
        self.known.insert(key, index);
        if side_effects {
            self.needs.add(index, Need::Body);
        }
        self.pending.push(Pending { index, path, hint, importer, side_effects, made });
        index
    }

    /// Loads everything pending; what it imports is pending afterwards.
    fn generation(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort_by_key(|file| file.index);
        let jobs: Vec<_> = pending.into_iter().map(|file| self.prepare(file)).collect();
        let loaded = run(jobs);
        let start = self.modules.len();
        for Loaded { module, problems, fresh } in loaded {
            if let (Some(key), true) = (fresh, problems.is_empty()) {
                self.cache.put(key, &module.record);
            }
            let index = self.modules.len();
            self.modules.push(module);
            if !problems.is_empty() {
                self.report(index, problems);
            }
        }
        for index in start..self.modules.len() {
            self.resolve_imports(index);
        }
    }

    fn report(&mut self, index: usize, problems: Problems) {
        let files = chain(&self.modules, index);
        let Some(module) = self.modules.get(index) else { return };
        for (offset, message) in problems {
            let file = Path::new(&module.name);
            let mut problem = if module.source.is_empty() {
                Diagnostic::in_file(message, file)
            } else {
                Diagnostic::at(message, file, &module.source, offset)
            };
            // The parser tells some mistakes once more when it goes on behind them.
            let told = |last: &Diagnostic| {
                last.file == problem.file && last.line == problem.line && last.message == problem.message
            };
            if self.errors.last().is_some_and(told) {
                continue;
            }
            problem.help =
                elements_hint(file, &problem.frame).or_else(|| loader_hint(file, &problem.message));
            problem.chain.clone_from(&files);
            self.errors.push(problem);
        }
    }

    /// Reads the file and the cache; what is left is work for any thread.
    fn prepare(&mut self, file: Pending) -> Job {
        let name = relative(&self.options.root, &file.path);
        let mut settings = self.resolve.settings(&file.path, file.hint, self.options);
        // The main party's file is the first of all.
        settings.pause_first = self.options.pause_first && file.index == 0;
        let mut module = Module {
            name,
            source: Arc::default(),
            bytes: Bytes::new(),
            record: Arc::new(value::empty()),
            map: None,
            targets: Vec::new(),
            node_mode: settings.hint == ModuleHint::Esm,
            typescript: settings.typescript,
            side_effects: file.side_effects,
            importer: file.importer,
            path: file.path,
        };
        match file.made {
            Some(Made::Empty) => return Job::done(module, Vec::new()),
            Some(Made::Fetch) => {
                module.record = Arc::new(value::fetch());
                return Job::done(module, Vec::new());
            }
            Some(Made::Instance) => return self.instance(module, settings),
            None => {}
        }
        self.input(&module.path);
        let is_binary =
            module.path.extension().is_some_and(|extension| extension == "wasm" || extension == "bin");
        let contents = if is_binary { Contents::Bytes } else { Contents::Text };
        match self.cache.read(self.files, &module.path, contents) {
            Ok(kept) => self.load(module, &kept, settings),
            Err(error) => Job::done(module, vec![(0, format!("Could not read the file: {error}"))]),
        }
    }

    /// Files of one archive are one input.
    fn input(&mut self, file: &Path) {
        let file = self.files.physical(file);
        if self.inputs.last() != Some(&file) {
            self.inputs.push(file);
        }
    }

    /// Makes a module of what was read, by the kind of file.
    fn load(&mut self, mut module: Module, kept: &Kept, settings: Settings) -> Job {
        let mut problems = Vec::new();
        let extension = ending(&module.path);
        let value = match extension {
            ".wasm" => Ok(value::asset(Asset::Wasm)),
            ".bin" => Ok(value::asset(Asset::Binary)),
            ".json" => value::json(&kept.text),
            ".txt" | ".html" => Ok(value::text(&kept.text)),
            ".ts" | ".tsx" | ".mts" | ".cts" | ".js" | ".jsx" | ".mjs" | ".cjs" | "" => {
                module.source = kept.text.clone();
                if !settings.typescript {
                    module.map = self.shipped_map(&module);
                }
                let key = Cache::key(&kept.hash, &settings);
                return match self.cache.get(&key) {
                    Some(record) => Job::done(Module { record, ..module }, problems),
                    None => Job::Transform(Box::new((module, settings, key, self.cache.file(&key)))),
                };
            }
            _ => Err((0, format!("No loader is configured for \"{extension}\" files"))),
        };
        module.side_effects = false;
        module.bytes = kept.bytes.clone();
        match value {
            Ok(record) => module.record = Arc::new(record),
            Err(problem) => {
                if extension == ".json" {
                    module.source = kept.text.clone();
                }
                problems.push(problem);
            }
        }
        Job::done(module, problems)
    }

    /// The source map that a file names.
    fn shipped_map(&mut self, module: &Module) -> Option<Arc<ShippedMap>> {
        let root = &self.options.root;
        let known = self.cache.map(&module.path).filter(|map| map.is_of(&module.source));
        let place = match &known {
            Some(map) => map.place.clone(),
            None => {
                let package = self.resolve.packages.folder_of(&module.path, root);
                MapPlace::of(&module.path, &module.source, &package)?
            }
        };
        let bytes_max = self.options.limits.source_map_bytes_max;
        let file = match &place.file {
            Some(file) if self.files.exceeds(file, bytes_max).ok()? => return None,
            Some(file) => Some(self.cache.read(self.files, file, Contents::Bytes).ok()?),
            None => None,
        };
        let known = known.filter(|map| map.is_in(file.as_ref()));
        known.or_else(|| {
            let published = module.source.clone();
            let map = Arc::new(ShippedMap::new(place, file, published, self.files, root, bytes_max));
            self.cache.put_map(&module.path, &map);
            Some(map)
        })
    }

    fn resolve_imports(&mut self, index: usize) {
        let Some(module) = self.modules.get(index) else { return };
        let (record, path) = (module.record.clone(), module.path.clone());
        let imports = (0u32..).zip(&record.imports);
        let targets = imports.map(|(number, import)| self.target(index, &path, number, import)).collect();
        if let Some(module) = self.modules.get_mut(index) {
            module.targets = targets;
        }
    }

    fn target(&mut self, index: usize, path: &Path, number: u32, import: &Import) -> Target {
        if import.pattern.is_some() {
            return Target::Unneeded;
        }
        match self.resolve.specifier(path, &import.specifier, import.kind) {
            Resolved::File(found) if is_loaded_at_run_time(&found, import) => Target::Missing,
            Resolved::File(found) => {
                if let Some(target) = self.wasm_instance(index, number, import, &found) {
                    return target;
                }
                let found = self.without_page(path, import, found);
                let found = self.only_copy(path, import, found);
                self.deferred.insert((index, number), found);
                Target::Unneeded
            }
            Resolved::Builtin(name) => {
                if let Some(missing) = misspelled(&name).filter(|_| self.is_of_project(index, import)) {
                    self.missing(index, import, missing);
                    return Target::Missing;
                }
                self.warn_builtin(index, import, &name);
                Target::Builtin(name)
            }
            Resolved::Empty => self.made(index, format!("(empty)/{}", import.specifier), Made::Empty),
            Resolved::Fetch => self.made(index, "(fetch)".into(), Made::Fetch),
            Resolved::Missing(missing) => {
                if !import.guarded && !self.is_optional(index, import) {
                    self.missing(index, import, missing);
                }
                Target::Missing
            }
        }
    }

    /// The module that an import leads to, which is read if it was not yet.
    fn import_target(&mut self, index: usize, import: u32) -> Option<usize> {
        let target = match self.deferred.remove(&(index, import)) {
            Some(found) => {
                let target = Target::Module(self.add(found, Some(index)));
                let module = self.modules.get_mut(index)?;
                let slot = module.targets.get_mut(import as usize)?;
                *slot = target;
                &*slot
            }
            None => self.modules.get(index)?.targets.get(import as usize)?,
        };
        match target {
            Target::Module(other) => Some(*other),
            _ => None,
        }
    }

    /// The same for a pattern.
    fn glob_import(&mut self, index: usize, number: u32) {
        let Some(module) = self.modules.get(index) else { return };
        let pattern = module.record.imports.get(number as usize).and_then(|import| import.pattern.as_ref());
        let found = pattern.map(|pattern| glob(&module.path, pattern)).unwrap_or_default();
        let mut files = Vec::with_capacity(found.len());
        for (name, file) in found {
            let other = self.add(Found::plain(file), Some(index));
            self.needs.add(other, Need::Namespace);
            files.push((name, other));
        }
        let targets = self.modules.get_mut(index).map(|module| &mut module.targets);
        if let Some(slot) = targets.and_then(|targets| targets.get_mut(number as usize)) {
            *slot = Target::Glob(files);
        }
    }

    fn has_side_effects(&self, index: usize, import: u32) -> bool {
        self.deferred.get(&(index, import)).is_some_and(|found| found.side_effects)
    }

    /// Imports that need nothing lead to their modules all the same where something else needs those: modules are
    /// evaluated in the order of all imports.
    fn join(&mut self) {
        for ((index, import), found) in std::mem::take(&mut self.deferred) {
            if let Some(known) = self.known.get(&found.key())
                && let Some(module) = self.modules.get_mut(index)
                && let Some(slot) = module.targets.get_mut(import as usize)
            {
                *slot = Target::Module(*known);
            }
        }
    }

    fn made(&mut self, importer: usize, name: String, made: Made) -> Target {
        let found = Found { side_effects: false, ..Found::plain(name.into()) };
        Target::Module(self.add_file(found, Some(importer), Some(made)))
    }

    /// Packages name what they can do without in calls that most programs never reach. There it is missing at run time, as it
    /// is in Node.js.
    fn is_optional(&self, index: usize, import: &Import) -> bool {
        let is_called = import.kind != ImportKind::Static;
        is_called && self.modules.get(index).is_some_and(|module| module.name.contains("node_modules/"))
    }

    /// Whether an import is one that the project's own files cannot do without; packages usually guard theirs.
    fn is_of_project(&self, index: usize, import: &Import) -> bool {
        let is_own = |module: &Module| !module.name.contains("node_modules/");
        !import.guarded && self.modules.get(index).is_some_and(is_own)
    }

    /// The project's own imports of modules that only exist in Node.js.
    fn warn_builtin(&mut self, index: usize, import: &Import, name: &str) {
        let base = name.strip_prefix("node:").unwrap_or(name);
        let base = base.split('/').next().unwrap_or(base);
        if !self.is_of_project(index, import) || !ABSENT_BUILTINS.contains(&base) {
            return;
        }
        let Some(module) = self.modules.get(index) else { return };
        let what = match base {
            "fs" => "a room has no files: its functions fail with ENOENT or EROFS",
            _ => "most of its functions throw when they are called",
        };
        let message = format!("\"{}\" can be imported, but {what}", import.specifier);
        self.warnings.push(Diagnostic::at(message, Path::new(&module.name), &module.source, import.start));
    }

    fn missing(&mut self, index: usize, import: &Import, missing: Missing) {
        let files = chain(&self.modules, index);
        let Some(module) = self.modules.get(index) else { return };
        let file = Path::new(&module.name);
        let mut problem = Diagnostic::at(missing.message, file, &module.source, import.start);
        problem.chain = files;
        problem.help = missing.help;
        self.errors.push(problem);
    }
}

/// What to do about a file that is no code.
fn loader_hint(file: &Path, message: &str) -> Option<String> {
    if !message.starts_with("No loader") {
        return None;
    }
    let ending = file.extension()?.to_str()?;
    Some(match ending {
        "css" | "scss" | "sass" | "less" => {
            "a server has no styles: import it from the client's code (`serve.build` in partykit.json)"
                .to_string()
        }
        _ => format!(
            "put it into the folder that `serve` names and fetch it from `room.context.assets`, or rename a copy to \
             `.bin` (ArrayBuffer) or `.txt` (text) instead of `.{ending}`"
        ),
    })
}

/// What to do about elements in a file whose name says that it has none.
fn elements_hint(file: &Path, frame: &str) -> Option<String> {
    let has_elements = frame.contains("/>") || frame.contains("</");
    let is_typescript = matches!(ending(file), ".ts" | ".mts" | ".cts");
    let name = file.with_extension("tsx");
    (has_elements && is_typescript)
        .then(|| format!("a TypeScript file with JSX is named `.tsx`: rename it to {}", name.display()))
}

/// Native add-ons: packages try them and go on without.
fn is_loaded_at_run_time(found: &Found, import: &Import) -> bool {
    import.kind != ImportKind::Static && ending(&found.path) == ".node"
}

/// What the name of a file ends with, from its last dot. Programs that a shell starts often have no ending.
fn ending(path: &Path) -> &str {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.rfind('.').and_then(|dot| name.get(dot..)).unwrap_or_default()
}

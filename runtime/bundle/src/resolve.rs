//! Resolution: from a specifier in a file to what it means (spec 6.1, 6.3). Node's algorithm with PartyKit's
//! conditions, browser fields and tsconfig paths comes from `oxc_resolver`; built-in modules are decided here, before.
//! Which tsconfig.json counts is decided here as well: the nearest one, whatever it says that it includes.

mod mains;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oxc_resolver::{
    AliasValue, Resolution, ResolveContext, ResolveError, ResolveOptions, Resolver, TsConfig,
    TsconfigDiscovery, TsconfigOptions, TsconfigReferences,
};
use tempfile::TempDir;

use crate::BundleOptions;
use crate::files::Files;
use crate::package::Packages;
use crate::paths::relative;
use crate::record::ImportKind;
use crate::settings::{ModuleHint, Settings};
use crate::tsconfig::{self, CompilerOptions};
use crate::yarn;
use mains::{Answer, Mains, is_named};

/// What a specifier means.
pub(crate) enum Resolved {
    File(Found),
    Builtin(String),
    Empty,
    /// A package that only brings `fetch` to Node.js.
    Fetch,
    Missing(Missing),
}

/// Why there is no such file, and what to do about it.
pub(crate) struct Missing {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// A file, and what its package says about it.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) hint: ModuleHint,
    pub(crate) side_effects: bool,
    /// What follows the file in the specifier, from its `?` or `#` on: with each, the file is a module of its own.
    pub(crate) suffix: String,
}

impl Found {
    /// A file of which nothing is known.
    pub(crate) fn plain(path: PathBuf) -> Self {
        Self { path, hint: ModuleHint::None, side_effects: true, suffix: String::new() }
    }

    /// Tells modules apart: the path, with the suffix after a character that no path has.
    pub(crate) fn key(&self) -> PathBuf {
        let mut key = self.path.clone().into_os_string();
        if !self.suffix.is_empty() {
            key.push("\0");
            key.push(&self.suffix);
        }
        key.into()
    }
}

/// Modules of Node.js; importing one never fails at build time.
const NODE_MODULES: &str = "assert async_hooks buffer child_process cluster console constants crypto dgram \
diagnostics_channel dns domain events fs http http2 https inspector module net os path perf_hooks process punycode \
querystring readline repl stream string_decoder sys timers tls trace_events tty url util v8 vm wasi worker_threads zlib";

/// Modules that Node.js has under their full names only.
const NODE_MODULES_BY_FULL_NAME: [&str; 4] = ["sea", "sqlite", "test", "test/reporters"];

/// What is wrong with the name of a module of Node.js, if there is none of this name.
pub(crate) fn misspelled(name: &str) -> Option<Missing> {
    let short = name.strip_prefix("node:")?;
    if builtin(short).is_some() || NODE_MODULES_BY_FULL_NAME.contains(&short) {
        return None;
    }
    let close = NODE_MODULES
        .split_ascii_whitespace()
        .filter(|known| is_near(short, known))
        .min_by_key(|known| known.len().abs_diff(short.len()));
    Some(Missing {
        message: format!("Node.js has no module \"{name}\""),
        help: close.map(|known| format!("did you mean \"node:{known}\"?")),
    })
}

/// What a relative import was probably to name: a file or folder in the same place whose name differs in its case or by one
/// letter.
fn near_file(importer: &Path, specifier: &str) -> Option<String> {
    /// Names that are looked at.
    const NAMES_MAX: usize = 1000;
    if !specifier.starts_with('.') {
        return None;
    }
    let (prefix, wanted) = specifier.rsplit_once('/')?;
    let wanted_low = wanted.to_lowercase();
    let entries = std::fs::read_dir(importer.parent()?.join(prefix)).ok()?.flatten().take(NAMES_MAX);
    let named = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'))?;
        // As it was written: with or without the ending.
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem).to_string();
        Some(if wanted.contains('.') { name } else { stem })
    });
    let near =
        named.filter(|name| is_near(&name.to_lowercase(), &wanted_low) || name.to_lowercase() == wanted_low);
    near.filter(|name| name != wanted).min().map(|name| format!("{prefix}/{name}"))
}

/// Whether two names differ by one letter that was added, left out, replaced, or swapped with the next.
fn is_near(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let start = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (one, other) = (one.get(start..).unwrap_or_default(), other.get(start..).unwrap_or_default());
    let end = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    let left = |part: &[u8]| part.get(..part.len() - end).unwrap_or_default().to_vec();
    match (left(one).as_slice(), left(other).as_slice()) {
        ([] | [_], [] | [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

/// The normalised name of a runtime module.
pub(crate) fn builtin(specifier: &str) -> Option<String> {
    if specifier.starts_with("node:") || specifier.starts_with("cloudflare:") {
        return Some(specifier.to_string());
    }
    let (name, rest) = specifier.split_once('/').map_or((specifier, None), |(name, rest)| (name, Some(rest)));
    let known = NODE_MODULES.split_ascii_whitespace().any(|module| module == name);
    let sub = |rest: &str| {
        matches!(
            (name, rest),
            ("assert", "strict")
                | ("dns" | "fs" | "readline" | "stream" | "timers", "promises")
                | ("path", "posix" | "win32")
                | ("stream", "web" | "consumers")
                | ("util", "types")
                | ("inspector", "promises")
        )
    };
    (known && rest.is_none_or(sub)).then(|| format!("node:{specifier}"))
}

/// The package that would have to be installed for a bare specifier.
pub(crate) fn package_name(specifier: &str) -> Option<String> {
    if specifier.starts_with(['.', '/', '#']) || specifier.contains(':') {
        return None;
    }
    let mut pieces = specifier.split('/');
    let first = pieces.next().filter(|name| !name.is_empty())?;
    Some(if first.starts_with('@') { format!("{first}/{}", pieces.next()?) } else { first.to_string() })
}

/// How a TypeScript configuration counts.
#[derive(Clone)]
enum Configuration {
    /// With everything that it extends.
    Whole(Arc<TsConfig>),
    /// The file, and what it says itself: what it extends cannot be read.
    Alone(PathBuf, Arc<CompilerOptions>),
}

/// Resolves specifiers of one build.
pub(crate) struct Resolve {
    import: Mains,
    require: Mains,
    /// Without what packages have for browsers; then with what they have for Node.js.
    elsewhere: [(Mains, Mains); 2],
    aliases: Vec<String>,
    pub(crate) packages: Packages,
    files: Files,
    /// Where the resolver finds Yarn's list of packages, or why that cannot be read.
    list: Result<Option<TempDir>, String>,
    root: PathBuf,
    /// The configuration of the files of each folder.
    configurations: RefCell<HashMap<PathBuf, Option<Configuration>>>,
    /// Broken configurations and what is wrong with them.
    problems: RefCell<BTreeMap<PathBuf, String>>,
}

impl Resolve {
    pub(crate) fn new(options: &BundleOptions, files: &Files) -> Self {
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let alias = |(name, value): &(String, String)| {
            let value = if value.starts_with('.') {
                options.root.join(value).to_string_lossy().into_owned()
            } else {
                value.clone()
            };
            (name.clone(), vec![AliasValue::Path(value)])
        };
        let conditions = |kind: &str| strings(&["partykit", "workerd", "worker", "browser", kind, "default"]);
        let list = files.manifest.as_deref().map_or(Ok(None), yarn::readable);
        let made = list.as_ref().ok().and_then(Option::as_ref).map(|made| made.path().to_owned());
        let base = ResolveOptions {
            // No file is looked for: each resolution is told its configuration.
            tsconfig: Some(TsconfigDiscovery::Manual(TsconfigOptions {
                config_file: PathBuf::new(),
                references: TsconfigReferences::Disabled,
            })),
            alias: options.alias.iter().map(alias).collect(),
            alias_fields: vec![strings(&["browser"])],
            extension_alias: vec![
                (".js".into(), strings(&[".js", ".ts", ".tsx"])),
                (".jsx".into(), strings(&[".jsx", ".tsx"])),
                (".mjs".into(), strings(&[".mjs", ".mts"])),
                (".cjs".into(), strings(&[".cjs", ".cts"])),
            ],
            extensions: strings(&[".tsx", ".ts", ".jsx", ".js", ".json", ".mjs", ".cjs"]),
            yarn_pnp: files.manifest.is_some(),
            // Nothing but the list is looked for there.
            cwd: Some(made.unwrap_or_else(|| options.root.clone())),
            ..ResolveOptions::default()
        };
        let known = Resolver::new(base.clone());
        let elsewhere = |others: &[&str]| {
            let base = ResolveOptions { alias_fields: Vec::new(), ..base.clone() };
            let conditions = |kind: &str| {
                strings(&[&["partykit", "workerd", "worker"][..], others, &[kind, "default"]].concat())
            };
            let made = |kind: &str| Mains::elsewhere(&known, &base, &conditions(kind));
            (made("import"), made("require"))
        };
        Self {
            elsewhere: [elsewhere(&[]), elsewhere(&["node"])],
            import: Mains::new(&known, &base, &conditions("import")),
            require: Mains::new(&known, &base, &conditions("require")),
            aliases: options.alias.iter().map(|(name, _)| name.clone()).collect(),
            packages: Packages::new(files.clone()),
            files: files.clone(),
            list,
            root: options.root.clone(),
            configurations: RefCell::default(),
            problems: RefCell::default(),
        }
    }

    fn is_aliased(&self, specifier: &str) -> bool {
        self.aliases.iter().any(|alias| {
            specifier
                .strip_prefix(alias.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// What `specifier` means in `file`.
    pub(crate) fn specifier(&self, file: &Path, specifier: &str, kind: ImportKind) -> Resolved {
        if !self.is_aliased(specifier) {
            if matches!(specifier, "partykit/server" | "partyrun/server" | "fsevents") {
                return Resolved::Empty;
            }
            if matches!(specifier, "node-fetch" | "cross-fetch" | "isomorphic-fetch" | "cross-fetch/polyfill")
            {
                return Resolved::Fetch;
            }
            // Before `browser` fields: a package's stand-in for a module that the runtime has is not wanted.
            if let Some(name) = builtin(specifier) {
                return Resolved::Builtin(name);
            }
        }
        let ask = || match kind {
            ImportKind::Require => self.by_main(&self.require, file, specifier),
            ImportKind::RequireResolve => self.resolve(&self.require.module, file, specifier),
            ImportKind::Static | ImportKind::Dynamic => self.resolve(&self.import.module, file, specifier),
        };
        let Some(resolution) = self.files.guard(ask) else {
            return Resolved::Missing(damaged(specifier));
        };
        match resolution {
            Ok(resolution) => {
                let suffix = suffix(&resolution);
                Resolved::File(Found { suffix, ..self.found(resolution.into_path_buf()) })
            }
            Err(ResolveError::Ignored(_)) => Resolved::Empty,
            Err(error) => Resolved::Missing(self.missing(file, specifier, &error)),
        }
    }

    fn found(&self, path: PathBuf) -> Found {
        let package = self.packages.of(&path);
        let (hint, side_effects) = (package.hint, package.has_side_effects(&path));
        Found { path, hint, side_effects, suffix: String::new() }
    }

    fn by_main(&self, mains: &Mains, file: &Path, specifier: &str) -> Answer {
        let folder = file.parent().unwrap_or(file);
        mains.by_main(folder, specifier, &self.packages, |resolver| self.resolve(resolver, file, specifier))
    }

    /// What an import that leads to `module` would lead to if `main` counted more: another file of the same package.
    pub(crate) fn main_instead(&self, file: &Path, specifier: &str, module: &Path) -> Option<Found> {
        if is_named(module, file.parent().unwrap_or(file), specifier) {
            return None;
        }
        let main = self.files.guard(|| self.by_main(&self.import, file, specifier))?.ok()?;
        (main.path() != module).then(|| self.found(main.into_path_buf()))
    }

    /// What a specifier means to everybody but browsers, if that is another file than the one that they get.
    pub(crate) fn without_page(
        &self,
        file: &Path,
        specifier: &str,
        kind: ImportKind,
        page: &Path,
    ) -> Option<Found> {
        self.elsewhere.iter().find_map(|(import, require)| {
            let ask = || match kind {
                ImportKind::Require => self.by_main(require, file, specifier),
                ImportKind::RequireResolve => self.resolve(&require.module, file, specifier),
                ImportKind::Static | ImportKind::Dynamic => self.resolve(&import.module, file, specifier),
            };
            let found = self.files.guard(ask)?.ok()?;
            (found.path() != page).then(|| self.found(found.into_path_buf()))
        })
    }

    fn missing(&self, file: &Path, specifier: &str, error: &ResolveError) -> Missing {
        let message = format!("Could not resolve \"{specifier}\"");
        let command = if self.files.manifest.is_some() { "yarn add" } else { "npm install" };
        let package = package_name(specifier);
        if let Some(folder) = package.as_deref().and_then(|package| installed(file, package))
            && matches!(error, ResolveError::NotFound(_) | ResolveError::ExtensionAlias(..))
        {
            let folder = relative(&self.root, &folder);
            let help = format!(
                "the package is installed in {folder}, but the file that it names for this import is not there: build \
                 it there, or install a version that is built"
            );
            return Missing { message, help: Some(help) };
        }
        let help = match package {
            Some(package) => Some(format!("{command} {package}")),
            None => near_file(file, specifier).map(|near| format!("did you mean \"{near}\"?")),
        };
        if let (Err(problem), Some(_), Some(list)) = (&self.list, &help, &self.files.manifest) {
            return self.unlisted(message, list, problem);
        }
        match error {
            ResolveError::NotFound(_)
            | ResolveError::MatchedAliasNotFound(..)
            | ResolveError::ExtensionAlias(..) => Missing { message, help },
            ResolveError::YarnPnpError(pnp::Error::FailedManifestHydration(failure)) => {
                self.unlisted(message, &failure.manifest_path, "it is not as Yarn writes it")
            }
            ResolveError::YarnPnpError(_) => Missing { message, help },
            ResolveError::Json(broken) => {
                let file = relative(&self.root, &broken.path);
                Missing { message: format!("{message}: {file}: {}", broken.message), help: None }
            }
            ResolveError::IOError(_) if self.files.manifest.is_some() => damaged(specifier),
            error => Missing { message: format!("{message}: {error}"), help },
        }
    }

    fn unlisted(&self, message: String, list: &Path, problem: &str) -> Missing {
        // One that was made for the library stands for the file that Yarn wrote.
        let list = relative(&self.root, self.files.manifest.as_deref().unwrap_or(list));
        let message = format!("{message}: the list of packages in {list} cannot be read: {problem}");
        let help = "`yarn install` writes it anew; `nodeLinker: node-modules` in .yarnrc.yml does without it";
        Missing { message, help: Some(help.into()) }
    }

    /// How a file has to be transformed.
    pub(crate) fn settings(&self, file: &Path, hint: ModuleHint, options: &BundleOptions) -> Settings {
        let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let mut settings = Settings {
            typescript: matches!(extension, "ts" | "tsx" | "mts" | "cts"),
            jsx: matches!(extension, "tsx" | "jsx"),
            hint: match extension {
                "mjs" | "mts" => ModuleHint::Esm,
                "cjs" | "cts" => ModuleHint::CommonJs,
                _ => hint,
            },
            minify: options.minify,
            defines: options.define.clone(),
            ..Settings::default()
        };
        match self.configuration(file) {
            Some(Configuration::Whole(config)) => CompilerOptions::of(&config).apply(&mut settings),
            Some(Configuration::Alone(_, options)) => options.apply(&mut settings),
            None => {}
        }
        settings
    }

    fn resolve(&self, resolver: &Resolver, file: &Path, specifier: &str) -> Answer {
        let folder = file.parent().unwrap_or(file);
        let with = |config: Option<&TsConfig>, specifier: &str| {
            resolver.resolve_with_context(folder, specifier, config, &mut ResolveContext::default())
        };
        match self.configuration(file) {
            Some(Configuration::Whole(config)) => with(Some(&config), specifier),
            Some(Configuration::Alone(path, options)) => {
                let targets = options.targets(&path, specifier);
                let mut found = targets.iter().map(|target| with(None, &target.to_string_lossy()));
                found.find_map(Result::ok).map_or_else(|| with(None, specifier), Ok)
            }
            None => with(None, specifier),
        }
    }

    /// The configuration that is nearest above a file.
    fn configuration(&self, file: &Path) -> Option<Configuration> {
        // Packages are published compiled: a tsconfig.json beside them is not meant for us.
        if file.components().any(|component| component.as_os_str() == "node_modules") {
            return None;
        }
        let folder = file.parent()?;
        if let Some(known) = self.configurations.borrow().get(folder) {
            return known.clone();
        }
        let found = partyrun_tsconfig::nearest(folder).map(|path| {
            let problem = match self.files.guard(|| self.import.module.resolve_tsconfig(&path)) {
                Some(Ok(config)) => return Configuration::Whole(config),
                Some(Err(error)) => tsconfig::problem(&error),
                None => "An archive of Yarn's is damaged".to_owned(),
            };
            if let Some(options) = CompilerOptions::chained(&path, &mut Vec::new()) {
                return Configuration::Alone(path, Arc::new(options));
            }
            self.problems.borrow_mut().insert(path.clone(), problem);
            let options = Arc::new(CompilerOptions::alone(&path));
            Configuration::Alone(path, options)
        });
        self.configurations.borrow_mut().insert(folder.to_owned(), found.clone());
        found
    }

    /// Configurations that could not be read as they are meant.
    pub(crate) fn problems(&self) -> BTreeMap<PathBuf, String> {
        self.problems.take()
    }
}

// Programs and data stay one: `x.wasm?module` is how tools for Workers name the same file.
fn suffix(found: &Resolution) -> String {
    if found.path().extension().is_some_and(|extension| extension == "wasm" || extension == "bin") {
        return String::new();
    }
    [found.query(), found.fragment()].into_iter().flatten().collect()
}

// The folder of a package that is there, although an import of it leads nowhere.
fn installed(file: &Path, package: &str) -> Option<PathBuf> {
    let mut folders = file.ancestors().skip(1).map(|folder| folder.join("node_modules").join(package));
    folders.find(|folder| folder.join("package.json").is_file())
}

fn damaged(specifier: &str) -> Missing {
    Missing {
        message: format!("Could not resolve \"{specifier}\": an archive of Yarn's is damaged"),
        help: Some("`yarn install --check-cache`".into()),
    }
}

//! Resolution: from a specifier in a file to what it means (spec 6.1, 6.3). Node's algorithm with PartyKit's
//! conditions, browser fields and tsconfig paths comes from `oxc_resolver`; built-in modules are decided here, before.

use std::path::{Path, PathBuf};

use oxc_resolver::{AliasValue, ResolveError, ResolveOptions, Resolver, SideEffects, TsConfig, TsconfigDiscovery};

use crate::BundleOptions;
use crate::record::ImportKind;
use crate::transform::{ModuleHint, Settings};

/// What a specifier means.
pub(crate) enum Resolved {
    File(Found),
    Builtin(String),
    Empty,
    Missing(String),
}

/// A file, and what its package says about it.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) hint: ModuleHint,
    pub(crate) side_effects: bool,
}

impl Found {
    /// A file of which nothing is known.
    pub(crate) fn plain(path: PathBuf) -> Self {
        Self { path, hint: ModuleHint::None, side_effects: true }
    }
}

/// Modules of Node.js; importing one never fails at build time.
const NODE_MODULES: &str = "assert async_hooks buffer child_process cluster console constants crypto dgram \
diagnostics_channel dns domain events fs http http2 https inspector module net os path perf_hooks process punycode \
querystring readline repl stream string_decoder sys timers tls trace_events tty url util v8 vm wasi worker_threads zlib";

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

/// Resolves specifiers of one build.
pub(crate) struct Resolve {
    import: Resolver,
    require: Resolver,
    aliases: Vec<String>,
}

impl Resolve {
    pub(crate) fn new(options: &BundleOptions) -> Self {
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
        let base = ResolveOptions {
            tsconfig: Some(TsconfigDiscovery::Auto),
            alias: options.alias.iter().map(alias).collect(),
            alias_fields: vec![strings(&["browser"])],
            condition_names: conditions("import"),
            extension_alias: vec![
                (".js".into(), strings(&[".js", ".ts", ".tsx"])),
                (".jsx".into(), strings(&[".jsx", ".tsx"])),
                (".mjs".into(), strings(&[".mjs", ".mts"])),
                (".cjs".into(), strings(&[".cjs", ".cts"])),
            ],
            extensions: strings(&[".tsx", ".ts", ".jsx", ".js", ".json", ".mjs", ".cjs"]),
            main_fields: strings(&["browser", "module", "main"]),
            ..ResolveOptions::default()
        };
        let import = Resolver::new(base.clone());
        let require =
            import.clone_with_options(ResolveOptions { condition_names: conditions("require"), ..base });
        Self { import, require, aliases: options.alias.iter().map(|(name, _)| name.clone()).collect() }
    }

    /// What `specifier` means in `file`.
    pub(crate) fn specifier(&self, file: &Path, specifier: &str, kind: ImportKind) -> Resolved {
        let aliased = |alias: &String| {
            specifier
                .strip_prefix(alias.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if !self.aliases.iter().any(aliased) {
            if specifier == "partykit/server" {
                return Resolved::Empty;
            }
            if let Some(name) = builtin(specifier) {
                return Resolved::Builtin(name);
            }
        }
        let resolver = if kind.is_require() { &self.require } else { &self.import };
        match resolver.resolve_file(file, specifier) {
            Ok(resolution) => {
                let hint = match resolution.package_json().and_then(|package| package.r#type()) {
                    Some(oxc_resolver::PackageType::Module) => ModuleHint::Esm,
                    Some(oxc_resolver::PackageType::CommonJs) => ModuleHint::CommonJs,
                    None => ModuleHint::None,
                };
                let side_effects = resolution.package_json().is_none_or(|package| {
                    package.side_effects().is_none_or(|listed| has_side_effects(&listed, package.directory(), resolution.path()))
                });
                Resolved::File(Found { path: resolution.path().to_path_buf(), hint, side_effects })
            }
            Err(ResolveError::Ignored(_)) => Resolved::Empty,
            Err(
                ResolveError::NotFound(_)
                | ResolveError::MatchedAliasNotFound(..)
                | ResolveError::ExtensionAlias(..),
            ) => Resolved::Missing(format!("Could not resolve \"{specifier}\"")),
            Err(error) => Resolved::Missing(format!("Could not resolve \"{specifier}\": {error}")),
        }
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
        // Packages are published compiled: a tsconfig.json beside them is not meant for us.
        if !file.components().any(|component| component.as_os_str() == "node_modules")
            && let Ok(Some(config)) = self.import.find_tsconfig(file)
        {
            apply(&config, &mut settings);
        }
        settings
    }
}

/// Whether the `sideEffects` field of a package covers a file.
fn has_side_effects(listed: &SideEffects<'_>, package: &Path, file: &Path) -> bool {
    let name = file.strip_prefix(package).unwrap_or(file).to_string_lossy();
    let covers = |pattern: &str| {
        let pattern = pattern.strip_prefix("./").or(pattern.strip_prefix('/')).unwrap_or(pattern);
        // A pattern without a folder means the file in every folder.
        if pattern.contains('/') { fast_glob::glob_match(pattern, &*name) } else { fast_glob::glob_match(format!("**/{pattern}"), &*name) }
    };
    match listed {
        SideEffects::Bool(any) => *any,
        SideEffects::String(pattern) => covers(pattern),
        SideEffects::Array(patterns) => patterns.iter().any(|pattern| covers(pattern)),
    }
}

fn apply(config: &TsConfig, settings: &mut Settings) {
    let compiler = &config.compiler_options;
    let target = compiler.target.as_deref().unwrap_or("esnext").to_ascii_lowercase();
    let is_old = matches!(
        &*target,
        "es3" | "es5" | "es6" | "es2015" | "es2016" | "es2017" | "es2018" | "es2019" | "es2020" | "es2021"
    );
    settings.assign_fields = !compiler.use_define_for_class_fields.unwrap_or(!is_old);
    settings.legacy_decorators = compiler.experimental_decorators.unwrap_or(false);
    settings.decorator_metadata = compiler.emit_decorator_metadata.unwrap_or(false);
    settings.verbatim_imports =
        compiler.verbatim_module_syntax.unwrap_or(false) || compiler.preserve_value_imports.unwrap_or(false);
    let jsx = compiler.jsx.as_deref().unwrap_or("react");
    settings.jsx_automatic = matches!(jsx, "react-jsx" | "react-jsxdev");
    settings.jsx_development = jsx == "react-jsxdev";
    settings.jsx_factory.clone_from(&compiler.jsx_factory);
    settings.jsx_fragment.clone_from(&compiler.jsx_fragment_factory);
    settings.jsx_source.clone_from(&compiler.jsx_import_source);
}

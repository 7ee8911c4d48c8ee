//! From files to a program: the bundle, and the code cache kept between runs.
//!
//! The cache is named after the bundle's hash and V8's version and flags; V8 checks it once more before it uses it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use partyrun_bundle::{Bundle, BundleOptions, Bundler, SourceMap};
use partyrun_config::Config;
use partyrun_engine::Program;
use partyrun_limits::Limits;

use crate::debugger::{self, Debugger};
use crate::error::BuildError;

/// What a bundle is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For `dev`: run here, on this port, and built again on changes.
    Development { port: u16 },
    /// For `start`: run here, on this port.
    Production { port: u16 },
    /// For a file that runs somewhere.
    Release,
}

/// Builds one project again and again.
pub(crate) struct Builder {
    bundler: Bundler,
    config: Arc<Config>,
    port: u16,
    conceal_errors: bool,
    debug: bool,
    cache: PathBuf,
    outdir: Option<PathBuf>,
}

/// What a program is made from, besides the configuration.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) code: String,
    pub(crate) source_map: SourceMap,
    pub(crate) hash: String,
    /// The names of all parties, `main` last.
    pub(crate) parties: Vec<String>,
    pub(crate) wasm: Vec<Bytes>,
    pub(crate) binaries: Vec<Bytes>,
}

/// Parts with what is known of their making.
pub(crate) struct Bundled {
    pub(crate) parts: Parts,
    pub(crate) inputs: Vec<PathBuf>,
    pub(crate) warnings: Vec<String>,
}

/// A program with what is known of its making.
#[derive(Clone)]
pub(crate) struct Built {
    pub(crate) program: Arc<Program>,
    pub(crate) hash: String,
    pub(crate) inputs: Vec<PathBuf>,
    pub(crate) warnings: Vec<String>,
}

impl Builder {
    pub(crate) fn new(
        config: Arc<Config>,
        mode: Mode,
        limits: Limits,
        outdir: Option<PathBuf>,
    ) -> Result<Self, BuildError> {
        let cache = config.root.join(".partyrun/cache");
        let mut define: Vec<_> =
            config.defines.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let port = match mode {
            Mode::Development { port } | Mode::Production { port } => port,
            Mode::Release => config.port.unwrap_or(crate::error::PORT),
        };
        if !config.defines.contains_key("PARTYKIT_HOST") {
            define.push(("PARTYKIT_HOST".to_string(), format!("\"127.0.0.1:{port}\"")));
        }
        let is_production = !matches!(mode, Mode::Development { .. }) || config.minify;
        if is_production && !config.defines.contains_key("process.env.NODE_ENV") {
            define.push(("process.env.NODE_ENV".to_string(), "\"production\"".to_string()));
        }
        let options = BundleOptions {
            root: config.root.clone(),
            main: config.entry()?.to_path_buf(),
            parties: config.parties.clone(),
            define,
            alias: config.build.alias.iter().map(|(from, to)| (from.clone(), to.clone())).collect(),
            minify: config.minify,
            cache_dir: Some(cache.clone()),
            limits,
            ..BundleOptions::default()
        };
        keep_out_of_git(&config.root);
        let conceal_errors = !matches!(mode, Mode::Development { .. });
        Ok(Self { bundler: Bundler::new(options), config, port, conceal_errors, debug: false, cache, outdir })
    }

    /// Gives programs what debuggers need.
    pub(crate) fn for_debuggers(mut self, debugger: Option<&Debugger>) -> Self {
        self.debug = debugger.is_some();
        if debugger.is_some_and(|debugger| debugger.pauses_first) {
            self.bundler = self.bundler.pausing_first();
        }
        self
    }

    /// The bundle of the files as they are now.
    pub(crate) fn parts(&mut self) -> Result<Bundled, BuildError> {
        let bundle = self.bundler.build()?;
        self.write_out(&bundle)?;
        let names = self.config.parties.iter().map(|(name, _)| name.clone());
        let parts = Parts {
            code: bundle.code,
            source_map: bundle.source_map,
            hash: bundle.hash,
            parties: names.chain(["main".to_string()]).collect(),
            wasm: bundle.wasm.into_iter().map(|(_, bytes)| bytes).collect(),
            binaries: bundle.binaries.into_iter().map(|(_, bytes)| bytes).collect(),
        };
        let warnings = bundle.warnings.iter().map(ToString::to_string).collect();
        Ok(Bundled { parts, inputs: bundle.inputs, warnings })
    }

    /// The same as a program.
    pub(crate) fn build(&mut self) -> Result<Built, BuildError> {
        let Bundled { parts, inputs, warnings } = self.parts()?;
        let mut program = program(&parts, &self.config, self.port)?;
        program.conceal_errors = self.conceal_errors;
        program.files = self.files();
        if self.debug {
            program.debug = debugger::debug_map(parts.source_map.as_ref(), &self.config.root);
        }
        self.code_cache(&parts.hash).load(&program);
        Ok(Built { program: Arc::new(program), hash: parts.hash, inputs, warnings })
    }

    // The file of each party.
    fn files(&self) -> HashMap<String, String> {
        let main = self.config.main.iter().map(|path| ("main", path));
        let parties = self.config.parties.iter().map(|(name, path)| (name.as_str(), path));
        let named = |path: &Path| path.strip_prefix(&self.config.root).unwrap_or(path).display().to_string();
        main.chain(parties).map(|(name, path)| (name.to_string(), named(path))).collect()
    }

    /// Where the code cache of the bundle with this hash is kept.
    pub(crate) fn code_cache(&self, hash: &str) -> CodeCache {
        CodeCache::new(&self.cache, hash)
    }

    fn write_out(&self, bundle: &Bundle) -> Result<(), BuildError> {
        let Some(outdir) = &self.outdir else { return Ok(()) };
        let name = self.config.entry()?.file_stem().unwrap_or_default().to_owned();
        let path = outdir.join(name).with_extension("js");
        std::fs::create_dir_all(outdir)
            .and_then(|()| std::fs::write(&path, &bundle.code))
            .map_err(|error| BuildError::Write { path: path.display().to_string(), error })
    }
}

/// A program of these parts, with the environment that the configuration has.
pub(crate) fn program(parts: &Parts, config: &Config, port: u16) -> Result<Program, BuildError> {
    let mut program = Program::new(&parts.code, Some(Arc::new(parts.source_map.clone())))?;
    program.host = format!("127.0.0.1:{port}");
    program.env = serde_json::Value::Object(config.vars.clone()).to_string();
    program.process_env =
        config.process_env.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    program.parties.clone_from(&parts.parties);
    program.resources = crate::bindings::resources(config).to_string();
    program.wasm.clone_from(&parts.wasm);
    program.binaries.clone_from(&parts.binaries);
    Ok(program)
}

/// The code cache of one bundle on disk.
pub(crate) struct CodeCache {
    folder: PathBuf,
    path: PathBuf,
}

impl CodeCache {
    pub(crate) fn new(folder: &Path, hash: &str) -> Self {
        let path = folder.join(format!("{hash}-{:08x}.v8", partyrun_engine::code_cache_tag()));
        Self { folder: folder.to_owned(), path }
    }

    /// Gives the program what an earlier run has kept.
    pub(crate) fn load(&self, program: &Program) {
        if let Ok(cache) = std::fs::read(&self.path) {
            program.set_code_cache(cache);
        }
    }

    /// Keeps the code cache of a program that has run. A folder that cannot be written costs the next start some
    /// milliseconds and nothing else.
    pub(crate) fn keep(&self, program: &Program) {
        let Some(cache) = program.code_cache() else { return };
        // A longer one has functions of more parties and events.
        if self.path.metadata().is_ok_and(|kept| kept.len() >= cache.len() as u64) {
            return;
        }
        let draft = self.path.with_extension(format!("{}.draft", std::process::id()));
        let kept = std::fs::create_dir_all(&self.folder)
            .and_then(|()| std::fs::write(&draft, &cache))
            .and_then(|()| std::fs::rename(&draft, &self.path));
        if kept.is_err() {
            let _gone = std::fs::remove_file(&draft);
            return;
        }
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let old = entry.path();
            if old != self.path && old.extension().is_some_and(|extension| extension == "v8") {
                let _gone = std::fs::remove_file(old);
            }
        }
    }
}

// `.partyrun` holds data and caches, never sources.
fn keep_out_of_git(root: &Path) {
    let ignore = root.join(".partyrun/.gitignore");
    if !ignore.exists() && std::fs::create_dir_all(root.join(".partyrun")).is_ok() {
        // Without it, git shows the folder; that is all.
        let _unwritable = std::fs::write(ignore, "*\n");
    }
}

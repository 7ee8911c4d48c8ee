//! From files to a program: the project's own build command, the bundle, and the code cache kept between runs.
//!
//! The cache is named after the bundle's hash and V8's version and flags; V8 checks it once more before it uses it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use partyrun_bundle::{Bundle, BundleErrors, BundleOptions, Bundler};
use partyrun_config::{Config, ConfigError};
use partyrun_engine::{Program, ProgramError};

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("Custom build failed: `{command}` ended with {status}.")]
    Command { command: String, status: std::process::ExitStatus },
    #[error("Custom build failed: `{command}` could not be started: {error}")]
    CommandStart { command: String, error: std::io::Error },
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Bundle(#[from] BundleErrors),
    #[error("The bundle cannot be run: {0}. This is a bug of partyrun.")]
    Program(#[from] ProgramError),
    #[error("Could not write the bundle to {path}: {error}")]
    Write { path: String, error: std::io::Error },
}

/// Runs `build.command`, if there is one, with the project's own tools on its path as npm scripts have them.
pub(crate) fn run_command(config: &Config) -> Result<(), BuildError> {
    let Some(command) = &config.build.command else { return Ok(()) };
    let tools = config.root.join("node_modules/.bin");
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([tools].into_iter().chain(std::env::split_paths(&inherited)));
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).current_dir(&config.build.cwd);
    if let Ok(path) = path {
        shell.env("PATH", path);
    }
    match shell.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(BuildError::Command { command: command.clone(), status }),
        Err(error) => Err(BuildError::CommandStart { command: command.clone(), error }),
    }
}

/// Builds one project again and again.
pub(crate) struct Builder {
    bundler: Bundler,
    config: Arc<Config>,
    host: String,
    cache: PathBuf,
    outdir: Option<PathBuf>,
}

/// A program with what is known of its making.
pub(crate) struct Built {
    pub(crate) program: Arc<Program>,
    pub(crate) hash: String,
    pub(crate) inputs: Vec<PathBuf>,
    pub(crate) warnings: Vec<String>,
}

impl Builder {
    pub(crate) fn new(config: Arc<Config>, port: u16, outdir: Option<PathBuf>) -> Result<Self, BuildError> {
        let host = format!("127.0.0.1:{port}");
        let cache = config.root.join(".partyrun/cache");
        let mut define: Vec<_> =
            config.defines.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        if !config.defines.contains_key("PARTYKIT_HOST") {
            define.push(("PARTYKIT_HOST".to_string(), format!("\"{host}\"")));
        }
        let options = BundleOptions {
            root: config.root.clone(),
            main: config.entry()?.to_path_buf(),
            parties: config.parties.clone(),
            define,
            alias: config.build.alias.iter().map(|(from, to)| (from.clone(), to.clone())).collect(),
            minify: config.minify,
            cache_dir: Some(cache.clone()),
        };
        keep_out_of_git(&config.root);
        Ok(Self { bundler: Bundler::new(options), config, host, cache, outdir })
    }

    pub(crate) fn build(&mut self) -> Result<Built, BuildError> {
        let bundle = self.bundler.build()?;
        self.write_out(&bundle)?;
        let config = &self.config;
        let mut program = Program::new(&bundle.code, Some(bundle.source_map))?;
        program.env = serde_json::Value::Object(config.vars.clone()).to_string();
        program.process_env =
            config.process_env.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        program.parties =
            config.parties.iter().map(|(name, _)| name.clone()).chain(["main".to_string()]).collect();
        program.host = self.host.clone();
        program.wasm = bundle.wasm.into_iter().map(|(_, bytes)| bytes).collect();
        program.binaries = bundle.binaries.into_iter().map(|(_, bytes)| bytes).collect();
        if let Ok(cache) = std::fs::read(self.code_cache_path(&bundle.hash)) {
            program.set_code_cache(cache);
        }
        Ok(Built {
            program: Arc::new(program),
            hash: bundle.hash,
            inputs: bundle.inputs,
            warnings: bundle.warnings.iter().map(ToString::to_string).collect(),
        })
    }

    /// Keeps the code cache of a program that has run. A folder that cannot be written costs the next start some
    /// milliseconds and nothing else.
    pub(crate) fn keep_code_cache(&self, hash: &str, program: &Program) {
        let path = self.code_cache_path(hash);
        let Some(cache) = program.code_cache().filter(|_| !path.exists()) else { return };
        let draft = path.with_extension(format!("{}.draft", std::process::id()));
        let kept = std::fs::create_dir_all(&self.cache)
            .and_then(|()| std::fs::write(&draft, &cache))
            .and_then(|()| std::fs::rename(&draft, &path));
        if kept.is_err() {
            let _gone = std::fs::remove_file(&draft);
            return;
        }
        for entry in std::fs::read_dir(&self.cache).into_iter().flatten().flatten() {
            let old = entry.path();
            if old != path && old.extension().is_some_and(|extension| extension == "v8") {
                let _gone = std::fs::remove_file(old);
            }
        }
    }

    fn code_cache_path(&self, hash: &str) -> PathBuf {
        self.cache.join(format!("{hash}-{:08x}.v8", partyrun_engine::code_cache_tag()))
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

// `.partyrun` holds data and caches, never sources.
fn keep_out_of_git(root: &Path) {
    let ignore = root.join(".partyrun/.gitignore");
    if !ignore.exists() && std::fs::create_dir_all(root.join(".partyrun")).is_ok() {
        // Without it, git shows the folder; that is all.
        let _unwritable = std::fs::write(ignore, "*\n");
    }
}

//! The configuration of a project as the rest of partyrun sees it: absolute paths, merged values, nothing left to
//! decide.
//!
//! Only [`crate::load`] makes one. What depends on the chosen port (`PARTYKIT_HOST`) is added by the caller.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::discover::{self, Source};
use crate::file::Format;
use crate::host::Host;
use crate::near;
use crate::problem::ConfigError;

/// Everything that flags, files and environment say about a project.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder that the command runs in, as an absolute path.
    pub cwd: PathBuf,
    /// The project's folder: that of the configuration file, else the working folder.
    pub root: PathBuf,
    /// Where the configuration comes from.
    pub source: Source,
    /// The environment files that were read, in their order.
    pub env_files: Vec<PathBuf>,
    /// The project's name, from `--name`, `partykit.json` or `package.json`.
    pub name: Option<String>,
    /// The module of the party `main`; ask [`Config::entry`] for it.
    pub main: Option<PathBuf>,
    /// The other parties and their modules, which exist.
    pub parties: Vec<(String, PathBuf)>,
    /// The port that a flag, `PORT` or `partykit.json` asks for. Without one the caller takes its own default.
    pub port: Option<u16>,
    /// The addresses to listen on, from `--host`.
    pub host: Host,
    /// Static files; `None` if the project serves none.
    pub serve: Option<Serve>,
    /// Whether and where storage is kept.
    pub persist: Persist,
    /// What `room.env` and `lobby.env` hold: the `vars` of `partykit.json`, of environment files and of flags, merged.
    pub vars: Map<String, Value>,
    /// `process.env`: the keys of the environment files.
    pub process_env: IndexMap<String, String>,
    /// Names replaced at build time by JavaScript source.
    pub defines: IndexMap<String, String>,
    /// The command that the project is built with before it is bundled, and the files that it is made from.
    pub build: Build,
    /// Whether the server bundle is minified.
    pub minify: bool,
    /// Whether all rooms of a worker share an isolate.
    pub shares_isolates: bool,
    /// How messages and responses are compressed; `None` if they are not.
    pub compression: Option<Compression>,
    /// The origins of web pages that may open WebSockets; none if all may.
    pub allowed_origins: Option<Vec<String>>,
    /// Which web pages may read what is answered; none leaves that to the project.
    pub cors: Option<Cors>,
    /// The Workers compatibility date; accepted and kept for messages, without effect.
    pub compatibility_date: Option<String>,
    /// The Workers compatibility flags; accepted, without effect.
    pub compatibility_flags: Vec<String>,
    /// Cron names and their expressions, whose syntax is right.
    pub crons: Vec<(String, String)>,
    /// The endpoint of `room.context.ai`, if configured.
    pub ai: Option<Ai>,
    /// Vector indexes: the name in `context.vectorize`, and the index that it means.
    pub vectorize: Vec<(String, String)>,
    /// The KV namespaces and buckets of `context.bindings`.
    pub bindings: Bindings,
    /// Where `main` was named, as messages show it.
    pub(crate) main_place: String,
    /// Lines to print once at the start, such as which environment files were read.
    pub notes: Vec<String>,
    /// Mistakes that do not stop the project from running; print each as a warning.
    pub warnings: Vec<String>,
}

/// How messages and responses are compressed for clients that ask for it. `None` leaves it to the caller's defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compression {
    /// The length from which a message is compressed.
    pub message_bytes_min: Option<usize>,
    /// From 1 (fast) to 9 (small).
    pub level: Option<u8>,
    /// Whether a message may refer to earlier ones of its socket.
    pub context_takeover: bool,
}

/// Static files (spec 1.7).
#[derive(Clone, Debug, PartialEq)]
pub struct Serve {
    /// The folder. It need not exist yet.
    pub path: PathBuf,
    /// The client code to bundle into the folder; `None` if the folder is served as it is.
    pub build: Option<ClientBuild>,
    /// Globs of files to serve; empty means all.
    pub include: Vec<String>,
    /// Globs of files not to serve; they win over `include`.
    pub exclude: Vec<String>,
    /// Seconds for which a browser may keep a file.
    pub browser_ttl_seconds: Option<u64>,
    /// Whether navigations to unknown paths get `index.html`.
    pub single_page_app: bool,
    /// Whether pages that nothing builds reload when a file of the folder changes.
    pub live: bool,
}

/// What is answered to web pages of other origins, with the defaults filled in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cors {
    /// The origins that may read answers; none if all may.
    pub origins: Option<Vec<String>>,
    /// The methods that preflights allow; empty means the common ones.
    pub methods: Vec<String>,
    /// The request headers that preflights allow; empty means all that are asked for.
    pub headers: Vec<String>,
    /// The response headers that pages may read.
    pub expose_headers: Vec<String>,
    /// Whether pages may send cookies.
    pub credentials: bool,
    /// Seconds for which a preflight is remembered.
    pub max_age_seconds: Option<u64>,
}

/// A client bundle (spec 6.5), with the defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientBuild {
    /// The entries, as absolute paths. They may not exist; the build says so.
    pub entries: Vec<PathBuf>,
    /// Whether imports are bundled; otherwise each entry is only transformed.
    pub bundle: bool,
    /// Whether shared code becomes chunks.
    pub splitting: bool,
    /// Specifiers that stay imports in the output.
    pub external: Vec<String>,
    /// The output folder, as an absolute path.
    pub outdir: PathBuf,
    /// Whether the output is minified; `None` leaves it to the mode (not in development, else yes).
    pub minify: Option<bool>,
    /// Specifiers, and the ones that are imported in their place.
    pub alias: IndexMap<String, String>,
    /// The module format.
    pub format: Format,
    /// Whether pages reload after a build.
    pub live: bool,
    /// Whether source maps are written.
    pub sourcemap: bool,
    /// Defines of the client only, on top of [`Config::defines`].
    pub define: IndexMap<String, String>,
    /// Names of loaders by file extension, with its dot.
    pub loader: IndexMap<String, String>,
}

/// Whether storage outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Persist {
    /// In the default folder of the project.
    Default(PathBuf),
    /// In a folder that was named.
    Path(PathBuf),
    /// Not: storage lives as long as the process.
    No,
}

impl Persist {
    /// The data folder, or `None` if nothing is kept beyond the process. The folder need not exist.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Default(path) | Self::Path(path) => Some(path),
            Self::No => None,
        }
    }
}

/// The project's own build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// A shell command, run before the start and on changes.
    pub command: Option<String>,
    /// The folder it runs in.
    pub cwd: PathBuf,
    /// What is watched for changes; only meant if there is a command.
    pub watch: Vec<PathBuf>,
    /// Modules that stand in for others in the server bundle.
    pub alias: IndexMap<String, String>,
}

/// The endpoint of `room.context.ai`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ai {
    /// The gateway's address.
    pub gateway: Option<String>,
    /// The gateway's token.
    pub token: Option<String>,
    /// The account.
    pub account: Option<String>,
}

/// Local stores, each a name and what it is called on the hosting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bindings {
    /// Object stores: the name in `context.bindings.r2`, and the bucket.
    pub r2: Vec<(String, String)>,
    /// Key-value stores: the name in `context.bindings.kv`, and the namespace.
    pub kv: Vec<(String, String)>,
}

impl Config {
    /// The module of the party `main`, which exists. To be asked after the project's own build has run, because that
    /// may be what makes it.
    pub fn entry(&self) -> Result<&Path, ConfigError> {
        let Some(path) = self.main.as_deref() else {
            return Err(ConfigError::MissingMain { hint: self.missing_main_hint() });
        };
        if path.exists() {
            return Ok(path);
        }
        let shown = format!("./{}", discover::shown(&self.cwd, path).display());
        let near = near::hint(path, &self.root, &self.cwd);
        Err(ConfigError::MainNotFound { shown, place: self.main_place.clone(), path: path.to_owned(), near })
    }

    fn missing_main_hint(&self) -> String {
        match &self.source {
            Source::Named(file) | Source::Found(file) => {
                let file = discover::shown(&self.cwd, file);
                format!(
                    "{}: add `\"main\": \"src/server.ts\"`, or name the file: `partyrun dev src/server.ts`",
                    file.display()
                )
            }
            Source::PackageJson(_) | Source::Nothing => {
                "name the file: `partyrun dev src/server.ts`, or write a partykit.json with `\"main\"`"
                    .to_owned()
            }
        }
    }
}

//! Makes one [`Config`] from the flags and the files.
//!
//! The only entry, [`load`], reads the files, validates them, applies the flags and makes every path absolute. `main`
//! and `parties` are relative to their file, or to the working folder if they come from a flag. All other paths in a
//! file are relative to the project: the file's folder if the file was found by searching upwards, the working folder if
//! it was named with `--config` (spec 4.1, 4.3).

use std::path::{Path, PathBuf};

use crate::check::{self, Checked};
use crate::config::{Ai, Bindings, Build, ClientBuild, Compression, Config, Cors, Persist, Serve};
use crate::discover::{self, Source, absolute};
use crate::environment;
use crate::file::{
    OneOrMany, RawAi, RawBuild, RawClientBuild, RawCompression, RawConfig, RawCors, RawPersist, RawServe,
    Short,
};
use crate::host::Host;
use crate::origin;
use crate::problem::{ConfigError, Problem, Spot, brief};
use crate::validate;

/// The folder that holds a project's data unless another is named.
const PERSIST_DIRECTORY: &str = ".partyrun";

/// What the command line asks to read.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The folder the command was called in, absolute.
    pub cwd: PathBuf,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--env-file`, each.
    pub env_files: Vec<PathBuf>,
    /// The folder whose `.env` stands in for one that is found upwards from `cwd`, if it has one: that of a release.
    pub env_beside: Option<PathBuf>,
    /// Variables of the process's own environment that are passed on.
    pub environment: Vec<(String, String)>,
    /// Whether environment files are left alone.
    pub without_env_files: bool,
    /// Whether `.env.local` is read: in development.
    pub env_local: bool,
    /// The flags that stand in for fields.
    pub overrides: Overrides,
}

impl Request {
    /// What a command asks that only looks for a project's data: its flags `--config` and `--persist`, and no environment.
    pub fn for_data(cwd: &Path, config: Option<&Path>, persist: Option<&str>) -> Self {
        let overrides = Overrides { persist: persist.map(str::to_owned), ..Overrides::default() };
        Self {
            cwd: cwd.to_path_buf(),
            config: config.map(Path::to_path_buf),
            without_env_files: true,
            overrides,
            ..Self::default()
        }
    }
}

/// What flags said; `None` and empty mean that they said nothing.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The script, relative to the working folder.
    pub main: Option<String>,
    /// `--name`.
    pub name: Option<String>,
    /// `--port`.
    pub port: Option<u16>,
    /// `--host`.
    pub host: Option<Host>,
    /// `--serve`, which replaces the whole object of the file.
    pub serve: Option<String>,
    /// `--persist`: `true`, `false` or a folder.
    pub persist: Option<String>,
    /// `--var`, split at the first `=`.
    pub vars: Vec<(String, String)>,
    /// `--define`, split at the first `=`.
    pub defines: Vec<(String, String)>,
    /// `--with-env`.
    pub with_env: bool,
    /// `--minify`.
    pub minify: Option<bool>,
    /// `--isolation`: `room` or `worker`.
    pub isolation: Option<String>,
    /// `--compression`: `true` or `false`.
    pub compression: Option<bool>,
    /// `--live`.
    pub live: bool,
    /// `--allowed-origin`, each.
    pub allowed_origins: Vec<String>,
    /// `--compatibility-date`.
    pub compatibility_date: Option<String>,
    /// `--compatibility-flags`.
    pub compatibility_flags: Vec<String>,
}

/// Reads everything that says something about the project.
pub fn load(request: &Request) -> Result<Config, ConfigError> {
    let cwd = &request.cwd;
    let mut source = discover::configuration(cwd, request.config.as_deref());
    let checked = match &source {
        Source::Named(path) | Source::Found(path) => check::file(cwd, path)?,
        Source::PackageJson(path) => match check::package_json(cwd, path)? {
            Some(checked) => checked,
            None => {
                source = Source::Nothing;
                Checked::default()
            }
        },
        Source::Nothing => Checked::default(),
    };
    let env = match request.without_env_files {
        true => environment::EnvFiles::default(),
        false => {
            environment::read(cwd, request.env_beside.as_deref(), &request.env_files, request.env_local)?
        }
    };
    let Checked { raw, mut problems, mut notes, mut warnings } = checked;
    problems.extend(check_overrides(&request.overrides));
    if !problems.is_empty() {
        return Err(ConfigError::Invalid(problems));
    }
    for path in &env.paths {
        notes.push(format!("Loading environment variables from {}", discover::shown(cwd, path).display()));
    }
    if !request.environment.is_empty() {
        let names: Vec<&str> = request.environment.iter().map(|(name, _)| name.as_str()).collect();
        notes.push(format!("From the environment: {}", names.join(", ")));
    }
    if request.overrides.with_env {
        for key in env.variables.keys().filter(|key| !environment::is_define_name(key)) {
            warnings.push(format!(
                "`{key}` in an environment file is not an identifier, so `--with-env` leaves it out"
            ));
        }
    }
    Ok(merge(request, source, raw, env, notes, warnings))
}

fn merge(
    request: &Request,
    source: Source,
    raw: RawConfig,
    mut env: environment::EnvFiles,
    notes: Vec<String>,
    mut warnings: Vec<String>,
) -> Config {
    let Request { cwd, overrides, .. } = request;
    let root = source.path().and_then(Path::parent).unwrap_or(cwd).to_owned();
    let base = if matches!(source, Source::Named(_)) { cwd } else { &root };
    let main = match &overrides.main {
        Some(script) => Some(absolute(cwd, script)),
        None => raw.main.as_deref().filter(|main| !main.is_empty()).map(|main| absolute(&root, main)),
    };
    let main_place = match source.path().filter(|_| overrides.main.is_none()) {
        Some(file) => discover::shown(cwd, file).display().to_string(),
        None => "command line".to_owned(),
    };
    // Constants are of the build; what the process is given later is not.
    let with_env = overrides.with_env.then(|| env.variables.clone());
    let serve = serve(overrides, raw.serve, cwd, base);
    // One that a build makes need not be there yet.
    let is_made = raw.build.command.is_some() || serve.as_ref().is_some_and(|serve| serve.build.is_some());
    if let Some(serve) = serve.as_ref().filter(|serve| !is_made && !serve.path.is_dir()) {
        warnings
            .push(format!("`serve`: there is no folder {}; nothing is served from it", serve.path.display()));
    }
    env.variables.extend(request.environment.iter().cloned());
    let allowed_origins = match overrides.allowed_origins.as_slice() {
        [] => raw.allowed_origins.map(OneOrMany::into_vec),
        flags => Some(flags.to_vec()),
    };
    Config {
        name: overrides.name.clone().or(raw.name),
        main,
        main_place,
        parties: raw.parties.into_iter().map(|(name, path)| (name, absolute(&root, &path))).collect(),
        port: overrides.port.or(raw.port),
        host: overrides.host.unwrap_or_default(),
        serve,
        persist: persist(overrides.persist.as_deref(), raw.persist, cwd, &root),
        vars: environment::room_env(raw.vars, &env.variables, &overrides.vars),
        defines: environment::defines(with_env.as_ref(), raw.define, &overrides.defines),
        process_env: env.variables,
        build: build(raw.build, base),
        minify: overrides.minify.or(raw.minify).unwrap_or(false),
        shares_isolates: overrides.isolation.as_deref().or(raw.isolation.as_deref()) == Some("worker"),
        compression: compression(overrides.compression, raw.compression),
        cors: cors(raw.cors, allowed_origins.as_ref()),
        allowed_origins,
        compatibility_date: overrides.compatibility_date.clone().or(raw.compatibility_date),
        compatibility_flags: if overrides.compatibility_flags.is_empty() {
            raw.compatibility_flags
        } else {
            overrides.compatibility_flags.clone()
        },
        crons: raw.crons.into_iter().collect(),
        ai: ai(raw.ai),
        vectorize: raw
            .vectorize
            .into_iter()
            .map(|(name, index)| match index {
                Short::Short(index) => (name, index),
                Short::Full(index) => (name, index.index_name),
            })
            .collect(),
        bindings: Bindings {
            r2: raw.bindings.r2.into_iter().collect(),
            kv: raw.bindings.kv.into_iter().collect(),
        },
        env_files: env.paths,
        cwd: cwd.clone(),
        root,
        source,
        notes,
        warnings,
    }
}

fn serve(
    overrides: &Overrides,
    raw: Option<Short<String, RawServe>>,
    cwd: &Path,
    base: &Path,
) -> Option<Serve> {
    let plain = |path: PathBuf| Serve {
        path,
        build: None,
        include: Vec::new(),
        exclude: Vec::new(),
        browser_ttl_seconds: None,
        single_page_app: false,
        live: overrides.live,
    };
    if let Some(path) = &overrides.serve {
        return Some(plain(absolute(cwd, path)));
    }
    match raw? {
        Short::Short(path) => Some(plain(absolute(base, &path))),
        Short::Full(serve) => {
            // Without a folder nothing is served nor built (spec 6.5).
            let path = absolute(base, serve.path.as_deref()?);
            let build = serve.build.and_then(|build| client_build(build, &path, base, overrides.live));
            Some(Serve {
                live: overrides.live && build.is_none(),
                build,
                include: serve.include,
                exclude: serve.exclude,
                browser_ttl_seconds: serve.browser_ttl.map(|seconds| seconds as u64),
                single_page_app: serve.single_page_app,
                path,
            })
        }
    }
}

fn client_build(
    build: Short<String, RawClientBuild>,
    served: &Path,
    base: &Path,
    live: bool,
) -> Option<ClientBuild> {
    let build = match build {
        Short::Short(entry) => {
            RawClientBuild { entry: Some(OneOrMany::One(entry)), ..RawClientBuild::default() }
        }
        Short::Full(build) => build,
    };
    let entries: Vec<PathBuf> = build.entry?.into_vec().iter().map(|entry| absolute(base, entry)).collect();
    Some(ClientBuild {
        entries,
        bundle: build.bundle.unwrap_or(true),
        splitting: build.splitting.unwrap_or(true),
        external: build.external,
        outdir: build.outdir.map_or_else(|| served.join("dist"), |outdir| absolute(base, &outdir)),
        minify: build.minify,
        alias: build.alias,
        format: build.format.unwrap_or_default(),
        live: live || build.live,
        sourcemap: build.sourcemap.unwrap_or(true),
        define: build.define,
        loader: build.loader,
    })
}

/// The original lets its flag's default win over the file's value, so that the file's is never honoured; here it is
/// (spec 3.7).
fn persist(flag: Option<&str>, raw: Option<RawPersist>, cwd: &Path, root: &Path) -> Persist {
    let default = || Persist::Default(root.join(PERSIST_DIRECTORY));
    match (flag, raw) {
        (Some("true"), _) | (None, None) => default(),
        (Some("false"), _) => Persist::No,
        (Some(path), _) => Persist::Path(absolute(cwd, path)),
        (None, Some(Short::Short(kept))) => {
            if kept {
                default()
            } else {
                Persist::No
            }
        }
        (None, Some(Short::Full(path))) => match path.as_str() {
            "true" => default(),
            "false" => Persist::No,
            path => Persist::Path(absolute(root, path)),
        },
    }
}

/// The flag turns it on or off; how it is done stands in the file only.
fn compression(flag: Option<bool>, raw: Option<Short<bool, RawCompression>>) -> Option<Compression> {
    let (wanted, how) = match raw {
        None => (true, RawCompression::default()),
        Some(Short::Short(wanted)) => (wanted, RawCompression::default()),
        Some(Short::Full(how)) => (true, how),
    };
    // The numbers are whole and in range.
    flag.unwrap_or(wanted).then(|| Compression {
        message_bytes_min: how.min_bytes.map(|bytes| bytes as usize),
        level: how.level.map(|level| level as u8),
        context_takeover: how.context_takeover,
    })
}

fn build(raw: RawBuild, base: &Path) -> Build {
    let watch = raw.watch.map_or_else(|| vec!["src".to_owned()], OneOrMany::into_vec);
    Build {
        command: raw.command,
        cwd: raw.cwd.map_or_else(|| base.to_owned(), |cwd| absolute(base, &cwd)),
        watch: watch.iter().map(|path| absolute(base, path)).collect(),
        alias: raw.alias,
    }
}

fn cors(raw: Option<Short<bool, RawCors>>, allowed: Option<&Vec<String>>) -> Option<Cors> {
    let raw = match raw? {
        Short::Short(false) => return None,
        Short::Short(true) => RawCors::default(),
        Short::Full(cors) => cors,
    };
    Some(Cors {
        origins: raw.origins.map(OneOrMany::into_vec).or_else(|| allowed.cloned()),
        methods: raw.methods,
        headers: raw.headers,
        expose_headers: raw.expose_headers,
        credentials: raw.credentials,
        max_age_seconds: raw.max_age.map(|seconds| seconds as u64),
    })
}

fn ai(raw: Option<Short<bool, RawAi>>) -> Option<Ai> {
    match raw? {
        Short::Short(false) => None,
        Short::Short(true) => Some(Ai::default()),
        Short::Full(ai) => Some(Ai { gateway: ai.api_gateway, token: ai.api_token, account: ai.api_account }),
    }
}

/// Flags whose values the command line cannot judge.
fn check_overrides(overrides: &Overrides) -> Vec<Problem> {
    let mut problems = Vec::new();
    let spot = |place: &str, field: &str, fix: String| {
        vec![Spot { place: place.to_owned(), field: field.to_owned(), fix }]
    };
    if let Some(name) = overrides.name.as_deref().filter(|name| !validate::is_slug(name)) {
        let fix = format!("`{}` may hold lower-case letters, digits, `-` and `_` only", brief(name));
        let message = "must satisfy /^[a-z0-9_-]+$/ at \"name\"".to_owned();
        problems.push(Problem { message, of_schema: true, spots: spot("--name", "name", fix) });
    }
    for text in &overrides.allowed_origins {
        if let Err(fix) = origin::check(text) {
            let message = format!("Invalid origin '{}'", brief(text));
            problems.push(Problem { message, of_schema: false, spots: spot("--allowed-origin", text, fix) });
        }
    }
    for (name, _) in overrides.defines.iter().filter(|(name, _)| !environment::is_define_name(name)) {
        let message = format!("The define key \"{}\" must be a valid identifier", brief(name));
        let fix = "write `--define NAME=value`, where NAME may have dots".to_owned();
        problems.push(Problem { message, of_schema: false, spots: spot("--define", name, fix) });
    }
    problems
}

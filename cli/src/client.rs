//! The client bundle of a project (`serve.build`): built before the server starts, and in `dev` again after changes.
//!
//! In development it is watched and rebuilt on its own, so an edit of the page never touches rooms.

use std::sync::Arc;
use std::time::Instant;

use partyrun_client::{ClientBuild, ClientBundler, ClientError, ClientOptions, Format, Loader};
use partyrun_config::Config;
use partyrun_server::{RELOAD_PATH, Reload};

use crate::build::Mode;
use crate::output::Output;
use crate::watch::Watch;

/// A client bundle that has been built once.
pub(crate) struct Client {
    bundler: ClientBundler,
    /// Whether pages reload after a build.
    live: bool,
}

/// Builds the client if the configuration asks for one.
pub(crate) fn build(config: &Config, mode: Mode, output: &Output) -> Result<Option<Client>, ClientError> {
    let Some(options) = options(config, mode) else { return Ok(None) };
    let live = options.reload.is_some();
    let mut bundler = ClientBundler::new(options);
    let built = output.while_waiting("Bundling the client", || blocking(&mut bundler))?;
    output.warnings(&built.warnings);
    Ok(Some(Client { bundler, live }))
}

/// Builds the client into a folder that goes again; returns the number of its files, if there is a client.
pub(crate) fn check(config: &Config, output: &Output) -> Result<Option<usize>, ClientError> {
    let Some(mut options) = options(config, Mode::Release) else { return Ok(None) };
    let folder = std::env::temp_dir().join(format!("partyrun-check-{}", std::process::id()));
    options.outdir.clone_from(&folder);
    let mut bundler = ClientBundler::new(options);
    let built = output.while_waiting("Bundling the client", || blocking(&mut bundler));
    // It does not exist if the build failed.
    let _gone = std::fs::remove_dir_all(&folder);
    let built = built?;
    output.warnings(&built.warnings);
    Ok(Some(built.files.len()))
}

impl Client {
    /// Builds again after each change, and tells pages, until it is aborted.
    pub(crate) async fn follow(mut self, output: Arc<Output>, reload: Reload) {
        let mut watch = match Watch::new(Vec::new(), Vec::new()) {
            Ok(watch) => watch,
            Err(error) => {
                output.problem(&format!(
                    "Files of the client cannot be watched ({error}): restart partyrun to load changes."
                ));
                return;
            }
        };
        let say = |problems: Vec<String>| problems.iter().for_each(|problem| output.problem(problem));
        say(watch.built(self.bundler.inputs()));
        let mut failed = false;
        loop {
            watch.changed().await;
            let begun = Instant::now();
            let result = self.bundler.build().await;
            say(watch.built(self.bundler.inputs()));
            match result {
                Ok(built) => {
                    output.warnings(&built.warnings);
                    if built.changed {
                        output.note(&format!("Client updated in {} ms", begun.elapsed().as_millis()));
                    }
                    if failed && !built.changed {
                        output.note("The client builds again; nothing else changed.");
                    }
                    // A page that shows the problem must stop doing so.
                    if (built.changed || failed) && self.live {
                        reload.tell();
                    }
                    failed = false;
                }
                Err(error) => {
                    say(watch.failed(&[]));
                    let text = error.to_string();
                    output.problem(&text);
                    output.note("The last working client bundle is still served.");
                    if self.live {
                        reload.tell_problem(&text);
                    }
                    failed = true;
                }
            }
        }
    }
}

// rolldown reads and parses on tokio's threads.
fn blocking(bundler: &mut ClientBundler) -> Result<ClientBuild, ClientError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(ClientError::Threads)?.block_on(bundler.build())
}

fn options(config: &Config, mode: Mode) -> Option<ClientOptions> {
    let build = config.serve.as_ref()?.build.as_ref()?;
    let development = matches!(mode, Mode::Development { .. });
    let own = |(name, value): (&String, &String)| (name.clone(), value.clone());
    let mut define: Vec<_> = config.defines.iter().map(own).collect();
    if !config.defines.contains_key("PARTYKIT_HOST") {
        let host = match mode {
            Mode::Development { port } => format!("\"127.0.0.1:{port}\""),
            // Where the page comes from, whatever name the server has there.
            Mode::Production { .. } | Mode::Release => "globalThis.location.host".to_owned(),
        };
        define.push(("PARTYKIT_HOST".to_owned(), host));
    }
    define.extend(build.define.iter().map(own));
    let loader = build.loader.iter();
    Some(ClientOptions {
        cwd: config.root.clone(),
        entries: build.entries.clone(),
        outdir: build.outdir.clone(),
        bundle: build.bundle,
        splitting: build.splitting,
        minify: build.minify.unwrap_or(!development),
        sourcemap: build.sourcemap,
        format: match build.format {
            partyrun_config::Format::Esm => Format::Esm,
            partyrun_config::Format::Cjs => Format::Cjs,
            partyrun_config::Format::Iife => Format::Iife,
        },
        external: build.external.clone(),
        alias: build.alias.iter().map(own).collect(),
        define,
        loader: loader
            .filter_map(|(extension, name)| Some((extension.clone(), Loader::named(name, extension)?)))
            .collect(),
        reload: (development && build.live).then(|| RELOAD_PATH.to_owned()),
    })
}

//! Client bundles: `serve.build` of the configuration (spec 6.5), from the browser's entries to files in `outdir`.
//!
//! [`ClientBundler::build`] bundles the entries with rolldown, which does what our own bundler for the server does not:
//! ECMAScript modules for browsers with shared chunks, split at dynamic imports. Style sheets are ours (`css`), because
//! rolldown has none: each `.css` file becomes an empty module, and its sheet is collected for its entry. A file is
//! written only if its content changed, so browsers see no change where there is none. A build never overwrites one of
//! its own inputs. Only this crate knows rolldown.

mod css;
mod error;
mod jsx;
mod loader;
mod options;
mod output;
mod plugin;
mod shared;
mod tsconfig;
mod typing;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use rolldown::{BundlerBuilder, TsConfig};
use rolldown_error::{BatchedBuildDiagnostic, EventKind};

pub use error::ClientError;
pub use loader::Loader;
pub use options::{ClientOptions, Format};

use output::Outputs;
use plugin::Loading;
use shared::Shared;
use tsconfig::Alone;

/// The result of a successful build.
#[derive(Debug)]
pub struct ClientBuild {
    /// Every file of the output, in the order of their names.
    pub files: Vec<PathBuf>,
    /// Whether the content of any of them is new.
    pub changed: bool,
    /// The files that the output was made from, to be watched.
    pub inputs: Vec<PathBuf>,
    /// Mistakes that did not fail the build; print each as a warning.
    pub warnings: Vec<String>,
}

/// Builds the same entries again and again.
#[derive(Debug)]
pub struct ClientBundler {
    options: ClientOptions,
    written: HashSet<PathBuf>,
    inputs: Vec<PathBuf>,
}

impl ClientBundler {
    /// A bundler for these options, which have been checked by the configuration.
    pub fn new(options: ClientOptions) -> Self {
        Self { options, written: HashSet::new(), inputs: Vec::new() }
    }

    /// The files that the last build looked at, also if it failed. Without a build before, the entries.
    pub fn inputs(&self) -> Vec<PathBuf> {
        if self.inputs.is_empty() { self.options.entries.clone() } else { self.inputs.clone() }
    }

    /// Bundles, and writes what is new. Needs a tokio runtime with more than one thread.
    pub async fn build(&mut self) -> Result<ClientBuild, ClientError> {
        let mut outputs = Outputs::default();
        let mut inputs = HashSet::new();
        let mut warnings = Vec::new();
        let mut failure = None;
        for entries in self.options.groups() {
            let tsconfig = entries.first().and_then(|entry| partyrun_tsconfig::nearest(entry.parent()?));
            let shared = Arc::new(Shared::new(&self.options, tsconfig.clone()));
            shared.watch(tsconfig.iter().cloned());
            let own = tsconfig.clone().map(TsConfig::Manual).unwrap_or_default();
            let mut built = self.bundle(&entries, &shared, own, &mut outputs, &mut warnings).await;
            if let Err(ClientError::TsConfig(problem)) = &built {
                // What the entry's configuration says counts, as far as it can be found. One of another folder counts
                // for nothing.
                let alone = tsconfig.as_deref().and_then(Alone::of);
                let other = alone.as_ref().map(|alone| TsConfig::Manual(alone.path().to_owned()));
                if let Some(other) = other.or(tsconfig.is_none().then_some(TsConfig::Auto(false))) {
                    if !alone.as_ref().is_some_and(|alone| alone.is_whole) {
                        warnings.push(problem.clone());
                    }
                    built = self.bundle(&entries, &shared, other, &mut outputs, &mut warnings).await;
                }
            }
            if let Err(error) = built {
                failure.get_or_insert(error);
            }
            inputs.extend(shared.inputs());
        }
        self.inputs = inputs.into_iter().collect();
        self.inputs.sort();
        if let Some(error) = failure {
            return Err(error);
        }
        let written = outputs.write(&self.options.outdir, &self.inputs, &self.written)?;
        self.written = written.files.iter().cloned().collect();
        Ok(ClientBuild {
            files: written.files,
            changed: written.changed,
            inputs: self.inputs.clone(),
            warnings,
        })
    }

    // Bundles one group of entries, whose chunks may be shared.
    async fn bundle(
        &self,
        entries: &[PathBuf],
        shared: &Arc<Shared>,
        tsconfig: TsConfig,
        outputs: &mut Outputs,
        warnings: &mut Vec<String>,
    ) -> Result<(), ClientError> {
        let plugin = Arc::new(Loading::new(shared.clone()));
        let mut bundler = BundlerBuilder::default()
            .with_options(self.options.rolldown(
                entries,
                tsconfig,
                shared.elements(entries.first()).development,
            ))
            .with_plugins(vec![plugin])
            .build()
            .map_err(|errors| ClientError::Code(errors.iter().map(error::text).collect()))?;
        let generated = bundler.generate().await;
        shared.watch(bundler.watch_files().iter().map(|file| PathBuf::from(file.as_str())));
        let closed = bundler.close().await;
        let explained = |errors: BatchedBuildDiagnostic| {
            if let Some(found) = errors.iter().find(|error| matches!(error.kind(), EventKind::TsConfigError))
            {
                return ClientError::TsConfig(error::text(found));
            }
            ClientError::Code(errors.iter().map(|found| shared.explain(error::text(found))).collect())
        };
        let bundle = generated.map_err(explained)?;
        closed.map_err(explained)?;
        // A package that is not there is only a warning for rolldown: an import that some host might know.
        let (missing, others): (Vec<_>, Vec<_>) =
            bundle.warnings.iter().partition(|warning| matches!(warning.kind(), EventKind::UnresolvedImport));
        if !missing.is_empty() {
            return Err(ClientError::Code(missing.into_iter().map(error::text).collect()));
        }
        // Whatever a configuration says of elements, `jsx` has heard it.
        let heard = |kind| matches!(kind, EventKind::ConfigurationFieldConflict);
        warnings.extend(others.into_iter().filter(|warning| !heard(warning.kind())).map(error::text));
        for asset in &bundle.assets {
            outputs.add(asset.filename(), asset.content_as_bytes().to_vec());
        }
        for (name, content) in shared.sheets() {
            outputs.add(&name, content.into_bytes());
        }
        warnings.append(&mut shared.take_warnings());
        Ok(())
    }
}

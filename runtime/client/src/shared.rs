//! What the hooks of one bundle find, collected from the many threads that rolldown calls them on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ClientOptions;
use crate::css::order::bundle;
use crate::css::sheet::Sheet;
use crate::jsx::{Configurations, Elements};
use crate::loader::Loaders;

/// What rolldown says in the place of our reason.
const THREW: &str = "plugin `partyrun` threw an error";

/// What the hooks of one bundle find.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) loaders: Loaders,
    pub(crate) cwd: PathBuf,
    pub(crate) minify: bool,
    /// The output folder, if source maps are wanted.
    maps_in: Option<PathBuf>,
    state: Mutex<State>,
}

/// What they have found by now.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) inputs: BTreeSet<PathBuf>,
    pub(crate) sheets: BTreeMap<PathBuf, Sheet>,
    /// For each entry its output's name and the style sheets that its modules import, in order.
    pub(crate) entries: Vec<(String, Vec<PathBuf>)>,
    pub(crate) warnings: Vec<String>,
    pub(crate) configurations: Configurations,
    /// Why a module could not be loaded: rolldown only says which.
    pub(crate) reasons: Vec<(PathBuf, String)>,
}

impl Shared {
    pub(crate) fn new(options: &ClientOptions) -> Self {
        Self {
            loaders: options.loaders(),
            cwd: options.cwd.clone(),
            minify: options.minify,
            maps_in: options.sourcemap.then(|| options.outdir.clone()),
            state: Mutex::default(),
        }
    }

    /// What was found by now.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A panic of another hook leaves nothing half done here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers files that the output depends on.
    pub(crate) fn watch(&self, files: impl Iterator<Item = PathBuf>) {
        self.state().inputs.extend(files.filter(|file| file.is_absolute()));
    }

    /// What becomes of the elements of a file, before its pragmas.
    pub(crate) fn elements(&self, file: Option<&PathBuf>) -> Elements {
        let mut state = self.state();
        let (elements, read) = file.map(|file| state.configurations.of(file)).unwrap_or_default();
        state.inputs.extend(read);
        elements
    }

    pub(crate) fn warn(&self, warning: String) {
        self.state().warnings.push(warning);
    }

    /// Adds to a diagnostic why the module that it names could not be loaded.
    pub(crate) fn explain(&self, diagnostic: String) -> String {
        let state = self.state();
        let reason = state.reasons.iter().find(|(path, _)| {
            let shown = path.strip_prefix(&self.cwd).unwrap_or(path);
            diagnostic.contains(&format!("Could not load {}\n", shown.display()))
        });
        match reason {
            Some((_, reason)) => format!("{}\n{reason}", diagnostic.replace(THREW, "this import")),
            None => diagnostic,
        }
    }

    pub(crate) fn inputs(&self) -> Vec<PathBuf> {
        self.state().inputs.iter().cloned().collect()
    }

    pub(crate) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.state().warnings)
    }

    /// The style sheet of each entry that has one, and its source map: names and contents.
    pub(crate) fn sheets(&self) -> Vec<(String, String)> {
        let state = self.state();
        let mut files = Vec::new();
        for (name, roots) in state.entries.iter().filter(|(_, roots)| !roots.is_empty()) {
            let mut sheet = bundle(roots, &state.sheets, &self.cwd, self.minify);
            if let Some(outdir) = &self.maps_in {
                files.push((format!("{name}.css.map"), sheet.map(outdir)));
                // Names of entries may have folders; the map lies beside the sheet.
                let beside = name.rsplit('/').next().unwrap_or(name);
                sheet.text.push_str(&format!("/*# sourceMappingURL={beside}.css.map */\n"));
            }
            files.push((format!("{name}.css"), sheet.text));
        }
        files
    }
}

//! What the hooks of one bundle find, collected from the many threads that rolldown calls them on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use crate::ClientOptions;
use crate::css::order::bundle;
use crate::css::sheet::Sheet;
use crate::jsx::{Configurations, Elements};
use crate::loader::Loaders;
use crate::tsconfig;
use crate::typing::Typing;

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
    /// The configuration that rolldown goes by.
    config: Option<PathBuf>,
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
    /// The options of configurations, each read once.
    options: HashMap<PathBuf, Arc<Map<String, Value>>>,
    /// Why a module could not be loaded: rolldown only says which.
    pub(crate) reasons: Vec<(PathBuf, String)>,
}

impl Shared {
    /// For a bundle whose entry has this configuration.
    pub(crate) fn new(options: &ClientOptions, config: Option<PathBuf>) -> Self {
        Self {
            config,
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

    // The configuration of a file. Packages are published compiled: neither their own nor the project's is meant for them.
    fn config_of(&self, file: &Path) -> Option<PathBuf> {
        let is_published = file.components().any(|component| component.as_os_str() == "node_modules");
        file.parent().filter(|_| !is_published).and_then(partyrun_tsconfig::nearest)
    }

    fn options(&self, config: PathBuf) -> Arc<Map<String, Value>> {
        let mut state = self.state();
        if let Some(known) = state.options.get(&config) {
            return known.clone();
        }
        let (options, read) = tsconfig::options(&config);
        let options = Arc::new(options);
        state.inputs.extend(read);
        state.options.insert(config, options.clone());
        options
    }

    /// What becomes of a TypeScript file, where rolldown would make something else of it.
    pub(crate) fn typing(&self, file: &Path) -> Option<Typing> {
        let config = self.config_of(file);
        let rolldown = match &self.config {
            Some(config) => Typing::of_rolldown(&self.options(config.clone())),
            // Without a configuration of the entry it looks for that of each file.
            None => Typing::of_rolldown(&self.options(config.clone()?)),
        };
        let wanted = config.map(|config| Typing::of(&self.options(config))).unwrap_or_default();
        (wanted != rolldown).then_some(wanted)
    }

    /// Where a name in a file may lead by the file's configuration, if that is not the one that rolldown goes by.
    pub(crate) fn places(&self, file: &Path, name: &str) -> Vec<PathBuf> {
        let config = self.config_of(file).filter(|config| self.config.as_ref() != Some(config));
        config.map(|config| tsconfig::places(&self.options(config), name)).unwrap_or_default()
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

//! What rolldown asks us while it bundles: style sheets, files without a loader, JSX pragmas.
//!
//! rolldown calls from many threads; their results are collected in [`Shared`], one for each bundle.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, anyhow};
use rolldown::plugin::{
    HookGenerateBundleArgs, HookLoadArgs, HookLoadOutput, HookLoadReturn, HookNoopReturn, HookTransformArgs,
    HookTransformOutput, HookTransformOutputMap, HookTransformReturn, HookUsage, Plugin, PluginContext,
    SharedLoadPluginContext, SharedTransformPluginContext,
};
use rolldown_common::side_effects::HookSideEffects;
use rolldown_common::{ModuleType, Output};

use crate::ClientOptions;
use crate::css::{self, Sheet};
use crate::jsx::{Configurations, Elements};
use crate::loader::{self, Loader, Loaders};

const NAME: &str = "partyrun";
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

#[derive(Debug, Default)]
struct State {
    inputs: BTreeSet<PathBuf>,
    sheets: BTreeMap<PathBuf, Sheet>,
    /// For each entry its output's name and the style sheets that its modules import, in order.
    entries: Vec<(String, Vec<PathBuf>)>,
    warnings: Vec<String>,
    configurations: Configurations,
    /// Why a module could not be loaded: rolldown only says which.
    reasons: Vec<(PathBuf, String)>,
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

    fn state(&self) -> MutexGuard<'_, State> {
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
            let mut sheet = css::bundle(roots, &state.sheets, &self.cwd, self.minify);
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

/// The plugin.
#[derive(Debug)]
pub(crate) struct Loading {
    shared: Arc<Shared>,
}

impl Loading {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    // The code of a module that rolldown cannot load itself; an error for a file that has no loader.
    async fn module(&self, context: &PluginContext, id: &str) -> anyhow::Result<Option<String>> {
        if !Path::new(id).is_absolute() {
            // A module that rolldown makes itself.
            return Ok(None);
        }
        match self.shared.loaders.of(id) {
            Some(Loader::Css) => self.style(context, id, false).await.map(Some),
            Some(Loader::LocalCss) => self.style(context, id, true).await.map(Some),
            // Whatever is imported of it is undefined; as in esbuild, that is no mistake of the one who imports.
            Some(Loader::Empty) => Ok(Some("module.exports = {};".to_owned())),
            Some(_) => Ok(None),
            None => {
                let extension = loader::extension(id);
                Err(anyhow!(
                    "No loader is configured for \"{extension}\" files: {}\n  \
                     add to `serve.build` in the configuration: \"loader\": {{ \"{extension}\": \"file\" }}",
                    Path::new(id).strip_prefix(&self.shared.cwd).unwrap_or(Path::new(id)).display()
                ))
            }
        }
    }

    // Reads a style sheet and all that it imports; returns the module that stands for it in the code.
    async fn style(&self, context: &PluginContext, id: &str, local: bool) -> anyhow::Result<String> {
        let mut code = String::new();
        let mut waiting = vec![(PathBuf::from(id), local)];
        let mut seen = HashSet::new();
        while let Some((path, local)) = waiting.pop() {
            if !seen.insert(path.clone()) {
                continue;
            }
            self.shared.watch(std::iter::once(path.clone()));
            let text = tokio::fs::read_to_string(&path)
                .await
                .with_context(|| format!("Could not read {}", path.display()))?;
            let sheet = css::read(context, &self.shared, &path, &text, local).await?;
            if path == Path::new(id) {
                code = sheet.module();
            }
            for imported in sheet.imported() {
                let local = self.shared.loaders.of(&imported.to_string_lossy()) == Some(Loader::LocalCss);
                waiting.push((imported.to_owned(), local));
            }
            self.shared.state().sheets.insert(path, sheet);
        }
        Ok(code)
    }

    // The style sheets below a module in the order in which the modules are evaluated.
    fn styles_below(context: &PluginContext, entry: &str, known: &BTreeMap<PathBuf, Sheet>) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut seen = HashSet::from([entry.to_owned()]);
        // A stack instead of recursion: a graph may be deeper than a thread's stack. `true` means that the imports of
        // the module have been looked at. Dynamic imports come after all others.
        let mut later = Vec::new();
        let mut stack = vec![(entry.to_owned(), false)];
        while let Some((id, entered)) = stack.pop().or_else(|| later.pop()) {
            if entered {
                let path = PathBuf::from(&id);
                if known.contains_key(&path) {
                    found.push(path);
                }
                continue;
            }
            stack.push((id.clone(), true));
            let Some(info) = context.get_module_info(&id) else { continue };
            for imported in info.imported_ids.iter().rev() {
                if seen.insert(imported.as_str().to_owned()) {
                    stack.push((imported.as_str().to_owned(), false));
                }
            }
            for imported in info.dynamically_imported_ids.iter().rev() {
                if seen.insert(imported.as_str().to_owned()) {
                    later.push((imported.as_str().to_owned(), false));
                }
            }
        }
        found
    }
}

impl Plugin for Loading {
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(NAME)
    }

    fn register_hook_usage(&self) -> HookUsage {
        HookUsage::Load | HookUsage::Transform | HookUsage::GenerateBundle
    }

    async fn load(&self, context: SharedLoadPluginContext, args: &HookLoadArgs<'_>) -> HookLoadReturn {
        let id = args.id.split(['?', '#']).next().unwrap_or(args.id);
        let loaded = self.module(&context, id).await;
        if let Err(error) = &loaded {
            self.shared.state().reasons.push((PathBuf::from(id), format!("{error:#}")));
        }
        Ok(loaded?.map(|code| HookLoadOutput {
            code: code.into(),
            map: None,
            side_effects: Some(HookSideEffects::True),
            module_type: Some(ModuleType::Js),
        }))
    }

    async fn transform(
        &self,
        _context: SharedTransformPluginContext,
        args: &HookTransformArgs<'_>,
    ) -> HookTransformReturn {
        if !matches!(args.module_type, ModuleType::Jsx | ModuleType::Tsx) {
            return Ok(None);
        }
        let file = PathBuf::from(args.id.split(['?', '#']).next().unwrap_or(args.id));
        let (code, problems) = self.shared.elements(Some(&file)).apply(args.code);
        let shown = file.strip_prefix(&self.shared.cwd).unwrap_or(&file);
        problems.into_iter().for_each(|problem| self.shared.warn(format!("{}: {problem}", shown.display())));
        // Only columns of the first line move, and in front of them stands a comment.
        let map = HookTransformOutputMap::Null;
        Ok(Some(HookTransformOutput { code: Some(code), map, ..HookTransformOutput::default() }))
    }

    async fn generate_bundle(
        &self,
        context: &PluginContext,
        args: &mut HookGenerateBundleArgs<'_>,
    ) -> HookNoopReturn {
        let mut state = self.shared.state();
        for output in args.bundle.iter() {
            let Output::Chunk(chunk) = output else { continue };
            let Some(module) = chunk.facade_module_id.as_ref().filter(|_| chunk.is_entry) else { continue };
            if chunk.is_dynamic_entry {
                continue;
            }
            let styles = Self::styles_below(context, module.as_str(), &state.sheets);
            state.entries.push((chunk.name.to_string(), styles));
        }
        Ok(())
    }
}

//! What rolldown asks us while it bundles: style sheets, files without a loader, and what the configuration of a file says that is
//! not the entry's.
//!
//! rolldown calls from many threads; their results are collected in [`Shared`], one for each bundle.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use rolldown::plugin::{
    HookGenerateBundleArgs, HookLoadArgs, HookLoadOutput, HookLoadReturn, HookNoopReturn, HookResolveIdArgs,
    HookResolveIdOutput, HookResolveIdReturn, HookTransformArgs, HookTransformOutput, HookTransformOutputMap,
    HookTransformReturn, HookUsage, Plugin, PluginContext, SharedLoadPluginContext,
    SharedTransformPluginContext,
};
use rolldown_common::side_effects::HookSideEffects;
use rolldown_common::{ModuleType, Output};

use crate::css;
use crate::css::sheet::Sheet;
use crate::loader::{self, Loader};
use crate::shared::Shared;

const NAME: &str = "partyrun";

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
        HookUsage::ResolveId | HookUsage::Load | HookUsage::Transform | HookUsage::GenerateBundle
    }

    async fn resolve_id(&self, context: &PluginContext, args: &HookResolveIdArgs<'_>) -> HookResolveIdReturn {
        let is_name = !args.specifier.starts_with(['.', '/']);
        let Some(importer) = args.importer.filter(|_| is_name) else { return Ok(None) };
        let file = importer.split(['?', '#']).next().unwrap_or(importer);
        for place in self.shared.places(Path::new(file), args.specifier) {
            if let Ok(found) = context.resolve(&place.to_string_lossy(), Some(importer), None).await? {
                return Ok(Some(HookResolveIdOutput::from_resolved_id(found)));
            }
        }
        Ok(None)
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
        let (is_typed, has_elements) = match args.module_type {
            ModuleType::Ts => (true, false),
            ModuleType::Tsx => (true, true),
            ModuleType::Jsx => (false, true),
            _ => return Ok(None),
        };
        let file = PathBuf::from(args.id.split(['?', '#']).next().unwrap_or(args.id));
        let mut elements = has_elements.then(|| self.shared.elements(Some(&file)));
        let problems = elements.as_mut().map(|elements| elements.read_all(args.code)).unwrap_or_default();
        let shown = file.strip_prefix(&self.shared.cwd).unwrap_or(&file);
        problems.into_iter().for_each(|problem| self.shared.warn(format!("{}: {problem}", shown.display())));
        let typing = self.shared.typing(&file).filter(|_| is_typed);
        let plain = typing.and_then(|typing| typing.apply(&file.to_string_lossy(), args.code, has_elements));
        let module_type = plain.as_ref().map(|_| if has_elements { ModuleType::Jsx } else { ModuleType::Js });
        let (code, map) = match plain {
            Some((code, map)) => (Some(code), map),
            None => (None, None),
        };
        let code = match elements {
            // The problems were told above.
            Some(elements) => Some(elements.apply(code.as_deref().unwrap_or(args.code)).0),
            None => code,
        };
        // Of elements only columns of the first line move, and in front of them stands a comment.
        let map = map.map_or(HookTransformOutputMap::Null, HookTransformOutputMap::from);
        Ok(code.map(|code| HookTransformOutput {
            code: Some(code),
            map,
            module_type,
            ..HookTransformOutput::default()
        }))
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

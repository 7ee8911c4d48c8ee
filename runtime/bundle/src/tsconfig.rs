//! TypeScript configurations: which settings of the nearest `tsconfig.json` a file is compiled with, whatever that says of
//! the files that it includes. One whose `extends` cannot be followed still counts with what it says itself, and gives a
//! warning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oxc_resolver::{ResolveError, TsConfig};
use serde::Deserialize;

use crate::settings::Settings;

/// The options that concern the compiler.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CompilerOptions {
    target: Option<String>,
    use_define_for_class_fields: Option<bool>,
    experimental_decorators: Option<bool>,
    emit_decorator_metadata: Option<bool>,
    verbatim_module_syntax: Option<bool>,
    preserve_value_imports: Option<bool>,
    jsx: Option<String>,
    jsx_factory: Option<String>,
    jsx_fragment_factory: Option<String>,
    jsx_import_source: Option<String>,
    base_url: Option<PathBuf>,
    paths: BTreeMap<String, Vec<String>>,
}

/// So many configurations are read for one.
const EXTENDS_MAX: usize = 32;

impl CompilerOptions {
    /// With everything that the file extends.
    pub(crate) fn of(config: &TsConfig) -> Self {
        let options = &config.compiler_options;
        Self {
            target: options.target.clone(),
            use_define_for_class_fields: options.use_define_for_class_fields,
            experimental_decorators: options.experimental_decorators,
            emit_decorator_metadata: options.emit_decorator_metadata,
            verbatim_module_syntax: options.verbatim_module_syntax,
            preserve_value_imports: options.preserve_value_imports,
            jsx: options.jsx.clone(),
            jsx_factory: options.jsx_factory.clone(),
            jsx_fragment_factory: options.jsx_fragment_factory.clone(),
            jsx_import_source: options.jsx_import_source.clone(),
            // Only asked for of a file that stands alone: the resolver knows those of the others.
            base_url: None,
            paths: BTreeMap::new(),
        }
    }

    /// Where `paths` and `baseUrl` lead a specifier, best first. `config` is the file that says them.
    pub(crate) fn targets(&self, config: &Path, specifier: &str) -> Vec<PathBuf> {
        if specifier.starts_with(['.', '/']) {
            return Vec::new();
        }
        let folder = config.parent().unwrap_or(config);
        let base = self.base_url.as_ref().map(|url| folder.join(url));
        let exact = self.paths.get(specifier).map(|targets| (targets, ""));
        let mapped = exact.or_else(|| {
            let matching = self.paths.iter().filter_map(|(pattern, targets)| {
                let (before, after) = pattern.split_once('*')?;
                let matched = specifier.strip_prefix(before)?.strip_suffix(after)?;
                Some((before.len(), (targets, matched)))
            });
            matching.max_by_key(|(length, _)| *length).map(|(_, found)| found)
        });
        let root = base.as_deref().unwrap_or(folder);
        let targets = mapped.into_iter().flat_map(|(targets, matched)| {
            targets.iter().map(move |target| root.join(target.replacen('*', matched, 1)))
        });
        let mut targets: Vec<_> = targets.collect();
        targets.extend(base.as_ref().map(|base| base.join(specifier)));
        targets
    }

    /// What a file says itself.
    pub(crate) fn alone(path: &Path) -> Self {
        partyrun_tsconfig::parse(path).and_then(Self::written).unwrap_or_default()
    }

    /// With everything that the file extends, where the resolver does not find it: what a package's `tsconfig` names. `read` is
    /// given all files that were read; none if one is missing.
    pub(crate) fn chained(path: &Path, read: &mut Vec<PathBuf>) -> Option<Self> {
        // A circle ends here as well.
        if read.len() == EXTENDS_MAX {
            return None;
        }
        read.push(path.to_owned());
        let file = partyrun_tsconfig::parse(path)?;
        let mut options = Self::default();
        for specifier in partyrun_tsconfig::extended(&file) {
            let base = Self::chained(&partyrun_tsconfig::base(path, &specifier)?, read)?;
            options = base.over(options);
        }
        Some(Self::written(file)?.absolute(path).over(options))
    }

    // A file without options has the defaults; one whose options are of other types has none that count.
    fn written(mut file: serde_json::Value) -> Option<Self> {
        match file.get_mut("compilerOptions") {
            Some(options) => serde_json::from_value(options.take()).ok(),
            None => file.is_object().then(Self::default),
        }
    }

    fn over(self, base: Self) -> Self {
        Self {
            target: self.target.or(base.target),
            use_define_for_class_fields: self
                .use_define_for_class_fields
                .or(base.use_define_for_class_fields),
            experimental_decorators: self.experimental_decorators.or(base.experimental_decorators),
            emit_decorator_metadata: self.emit_decorator_metadata.or(base.emit_decorator_metadata),
            verbatim_module_syntax: self.verbatim_module_syntax.or(base.verbatim_module_syntax),
            preserve_value_imports: self.preserve_value_imports.or(base.preserve_value_imports),
            jsx: self.jsx.or(base.jsx),
            jsx_factory: self.jsx_factory.or(base.jsx_factory),
            jsx_fragment_factory: self.jsx_fragment_factory.or(base.jsx_fragment_factory),
            jsx_import_source: self.jsx_import_source.or(base.jsx_import_source),
            base_url: self.base_url.or(base.base_url),
            paths: if self.paths.is_empty() { base.paths } else { self.paths },
        }
    }

    /// Paths count from the file that says them.
    fn absolute(mut self, config: &Path) -> Self {
        let folder = config.parent().unwrap_or(config);
        self.base_url = self.base_url.map(|url| folder.join(url));
        let root = self.base_url.as_deref().unwrap_or(folder);
        for target in self.paths.values_mut().flatten() {
            *target = root.join(&*target).to_string_lossy().into_owned();
        }
        self
    }

    /// Turns the options into ours.
    pub(crate) fn apply(&self, settings: &mut Settings) {
        let target = self.target.as_deref().unwrap_or("esnext").to_ascii_lowercase();
        let is_old = matches!(
            &*target,
            "es3"
                | "es5"
                | "es6"
                | "es2015"
                | "es2016"
                | "es2017"
                | "es2018"
                | "es2019"
                | "es2020"
                | "es2021"
        );
        settings.assign_fields = !self.use_define_for_class_fields.unwrap_or(!is_old);
        settings.legacy_decorators = self.experimental_decorators.unwrap_or(false);
        settings.decorator_metadata = self.emit_decorator_metadata.unwrap_or(false);
        settings.verbatim_imports =
            self.verbatim_module_syntax.unwrap_or(false) || self.preserve_value_imports.unwrap_or(false);
        let jsx = self.jsx.as_deref().unwrap_or("react");
        settings.jsx_automatic = matches!(jsx, "react-jsx" | "react-jsxdev");
        settings.jsx_development = jsx == "react-jsxdev";
        settings.jsx_factory.clone_from(&self.jsx_factory);
        settings.jsx_fragment.clone_from(&self.jsx_fragment_factory);
        settings.jsx_source.clone_from(&self.jsx_import_source);
    }
}

/// What is wrong with a configuration.
pub(crate) fn problem(error: &ResolveError) -> String {
    match error {
        ResolveError::TsconfigNotFound(path) => {
            format!("Cannot find the base configuration \"{}\"", path.display())
        }
        ResolveError::TsconfigSelfReference(path) => {
            format!("The configuration \"{}\" refers to itself", path.display())
        }
        ResolveError::TsconfigCircularExtend(_) => "Configurations extend each other in a circle".to_owned(),
        ResolveError::TsconfigLoadFailed { source, .. } => problem(source),
        ResolveError::Json(error) => format!("{}: {}", error.path.display(), error.message),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_their_targets() {
        let paths = [("~/*", ["./src/*"]), ("~/lib/*", ["./lib/*"]), ("exact", ["./src/exact.ts"])];
        let paths = paths.map(|(pattern, targets)| (pattern.to_owned(), targets.map(str::to_owned).to_vec()));
        let mut options = CompilerOptions { paths: paths.into(), ..CompilerOptions::default() };
        let targets = |options: &CompilerOptions, specifier| -> Vec<String> {
            let found = options.targets(Path::new("/p/tsconfig.json"), specifier);
            found.iter().map(|path| path.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(targets(&options, "~/a/b"), ["/p/./src/a/b"]);
        assert_eq!(targets(&options, "~/lib/b"), ["/p/./lib/b"]);
        assert_eq!(targets(&options, "exact"), ["/p/./src/exact.ts"]);
        assert!(targets(&options, "other").is_empty() && targets(&options, "./~/a").is_empty());
        options.base_url = Some("base".into());
        assert_eq!(targets(&options, "~/a"), ["/p/base/./src/a", "/p/base/~/a"]);
        assert_eq!(targets(&options, "other"), ["/p/base/other"]);
    }
}

//! What a client build is asked to do, and how rolldown is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rolldown::{
    AddonOutputOption, BundlerOptions, BundlerTransformOptions, CodeSplittingMode, InputItem, IsExternal,
    OutputFormat, Platform, RawMinifyOptions, ResolveOptions, SourceMapType, TsConfig,
};

use rolldown_common::bundler_options::{Either, JsxOptions};

use crate::loader::{Loader, Loaders};

/// The module format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// ECMAScript modules.
    Esm,
    /// CommonJS.
    Cjs,
    /// A script that runs at once.
    Iife,
}

/// What to build. Paths are absolute.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The folder that relative aliases and externals count from.
    pub cwd: PathBuf,
    /// The entries, as absolute paths.
    pub entries: Vec<PathBuf>,
    /// The output folder, as an absolute path. It is created if it does not exist.
    pub outdir: PathBuf,
    /// Whether imports are bundled.
    pub bundle: bool,
    /// Whether code that entries and dynamic imports share becomes chunks; only possible in ECMAScript modules.
    pub splitting: bool,
    /// Whether the output is minified.
    pub minify: bool,
    /// Whether source maps are written.
    pub sourcemap: bool,
    /// The module format.
    pub format: Format,
    /// Modules that stay imports: names of packages, or paths, with `*` for any text.
    pub external: Vec<String>,
    /// Packages that stand in for others.
    pub alias: Vec<(String, String)>,
    /// Names replaced by JavaScript expressions.
    pub define: Vec<(String, String)>,
    /// Loaders by extension, with its dot.
    pub loader: Vec<(String, Loader)>,
    /// The path of the endpoint that tells pages to reload, if they shall.
    pub reload: Option<String>,
}

impl ClientOptions {
    pub(crate) fn loaders(&self) -> Loaders {
        Loaders::new(&self.loader)
    }

    fn splits(&self) -> bool {
        self.bundle && self.splitting && self.format == Format::Esm
    }

    /// The entries that are bundled together: all, or each alone when nothing may be shared.
    pub(crate) fn groups(&self) -> Vec<Vec<PathBuf>> {
        if self.splits() {
            vec![self.entries.clone()]
        } else {
            self.entries.iter().map(|entry| vec![entry.clone()]).collect()
        }
    }

    /// The name of an entry's output: its path below the folder that all entries share, without the extension.
    pub(crate) fn output_name(&self, entry: &Path) -> String {
        let mut base = entry.parent().unwrap_or(entry);
        while !self.entries.iter().all(|other| other.starts_with(base)) {
            base = base.parent().unwrap_or(Path::new("/"));
        }
        let below = entry.strip_prefix(base).unwrap_or(entry).with_extension("");
        below.to_string_lossy().into_owned()
    }

    /// The file of an entry: its path, or else that path below the nearest `node_modules` which has it. As for an
    /// import, the extension may be left out; the output is named after what was written.
    fn locate(&self, entry: &Path) -> PathBuf {
        const EXTENSIONS: [&str; 7] = ["", ".tsx", ".ts", ".jsx", ".js", ".css", ".json"];
        let packages = self.cwd.ancestors().map(|folder| folder.join("node_modules"));
        let below = entry.strip_prefix(&self.cwd).ok();
        let paths = below.into_iter().flat_map(|name| packages.clone().map(move |folder| folder.join(name)));
        std::iter::once(entry.to_owned())
            .chain(paths)
            .flat_map(|path| EXTENSIONS.map(|extension| with_suffix(&path, extension)))
            .find(|path| path.is_file())
            .unwrap_or_else(|| entry.to_owned())
    }

    /// The same in rolldown's words, for some of the entries.
    pub(crate) fn rolldown(
        &self,
        entries: &[PathBuf],
        tsconfig: TsConfig,
        development: bool,
    ) -> BundlerOptions {
        let input = entries.iter().map(|entry| InputItem {
            name: Some(self.output_name(entry)),
            import: self.locate(entry).to_string_lossy().into_owned(),
        });
        let mode = if self.minify { "\"production\"" } else { "\"development\"" };
        let mut define = vec![("process.env.NODE_ENV".to_owned(), mode.to_owned())];
        define.extend(self.define.iter().cloned());
        BundlerOptions {
            input: Some(input.collect()),
            cwd: Some(self.cwd.clone()),
            dir: Some(self.outdir.to_string_lossy().into_owned()),
            platform: Some(Platform::Browser),
            external: Some(self.externals()),
            entry_filenames: Some("[name].js".to_owned().into()),
            chunk_filenames: Some("chunk-[hash].js".to_owned().into()),
            asset_filenames: Some("[name]-[hash][extname]".to_owned().into()),
            format: Some(match self.format {
                Format::Esm => OutputFormat::Esm,
                Format::Cjs => OutputFormat::Cjs,
                Format::Iife => OutputFormat::Iife,
            }),
            sourcemap: self.sourcemap.then_some(SourceMapType::File),
            minify: Some(RawMinifyOptions::Bool(self.minify)),
            define: Some(define.into_iter().collect()),
            code_splitting: Some(CodeSplittingMode::Bool(self.splits())),
            module_types: Some(
                self.loaders()
                    .iter()
                    .map(|(extension, loader)| (extension.to_owned(), loader.module_type()))
                    .collect(),
            ),
            resolve: Some(ResolveOptions { alias: Some(self.aliases()), ..ResolveOptions::default() }),
            tsconfig: Some(tsconfig),
            // Each file says the rest (`jsx`).
            transform: Some(BundlerTransformOptions {
                jsx: Some(Either::Right(JsxOptions {
                    runtime: Some("classic".to_owned()),
                    development: Some(development),
                    ..JsxOptions::default()
                })),
                ..BundlerTransformOptions::default()
            }),
            banner: self.reload.as_ref().map(|path| banner(self.format, path)),
            ..BundlerOptions::default()
        }
    }

    // A relative alias counts from the working folder, as in esbuild.
    fn aliases(&self) -> Vec<(String, Vec<Option<String>>)> {
        let target = |text: &str| match text.starts_with("./") || text.starts_with("../") {
            true => self.cwd.join(text).to_string_lossy().into_owned(),
            false => text.to_owned(),
        };
        self.alias.iter().map(|(from, to)| (from.clone(), vec![Some(target(to))])).collect()
    }

    fn externals(&self) -> IsExternal {
        let (bundle, patterns, cwd) = (self.bundle, self.external.clone(), self.cwd.clone());
        IsExternal::Fn(Some(Arc::new(move |specifier, importer, is_resolved| {
            let external = match (bundle, importer) {
                (false, Some(_)) => true,
                _ => is_external(&patterns, &cwd, specifier, is_resolved),
            };
            Box::pin(std::future::ready(Ok(external)))
        })))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(suffix);
    text.into()
}

fn is_external(patterns: &[String], cwd: &Path, specifier: &str, is_resolved: bool) -> bool {
    if specifier.starts_with("https://") || specifier.starts_with("http://") || specifier.starts_with("//") {
        return true;
    }
    patterns.iter().any(|pattern| {
        if let Some((before, after)) = pattern.split_once('*') {
            return specifier.len() >= before.len() + after.len()
                && specifier.starts_with(before)
                && specifier.ends_with(after);
        }
        let is_path = pattern.starts_with('.') || pattern.starts_with('/');
        if is_path && is_resolved {
            return Path::new(specifier) == cwd.join(pattern.trim_start_matches("./"));
        }
        let rest = specifier.strip_prefix(pattern.as_str());
        rest.is_some_and(|rest| rest.is_empty() || !is_path && rest.starts_with('/'))
    })
}

/// Puts the message of a build that failed over the page, until it is clicked or a build works.
const SHOW_PROBLEM: &str = r#"({data})=>{let o=document.getElementById("partyrun-problem");
if(!o){o=document.createElement("pre");o.id="partyrun-problem";o.setAttribute("role","alert");o.onclick=()=>o.remove();
o.style.cssText="position:fixed;inset:0;z-index:2147483647;margin:0;padding:2rem;overflow:auto;background:#191816f2;"+
"color:#f08a70;font:14px/1.6 ui-monospace,monospace;white-space:pre-wrap;cursor:pointer";document.documentElement.append(o)}
o.textContent=JSON.parse(data)}"#;

// Pages reload when the server says that a client build is done, and show why one failed. Only entries listen, not their
// chunks.
fn banner(format: Format, path: &str) -> AddonOutputOption {
    let base = match format {
        Format::Esm => "import.meta.url",
        Format::Cjs | Format::Iife => "(document.currentScript||location).src||location.href",
    };
    let show = SHOW_PROBLEM.replace('\n', "");
    // Two entries of one page show one message.
    let code = format!(
        "if(typeof document!==\"undefined\"){{const s=new EventSource(new URL(\"{path}\",{base}));\
         s.addEventListener(\"change\",()=>location.reload());s.addEventListener(\"problem\",{show})}}"
    );
    AddonOutputOption::Fn(Arc::new(move |chunk| {
        let code = (chunk.is_entry && !chunk.is_dynamic_entry).then(|| code.clone());
        Box::pin(std::future::ready(Ok(code)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn externals_are_packages_paths_and_patterns() {
        let patterns = ["react", "./lib/x.js", "/images/*"].map(str::to_owned);
        let external = |specifier, resolved| is_external(&patterns, Path::new("/p"), specifier, resolved);
        assert!(
            external("react", false)
                && external("react/jsx-runtime", false)
                && external("/images/a.png", false)
        );
        assert!(external("/p/lib/x.js", true) && external("https://example.com/x.js", false));
        assert!(
            !external("react-dom", false) && !external("/p/lib/y.js", true) && !external("./x.js", false)
        );
    }
}

//! Reading a style sheet: parse, print, and resolve what it points to.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use lightningcss::css_modules::{self, CssModuleReference};
use lightningcss::dependencies::{Dependency, DependencyOptions};
use lightningcss::rules::CssRule;
use lightningcss::stylesheet::{MinifyOptions, ParserOptions, PrinterOptions, StyleSheet};
use lightningcss::traits::ToCss as _;
use rolldown::plugin::PluginContext;
use rolldown_common::{EmittedAsset, StrOrBytes};

use super::map;
use super::sheet::{Condition, Export, Rule, Sheet, Target};
use crate::loader::{self, Loader};
use crate::shared::Shared;

/// A sheet as it was parsed, with placeholders where URLs stand.
struct Parsed {
    imports: Vec<(String, Condition)>,
    urls: Vec<(String, String)>,
    code: String,
    rules: Option<Vec<Rule>>,
    exports: Vec<Export>,
    warnings: Vec<String>,
}

/// Reads one style sheet. With `local`, its class names become its own.
pub(crate) async fn read(
    context: &PluginContext,
    shared: &Shared,
    path: &Path,
    text: &str,
    local: bool,
) -> anyhow::Result<Sheet> {
    let shown = path.strip_prefix(&shared.cwd).unwrap_or(path).to_string_lossy().into_owned();
    let parsed = parse(text, &shown, local, shared.minify).map_err(|message| anyhow!("{message}"))?;
    parsed.warnings.into_iter().for_each(|warning| shared.warn(warning));
    let mut imports = Vec::new();
    for (address, condition) in parsed.imports {
        let target = match is_remote(&address) {
            true => Target::Address(address),
            false => Target::File(find(context, path, &shown, &address).await?),
        };
        imports.push((target, condition));
    }
    // A sheet that others compose from is a part of the page, too.
    for (specifier, _) in parsed.exports.iter().flat_map(|export| &export.foreign) {
        let target = Target::File(find(context, path, &shown, specifier).await?);
        if !imports.iter().any(|(known, _)| *known == target) {
            imports.push((target, Condition::default()));
        }
    }
    let mut code = parsed.code;
    for (placeholder, address) in parsed.urls {
        let target = match is_remote(&address) || address.starts_with('#') || address.is_empty() {
            true => address,
            false => locate(context, shared, path, &shown, &address).await?,
        };
        code = code.replace(&placeholder, &target);
    }
    let (source, rules) = (text.to_owned(), parsed.rules);
    Ok(Sheet { imports, code, source, rules, exports: parsed.exports })
}

/// An address that the browser resolves itself.
fn is_remote(address: &str) -> bool {
    let scheme = address.split_once(':').is_some_and(|(scheme, _)| {
        scheme.len() > 1 && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    });
    scheme || address.starts_with('/')
}

/// The file that a specifier in a sheet names: beside the sheet, or in a package.
async fn find(context: &PluginContext, path: &Path, shown: &str, specifier: &str) -> anyhow::Result<PathBuf> {
    let name = specifier.split(['?', '#']).next().unwrap_or(specifier);
    let beside = path.parent().unwrap_or(path).join(name.trim_start_matches('~'));
    if let Ok(found) = beside.canonicalize()
        && found.is_file()
    {
        return Ok(found);
    }
    let found = context.resolve(name, path.to_str(), None).await?;
    let found = found.ok().filter(|found| !found.external.is_external());
    let found = found.map(|found| PathBuf::from(found.id.as_str())).filter(|found| found.is_file());
    found.ok_or_else(|| anyhow!("Could not resolve \"{specifier}\" in {shown}"))
}

/// The address under which the page finds a file that a sheet points to.
async fn locate(
    context: &PluginContext,
    shared: &Shared,
    path: &Path,
    shown: &str,
    address: &str,
) -> anyhow::Result<String> {
    let file = find(context, path, shown, address).await?;
    shared.watch(std::iter::once(file.clone()));
    let name = file.to_string_lossy();
    let extension = loader::extension(&name);
    let bytes = tokio::fs::read(&file).await?;
    match shared.loaders.of(&name) {
        Some(Loader::File | Loader::Copy) => {
            let asset = EmittedAsset {
                name: file.file_name().map(|name| name.to_string_lossy().into_owned()),
                original_file_name: Some(name.clone().into_owned()),
                source: StrOrBytes::Bytes(bytes),
                ..EmittedAsset::default()
            };
            let reference = context.emit_file_async(asset).await?;
            let suffix = address.find(['?', '#']).map_or("", |at| &address[at..]);
            Ok(format!("./{}{suffix}", context.get_file_name(&reference)?))
        }
        Some(Loader::DataUrl) => {
            let kind = rolldown_utils::mime::guess_mime(&file, &bytes)?;
            Ok(format!("data:{kind};base64,{}", rolldown_utils::base64::to_standard_base64(&bytes)))
        }
        Some(_) => Err(anyhow!(
            "{shown}: url(\"{address}\") needs the loader `file`, `copy` or `dataurl` for \"{extension}\" files"
        )),
        None => Err(anyhow!(
            "No loader is configured for \"{extension}\" files: {address} in {shown}\n  \
             add to `serve.build` in the configuration: \"loader\": {{ \"{extension}\": \"file\" }}"
        )),
    }
}

fn parse(text: &str, shown: &str, local: bool, minify: bool) -> Result<Parsed, String> {
    let pattern = css_modules::Pattern::parse("[name]_[local]_[hash]").map_err(|error| error.to_string())?;
    let warnings = std::sync::Arc::default();
    let options = ParserOptions {
        filename: shown.to_owned(),
        css_modules: local.then(|| css_modules::Config { pattern, ..css_modules::Config::default() }),
        // A browser skips what it does not know; so does esbuild, with a warning.
        error_recovery: true,
        warnings: Some(std::sync::Arc::clone(&warnings)),
        ..ParserOptions::default()
    };
    let mut sheet = StyleSheet::parse(text, options).map_err(|error| error.to_string())?;
    if minify {
        sheet.minify(MinifyOptions::default()).map_err(|error| error.to_string())?;
    }
    let rules = map::of_rules(&sheet.rules);
    let imports = sheet.rules.0.iter().filter_map(import).collect();
    let printed = sheet
        .to_css(PrinterOptions {
            minify,
            analyze_dependencies: Some(DependencyOptions { remove_imports: true }),
            ..PrinterOptions::default()
        })
        .map_err(|error| error.to_string())?;
    let urls = printed.dependencies.unwrap_or_default().into_iter().filter_map(|found| match found {
        Dependency::Url(url) => Some((url.placeholder, url.url)),
        Dependency::Import(_) => None,
    });
    let urls = urls.collect();
    let mut exports: Vec<Export> = printed.exports.unwrap_or_default().into_iter().map(export).collect();
    exports.sort_by(|a, b| a.name.cmp(&b.name));
    let warnings = warnings.read().map(|found| found.iter().map(ToString::to_string).collect());
    let warnings = warnings.unwrap_or_default();
    Ok(Parsed { imports, urls, code: printed.code, rules, exports, warnings })
}

fn import(rule: &CssRule<'_>) -> Option<(String, Condition)> {
    let CssRule::Import(rule) = rule else { return None };
    let text = |css: Result<String, _>| css.ok().filter(|text: &String| !text.is_empty());
    let layer = rule.layer.as_ref().map(|layer| {
        layer.as_ref().and_then(|name| name.to_css_string(PrinterOptions::default()).ok()).unwrap_or_default()
    });
    let supports = rule.supports.as_ref().map(|supports| supports.to_css_string(PrinterOptions::default()));
    let media = rule.media.to_css_string(PrinterOptions::default());
    let media = if rule.media.media_queries.is_empty() { None } else { text(media) };
    Some((rule.url.to_string(), Condition { layer, supports: supports.and_then(text), media }))
}

fn export((name, export): (String, css_modules::CssModuleExport)) -> Export {
    let mut own = vec![export.name];
    let mut foreign = Vec::new();
    for reference in export.composes {
        match reference {
            CssModuleReference::Local { name } | CssModuleReference::Global { name } => own.push(name),
            CssModuleReference::Dependency { name, specifier } => foreign.push((specifier, name)),
        }
    }
    Export { name, own, foreign }
}

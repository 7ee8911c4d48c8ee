//! Style sheets: read one by one, bundled into one sheet for each entry.
//!
//! A sheet is parsed by lightningcss. Its imports are followed and its `url(...)` resolved as the imports of code are,
//! by the configured loaders; addresses on a server (`/x.png`, `https://...`) stay as they are.

mod map;
mod order;
mod read;
mod scan;

use std::path::{Path, PathBuf};

pub(crate) use order::bundle;
pub(crate) use read::read;

/// The condition of an `@import`, as CSS text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    /// A cascade layer; an empty name for an anonymous one.
    pub(crate) layer: Option<String>,
    /// `supports(...)`.
    pub(crate) supports: Option<String>,
    /// Media queries.
    pub(crate) media: Option<String>,
}

/// What an `@import` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Another sheet of the project.
    File(PathBuf),
    /// A sheet on a server.
    Address(String),
}

/// A name that code can import from a sheet: its own class names, and those of other sheets that it composes.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    name: String,
    own: Vec<String>,
    /// Specifier and name.
    foreign: Vec<(String, String)>,
}

/// A style sheet that was read.
#[derive(Clone, Debug)]
pub(crate) struct Sheet {
    imports: Vec<(Target, Condition)>,
    /// The rules, without the imports.
    code: String,
    /// The text that was read.
    source: String,
    /// Where the rules that print a block stand in it, if that can be told.
    rules: Option<Vec<map::Rule>>,
    exports: Vec<Export>,
}

impl Sheet {
    /// The sheets that this one imports or composes from.
    pub(crate) fn imported(&self) -> impl Iterator<Item = &Path> {
        self.imports.iter().filter_map(|(target, _)| match target {
            Target::File(path) => Some(path.as_path()),
            Target::Address(_) => None,
        })
    }

    /// The module that stands for the sheet in the code: its class names.
    pub(crate) fn module(&self) -> String {
        let mut code = String::new();
        let mut specifiers: Vec<&str> = Vec::new();
        for (specifier, _) in self.exports.iter().flat_map(|export| &export.foreign) {
            if !specifiers.contains(&specifier.as_str()) {
                code.push_str(&format!("import sheet{} from {specifier:?};\n", specifiers.len()));
                specifiers.push(specifier);
            }
        }
        let mut object = String::new();
        for (index, export) in self.exports.iter().enumerate() {
            let mut parts = vec![format!("{:?}", export.own.join(" "))];
            for (specifier, name) in &export.foreign {
                let sheet = specifiers.iter().position(|known| known == specifier).unwrap_or(0);
                parts.push(format!("sheet{sheet}[{name:?}]"));
            }
            code.push_str(&format!("const name{index} = {};\n", parts.join(" + \" \" + ")));
            object.push_str(&format!("{:?}: name{index}, ", export.name));
            if is_identifier(&export.name) && export.name != "default" {
                code.push_str(&format!("export {{ name{index} as {} }};\n", export.name));
            }
        }
        code.push_str(&format!("export default {{ {object}}};\n"));
        code
    }
}

fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c == '_' || c == '$' || c.is_ascii_alphanumeric())
}

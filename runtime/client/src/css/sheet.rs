//! A style sheet as it was read: what it imports, its rules, and the names that code can import from it.

use std::path::{Path, PathBuf};

use super::scan::Place;

/// Where a rule that prints a block stands in the text that was read.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(super) place: Place,
    /// Of a step of keyframes, whose place is that of the whole: which of how many it is.
    pub(super) step: Option<(usize, usize)>,
}

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
    pub(super) name: String,
    pub(super) own: Vec<String>,
    /// Specifier and name.
    pub(super) foreign: Vec<(String, String)>,
}

/// A style sheet that was read.
#[derive(Clone, Debug)]
pub(crate) struct Sheet {
    pub(super) imports: Vec<(Target, Condition)>,
    /// The rules, without the imports.
    pub(super) code: String,
    /// The text that was read.
    pub(super) source: String,
    /// Where the rules that print a block stand in it, if that can be told.
    pub(super) rules: Option<Vec<Rule>>,
    pub(super) exports: Vec<Export>,
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

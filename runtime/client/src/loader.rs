//! Which loader reads a file: by its name's longest known extension, as esbuild does.

use rolldown_common::ModuleType;

/// The ways to read a file (spec 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    /// JavaScript.
    Js,
    /// JavaScript with JSX.
    Jsx,
    /// TypeScript.
    Ts,
    /// TypeScript with JSX.
    Tsx,
    /// A JSON value.
    Json,
    /// A string.
    Text,
    /// The bytes as base64 text.
    Base64,
    /// The bytes as a `data:` URL.
    DataUrl,
    /// The bytes as a `Uint8Array`.
    Binary,
    /// The URL of a copy in the output.
    File,
    /// A copy in the output, which the import then names.
    Copy,
    /// An empty module: whatever is imported of it is `undefined`.
    Empty,
    /// A style sheet of the page.
    Css,
    /// A style sheet whose class names are its own.
    LocalCss,
}

/// What esbuild knows without configuration.
const DEFAULTS: &[(&str, Loader)] = &[
    (".js", Loader::Js),
    (".mjs", Loader::Js),
    (".cjs", Loader::Js),
    (".jsx", Loader::Jsx),
    (".ts", Loader::Ts),
    (".mts", Loader::Ts),
    (".cts", Loader::Ts),
    (".tsx", Loader::Tsx),
    (".json", Loader::Json),
    (".txt", Loader::Text),
    (".css", Loader::Css),
    (".module.css", Loader::LocalCss),
];

impl Loader {
    /// The loader of this name in the configuration; `default` stands for what the extension has without it.
    pub fn named(name: &str, extension: &str) -> Option<Self> {
        Some(match name {
            "js" => Self::Js,
            "jsx" => Self::Jsx,
            "ts" => Self::Ts,
            "tsx" => Self::Tsx,
            "json" => Self::Json,
            "text" => Self::Text,
            "base64" => Self::Base64,
            "dataurl" => Self::DataUrl,
            "binary" => Self::Binary,
            "file" => Self::File,
            "copy" => Self::Copy,
            "empty" => Self::Empty,
            "css" => Self::Css,
            "local-css" => Self::LocalCss,
            "default" => return DEFAULTS.iter().find(|(known, _)| *known == extension).map(|found| found.1),
            _ => return None,
        })
    }

    /// What rolldown calls it; style sheets are empty modules there.
    pub(crate) fn module_type(self) -> ModuleType {
        match self {
            Self::Js => ModuleType::Js,
            Self::Jsx => ModuleType::Jsx,
            Self::Ts => ModuleType::Ts,
            Self::Tsx => ModuleType::Tsx,
            Self::Json => ModuleType::Json,
            Self::Text => ModuleType::Text,
            Self::Base64 => ModuleType::Base64,
            Self::DataUrl => ModuleType::Dataurl,
            Self::Binary => ModuleType::Binary,
            Self::File => ModuleType::Asset,
            Self::Copy => ModuleType::Copy,
            Self::Empty => ModuleType::Empty,
            Self::Css | Self::LocalCss => ModuleType::Js,
        }
    }
}

/// The loaders of a build, by extension.
#[derive(Clone, Debug)]
pub(crate) struct Loaders(Vec<(String, Loader)>);

impl Loaders {
    /// The defaults, then what the configuration says.
    pub(crate) fn new(configured: &[(String, Loader)]) -> Self {
        let mut all: Vec<(String, Loader)> =
            DEFAULTS.iter().map(|(extension, loader)| ((*extension).to_owned(), *loader)).collect();
        for (extension, loader) in configured {
            all.retain(|(known, _)| known != extension);
            all.push((extension.clone(), *loader));
        }
        all.sort_by_key(|(extension, _)| std::cmp::Reverse(extension.len()));
        Self(all)
    }

    /// The loader of a file.
    pub(crate) fn of(&self, path: &str) -> Option<Loader> {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.0.iter().find(|(extension, _)| name.ends_with(extension.as_str())).map(|(_, loader)| *loader)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Loader)> {
        self.0.iter().map(|(extension, loader)| (extension.as_str(), *loader))
    }
}

/// `.png` of `a/b.png`, for messages; the whole name where there is no extension.
pub(crate) fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rfind('.').map_or(name, |dot| &name[dot..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_extension_wins_and_the_configuration_before_the_defaults() {
        let loaders = Loaders::new(&[(".png".to_owned(), Loader::File), (".txt".to_owned(), Loader::Base64)]);
        assert_eq!(loaders.of("/a/b.module.css"), Some(Loader::LocalCss));
        assert_eq!(loaders.of("/a/b.css"), Some(Loader::Css));
        assert_eq!(loaders.of("/a/b.png"), Some(Loader::File));
        assert_eq!(loaders.of("/a/b.txt"), Some(Loader::Base64));
        assert_eq!(loaders.of("/a.js/b"), None);
        assert_eq!(Loader::named("default", ".tsx"), Some(Loader::Tsx));
        assert_eq!(Loader::named("nothing", ".tsx"), None);
        assert_eq!(extension("/a.b/c.tar.gz"), ".gz");
    }
}

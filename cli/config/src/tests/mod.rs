//! Tests of [`crate::load`] as its callers see it: real folders with real files.

mod discovery;
mod fields;
mod hostile;
mod messages;
mod precedence;

use std::path::PathBuf;

use crate::{Config, ConfigError, Overrides, Request, load};

/// A folder that is deleted with the value.
struct Project(tempfile::TempDir);

impl Project {
    /// A folder with these files.
    fn new(files: &[(&str, &str)]) -> Self {
        let project = Self(tempfile::tempdir().expect("temporary folder"));
        for (name, text) in files {
            let path = project.path(name);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            std::fs::write(path, text).expect("file");
        }
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        // The system's temporary folder may be a link.
        self.0.path().canonicalize().expect("folder").join(name)
    }

    fn request(&self) -> Request {
        Request { cwd: self.path(""), env_local: true, ..Request::default() }
    }

    fn load(&self) -> Result<Config, ConfigError> {
        load(&self.request())
    }

    fn load_with(&self, overrides: Overrides) -> Result<Config, ConfigError> {
        load(&Request { overrides, ..self.request() })
    }
}

/// Loads a project that has this configuration file only.
fn load_text(text: &str) -> Result<Config, ConfigError> {
    Project::new(&[("partykit.json", text)]).load()
}

/// The message of the error that this configuration file gives.
fn message(text: &str) -> String {
    load_text(text).map(|_| String::new()).unwrap_or_else(|error| error.to_string())
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

//! Why there is no client bundle, as messages for people.

use std::fmt;
use std::path::PathBuf;

use rolldown_error::BuildDiagnostic;

/// Why a client build failed. Each message says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The code cannot be bundled: one message, with its place and code frame, for each mistake.
    #[error("{}", Listing(.0))]
    Code(Vec<String>),
    /// A TypeScript configuration extends one that cannot be read.
    #[error("{}", Listing(std::slice::from_ref(.0)))]
    TsConfig(String),
    /// An output would replace a file that it is made from.
    #[error(
        "The client build would overwrite its own input {}. Choose another `outdir` in `serve.build`.",
        .0.display()
    )]
    OverwritesInput(PathBuf),
    /// The threads that bundle cannot be started.
    #[error("The threads that bundle the client cannot be started: {0}")]
    Threads(std::io::Error),
    /// An output cannot be written.
    #[error("Could not write {}: {error}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// A diagnostic with its code frame, without colours.
pub(crate) fn text(diagnostic: &BuildDiagnostic) -> String {
    diagnostic.to_diagnostic().convert_to_string(false).trim_end().to_owned()
}

struct Listing<'a>(&'a [String]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Client build failed with {} error{}",
            self.0.len(),
            if self.0.len() == 1 { "" } else { "s" }
        )?;
        self.0.iter().try_for_each(|message| write!(f, "\n{message}"))
    }
}

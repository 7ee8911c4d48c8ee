//! Why a request for a file gets no response: the errors of this crate.

use std::io;

/// Why there is no answer. None of the texts names a path.
#[derive(Debug, thiserror::Error)]
pub enum AssetsError {
    /// A pattern of `include` or `exclude` is wrong.
    #[error("`{pattern}` is not a glob: {reason}")]
    Glob {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An escape in the path is none: 500, as in the original (spec 1.2).
    #[error("URI malformed")]
    UriMalformed,
    /// A path given to [`Assets::fetch`] has no leading slash.
    #[error("Path must start with /")]
    NoLeadingSlash,
    /// The machine failed: too many open files, a broken disk.
    #[error("Could not read the file")]
    Io(#[source] io::Error),
}

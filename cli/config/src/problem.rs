//! What can be wrong with a configuration, and the message for it.
//!
//! The first line of a message has the words of the original (spec 4.4), so that people find them again. The lines below
//! name file, line, column, field and what to do. Several mistakes are reported at once. Printing, colours and the exit
//! code belong to the command line.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A place in a file, or a flag, and what to do there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// `file:line:column`, or the flag.
    pub place: String,
    /// The field, as in `serve.build.entry`.
    pub field: String,
    /// What the reader should do next, as a sentence.
    pub fix: String,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, in the words of the original where it has some.
    pub message: String,
    /// Whether the message is one of the schema's, which the original joins behind `Validation error:`.
    pub of_schema: bool,
    /// Where, and what to do.
    pub spots: Vec<Spot>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("Could not read {}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file is not JSON5.
    #[error("JSON5: invalid {found} at {line}:{column}\n  {}:{line}:{column}: {reason}", .path.display())]
    Syntax {
        /// The file, as it is shown.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// `character 'x'` or `end of input`.
        found: String,
        /// What the parser expected.
        reason: String,
    },
    /// Values are wrong.
    #[error("{}", Listing(.0))]
    Invalid(Vec<Problem>),
    /// There is no `main` and no script on the command line.
    #[error(
        "Missing entry point, please specify \"main\" in your config, or pass it in via the CLI\n  {hint}"
    )]
    MissingMain {
        /// What to do, with the configuration file's name if there is one.
        hint: String,
    },
    /// The entry does not exist.
    #[error("Could not find main: {shown}\n  {place}: there is no file {}{near}", .path.display())]
    MainNotFound {
        /// The entry as the original shows it.
        shown: String,
        /// Where it was named.
        place: String,
        /// Where it was looked for.
        path: PathBuf,
        /// The guess what was meant, or nothing.
        near: String,
    },
}

impl ConfigError {
    pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied; check the file's mode".to_owned(),
            _ => error.to_string(),
        };
        Self::Unreadable { path: path.to_owned(), reason }
    }
}

struct Listing<'a>(&'a [Problem]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (of_schema, rules): (Vec<&Problem>, Vec<&Problem>) = self.0.iter().partition(|p| p.of_schema);
        let mut first = true;
        if !of_schema.is_empty() {
            let messages: Vec<&str> = of_schema.iter().map(|problem| problem.message.as_str()).collect();
            write!(f, "Validation error: {}", messages.join("; "))?;
            spots(f, &of_schema)?;
            first = false;
        }
        for problem in rules {
            if !first {
                f.write_str("\n")?;
            }
            f.write_str(&problem.message)?;
            spots(f, &[problem])?;
            first = false;
        }
        Ok(())
    }
}

fn spots(f: &mut fmt::Formatter<'_>, problems: &[&Problem]) -> fmt::Result {
    for spot in problems.iter().flat_map(|problem| &problem.spots) {
        write!(f, "\n  {}: `{}`: {}", spot.place, spot.field, spot.fix)?;
    }
    Ok(())
}

/// Text of unknown origin as a message quotes it: short, and without control characters.
pub(crate) fn brief(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    let mut brief = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == CHARS_MAX {
            brief.push('…');
            break;
        }
        if c.is_control() { brief.extend(c.escape_default()) } else { brief.push(c) }
    }
    brief
}

//! Diagnostics: what is wrong, where, how it looks there, and what to do about it. The bundler returns them as values;
//! whoever called decides where they are printed. One build reports as many as it finds.

use std::fmt;
use std::path::{Path, PathBuf};

/// Problems of one file: byte offsets and messages.
pub(crate) type Problems = Vec<(u32, String)>;

/// One problem in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// The file, relative to the project folder when it is inside.
    pub file: Option<PathBuf>,
    /// 1-based; 0 when the problem belongs to the whole file.
    pub line: u32,
    /// 1-based, in characters; 0 when the problem belongs to the whole file.
    pub column: u32,
    /// The source line with a marker below it, ready to print; empty when there is none.
    pub frame: String,
    /// The files through which the failing one was reached, the entry first.
    pub chain: Vec<PathBuf>,
    /// The next step, such as `npm install zod`.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A problem that has no place in a file.
    pub(crate) fn plain(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            file: None,
            line: 0,
            column: 0,
            frame: String::new(),
            chain: Vec::new(),
            help: None,
        }
    }

    /// A problem of a whole file.
    pub(crate) fn in_file(message: impl Into<String>, file: &Path) -> Self {
        Self { file: Some(file.to_path_buf()), ..Self::plain(message) }
    }

    /// A problem at a byte offset of a source.
    pub(crate) fn at(message: impl Into<String>, file: &Path, source: &str, offset: u32) -> Self {
        let (line, column, text) = locate(source, offset as usize);
        Self { line, column, frame: code_frame(text, line, column), ..Self::in_file(message, file) }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(file) = &self.file {
            write!(f, "\n  --> {}", file.display())?;
            if self.line > 0 {
                write!(f, ":{}:{}", self.line, self.column)?;
            }
        }
        if !self.frame.is_empty() {
            write!(f, "\n{}", self.frame)?;
        }
        if self.chain.len() > 1 {
            let files: Vec<_> = self.chain.iter().map(|file| file.display().to_string()).collect();
            write!(f, "\n  imported by: {}", files.join(" -> "))?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// Everything that stopped a build. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct BundleErrors {
    /// The problems, in the order in which the files were reached.
    pub errors: Vec<Diagnostic>,
    /// Warnings that were found before the build failed.
    pub warnings: Vec<Diagnostic>,
    /// The files read so far: a change of one of them may repair the build.
    pub inputs: Vec<PathBuf>,
}

impl fmt::Display for BundleErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "error: {error}")?;
        }
        Ok(())
    }
}

/// Line and column (both from 1) of a byte offset, and the text of its line.
pub(crate) fn locate(source: &str, offset: usize) -> (u32, u32, &str) {
    let mut offset = offset.min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    let (before, after) = source.split_at(offset);
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let end = after.find('\n').map_or(source.len(), |at| offset + at);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() as u32 + 1;
    let column = source.get(start..offset).map_or(0, |text| text.chars().count()) as u32 + 1;
    (line, column, source.get(start..end).unwrap_or_default().trim_end_matches('\r'))
}

/// Characters shown of one line: a minified file must not fill the terminal.
const FRAME_CHARS_MAX: usize = 96;

fn code_frame(text: &str, line: u32, column: u32) -> String {
    let at = column.saturating_sub(1) as usize;
    let skip = at.saturating_sub(FRAME_CHARS_MAX / 2);
    let mut shown: String =
        text.chars().skip(skip).take(FRAME_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    // What was cut is told on both sides.
    let cut = if skip > 0 { "... " } else { "" };
    shown.insert_str(0, cut);
    if text.chars().nth(skip + FRAME_CHARS_MAX).is_some() {
        shown.push_str(" ...");
    }
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    let marker = " ".repeat(at - skip + cut.len());
    format!(" {gutter} |\n {number} | {shown}\n {gutter} | {marker}^")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locates_and_frames() {
        let source = "let a;\nlet \u{e9} = ;\n";
        let problem = Diagnostic::at("Expression expected", Path::new("a.ts"), source, 16);
        assert_eq!((problem.line, problem.column), (2, 9));
        assert_eq!(problem.frame, "   |\n 2 | let \u{e9} = ;\n   |         ^");
    }

    #[test]
    fn long_lines_are_cut() {
        let source = "x".repeat(10_000_000);
        let problem = Diagnostic::at("no", Path::new("a.js"), &source, 5_000_000);
        assert!(problem.frame.len() < 300);
        let lines: Vec<&str> = problem.frame.lines().collect();
        assert!(lines[1].starts_with(" 1 | ... xxx") && lines[1].ends_with("xxx ..."), "{}", lines[1]);
        let problem =
            Diagnostic::at("no", Path::new("a.js"), &format!("{}y{}", "x".repeat(300), "x".repeat(9)), 300);
        let lines: Vec<&str> = problem.frame.lines().collect();
        assert_eq!(lines[2].find('^'), lines[1].find('y'), "{}", problem.frame);
        assert!(lines[1].ends_with("xxx"), "{}", lines[1]);
    }
}

//! What is printed, and how: one line a request, the room's name before its console output, control characters of
//! user strings escaped so that no message can drive the terminal (threat 27).

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use futures_util::future::BoxFuture;
use partyrun_engine::{Level, Observer, Source};
use partyrun_net::Response;
use partyrun_server::Reporter;

/// Prints to the terminal.
pub(crate) struct Printer {
    color: bool,
}

impl Printer {
    pub(crate) fn new() -> Self {
        Self { color: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// A line of the server itself.
    pub(crate) fn line(&self, text: &str) {
        out(text);
    }

    /// The first lines: name, version, URLs, and how long it took.
    pub(crate) fn banner(&self, urls: &[String], took: Duration) {
        out(&format!("{} {}", self.paint("1", "partyrun"), env!("CARGO_PKG_VERSION")));
        for (index, url) in urls.iter().enumerate() {
            let word = if index == 0 { format!("Ready on {url} in {} ms", took.as_millis()) } else { format!("- {url}") };
            out(&word);
        }
    }
}

impl Observer for Printer {
    fn console(&self, source: &Source, level: Level, text: &str) {
        let name = match source {
            Source::Room(key) => format!("[{}/{}]", printable(key.party()), printable(key.id())),
            Source::Edge => "[edge]".to_string(),
        };
        let painted = match level {
            Level::Debug | Level::Log => self.paint("2", &name),
            Level::Warn => self.paint("33", &name),
            Level::Error => self.paint("31", &name),
        };
        out(&format!("{painted} {}", printable_text(text.trim_end_matches('\n'), self.color)));
    }

    fn assets(&self, _path: String) -> BoxFuture<'static, Option<Response>> {
        Box::pin(async { None })
    }
}

impl Reporter for Printer {
    fn request(&self, method: &str, path: &str, status: u16, took: Duration) {
        let code = match status {
            500.. => "31",
            400.. => "33",
            _ => "32",
        };
        let reason = reason(status);
        let line = format!("{method} {} {} ({}ms)", printable(path), self.paint(code, &format!("{status} {reason}")), took.as_millis());
        out(&line);
    }

    fn warn(&self, text: &str) {
        out(&format!("{} {}", self.paint("33", "warning:"), printable_text(text, false)));
    }
}

/// Prints what ended the command.
pub(crate) fn error(text: &str) {
    // Nothing can be said about a standard error that is closed.
    let _closed = writeln!(std::io::stderr().lock(), "error: {text}");
}

fn out(line: &str) {
    // A closed pipe must not end a server.
    let _closed = writeln!(std::io::stdout().lock(), "{line}");
}

fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        204 => "No Content",
        401 => "Unauthorized",
        404 => "Not Found",
        500 => "Internal Server Error",
        _ => "",
    }
}

fn printable(text: &str) -> String {
    printable_text(text, false).replace('\n', "\\n")
}

// Line feeds and tabs stay; colors stay where the terminal was promised some: they come from our own `console`.
fn printable_text(text: &str, color: bool) -> String {
    let text = if color { text.to_string() } else { without_colors(text) };
    let mut safe = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' | '\t' => safe.push(character),
            '\x1b' if color && characters.peek() == Some(&'[') => safe.push(character),
            character if character.is_control() => {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(character));
            }
            character => safe.push(character),
        }
    }
    safe
}

// Removes the color sequences (ESC [ digits m) that inspecting adds.
fn without_colors(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        let (before, sequence) = rest.split_at(at);
        plain.push_str(before);
        let body = sequence.get(2..).unwrap_or("");
        let end = body.find(|character: char| !(character.is_ascii_digit() || character == ';'));
        match end {
            Some(end) if body.as_bytes().get(end) == Some(&b'm') => rest = body.get(end + 1..).unwrap_or(""),
            _ => {
                plain.push('\x1b');
                rest = sequence.get(1..).unwrap_or("");
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_strings_cannot_drive_the_terminal() {
        assert_eq!(printable_text("a\x1b]0;title\x07b", false), "a\\u{1b}]0;title\\u{7}b");
        assert_eq!(printable_text("\x1b[33m1\x1b[39m\nnext", false), "1\nnext");
        assert_eq!(printable("a\nb"), "a\\nb");
    }
}

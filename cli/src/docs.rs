//! The generated parts of `docs/` (limits, configuration fields, flags), and tests that they are up to date, that every
//! command line on a page is valid, and that links between pages lead somewhere. `PARTYRUN_WRITE_DOCS=1` writes the
//! generated parts anew.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use partyrun_limits::{Limits, TABLE};

use crate::args::Cli;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

// What people read: the pages of `docs/` and those at the root of the repository.
fn pages() -> Vec<PathBuf> {
    let all =
        [folder(), folder().join("..")].into_iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let pages: Vec<PathBuf> = all
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    assert!(pages.iter().any(|path| path.ends_with("README.md")), "{pages:?}");
    pages
}

// A generated part stands between two comments that name it.
fn check(page: &str, part: &str, generated: &str) {
    let path = folder().join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {part}: generated -->\n"), format!("<!-- {part}: end -->"));
    let from = text.find(&begin).unwrap_or_else(|| panic!("{page} has no part {part}")) + begin.len();
    let to = text.find(&end).unwrap_or_else(|| panic!("{page} has no end of {part}"));
    if text[from..to] == *generated {
        return;
    }
    if std::env::var_os("PARTYRUN_WRITE_DOCS").is_some() {
        std::fs::write(path, format!("{}{generated}{}", &text[..from], &text[to..])).unwrap();
        return;
    }
    panic!("docs/{page}: the part `{part}` is old. Run the test with PARTYRUN_WRITE_DOCS=1.");
}

fn limits() -> String {
    let limits = Limits::default();
    let mut table = String::from("| Limit | What | Default | Beyond it |\n|---|---|---|---|\n");
    for row in TABLE {
        let value = row.shown(&limits);
        let meaning = row.meaning.trim().trim_end_matches('.');
        writeln!(table, "| `{}` | {meaning} | {value} | {} |", row.name, row.beyond).unwrap();
    }
    table
}

fn flags() -> String {
    let mut text = String::new();
    let mut command = Cli::command();
    command.build();
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(text, "### `partyrun {}`\n\n{about}.\n", sub.get_name()).unwrap();
        writeln!(text, "| Flag | Meaning |\n|---|---|").unwrap();
        for flag in sub.get_arguments().filter(|flag| !flag.is_hide_set() && flag.get_id() != "help") {
            let long = flag.get_long().map(|long| format!("--{long}"));
            let short = flag.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
            let value = flag
                .get_value_names()
                .unwrap_or_default()
                .first()
                .filter(|_| flag.get_action().takes_values());
            let name = match (long, value) {
                (Some(long), Some(value)) => format!("{short}{long} {value}"),
                (Some(long), None) => format!("{short}{long}"),
                (None, value) => value.map(ToString::to_string).unwrap_or_default(),
            };
            let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
            writeln!(text, "| `{name}` | {} |", help.replace('|', "\\|")).unwrap();
        }
        for below in sub.get_subcommands().filter(|below| below.get_name() != "help") {
            let values = below.get_positionals().filter_map(|value| value.get_value_names()?.first());
            let name = values.fold(below.get_name().to_string(), |name, value| format!("{name} {value}"));
            let about = below.get_about().map(ToString::to_string).unwrap_or_default();
            writeln!(text, "| `{name}` | {about} |").unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn generated_parts_are_up_to_date() {
    check("limits.md", "limits", &limits());
    check("commands.md", "flags", &flags());
    check("configure.md", "fields", &partyrun_config::reference());
    check("metrics.md", "metrics", &partyrun_telemetry::table());
}

// What a page tells its reader to run: blocks of code, and commands with arguments inside of the text.
fn command_lines(text: &str) -> Vec<String> {
    let blocks = text.lines().filter_map(|line| line.strip_prefix("    "));
    let spans = text
        .lines()
        .filter(|line| !line.starts_with("    "))
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    let spans = spans.filter(|span| !span.contains(['…', '[']));
    // A comment, and where the output goes, are the shell's.
    let ends = |line: &str| [" #", " > ", " | "].iter().filter_map(|end| line.find(end)).min();
    blocks
        .chain(spans)
        .map(|line| line[..ends(line).unwrap_or(line.len())].trim())
        .filter_map(|line| {
            let own = line.strip_prefix("npx ").unwrap_or(line).strip_prefix("partyrun ");
            let built = line.split_once("--bin partyrun -- ").map(|(_, words)| words);
            own.or(built).map(|words| format!("partyrun {words}"))
        })
        .collect()
}

#[test]
fn every_command_line_in_the_pages_is_valid() {
    let mut seen = 0;
    for path in pages() {
        let text = std::fs::read_to_string(&path).unwrap();
        let before = seen;
        for line in command_lines(&text) {
            let words = line.split_whitespace().map(|word| word.trim_matches('\''));
            if let Err(error) = Cli::try_parse_from(words) {
                // `partyrun completions`, say, in the middle of a sentence.
                let is_short = matches!(
                    error.kind(),
                    ErrorKind::MissingRequiredArgument
                        | ErrorKind::MissingSubcommand
                        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                );
                let is_name = is_short && line.matches(' ').count() <= 2;
                assert!(is_name || !error.use_stderr(), "{}: {line}: {error}", path.display());
            }
            seen += 1;
        }
        // The first page that anybody reads shows what the program can do.
        assert!(!path.ends_with("README.md") || seen > before + 5, "{}", path.display());
    }
    assert!(seen > 20, "{seen} command lines");
}

// The name that a heading has in a link, as forges and mdBook make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

// The page without its blocks of code.
fn prose(text: &str) -> String {
    text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut seen = 0;
    for path in pages() {
        let text = prose(&std::fs::read_to_string(&path).unwrap());
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") {
                continue;
            }
            let (file, part) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            assert!(file.exists(), "{}: {target}", path.display());
            if !part.is_empty() {
                let text = prose(&std::fs::read_to_string(&file).unwrap());
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                let is_there = headings.any(|line| anchor(line.trim_start_matches('#')) == part);
                assert!(is_there, "{}: {target}: no such heading", path.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen} links");
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let summary = std::fs::read_to_string(folder().join("SUMMARY.md")).unwrap();
    for path in pages() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_named = summary.contains(&format!("]({name})")) || summary.contains(&format!("](../{name})"));
        assert!(is_named || name == "SUMMARY.md", "docs/SUMMARY.md has no line for {}", path.display());
    }
}

//! `partyrun completions`: completion scripts and the manual page, generated from the definition in `args`.

use std::io::Write;

use clap::{Command, CommandFactory};

use crate::args::{Cli, CompletionTarget};

/// Prints to stdout.
pub(crate) fn print(target: CompletionTarget) -> std::io::Result<()> {
    let mut text = Vec::new();
    match target {
        CompletionTarget::Shell(shell) => {
            clap_complete::generate(shell, &mut Cli::command(), "partyrun", &mut text);
        }
        CompletionTarget::Manual => manual(&mut text)?,
    }
    crate::stdout::print(&*text)
}

// One page for everything: the command's own part, then each command with its flags and examples.
fn manual(text: &mut Vec<u8>) -> std::io::Result<()> {
    let mut command = Cli::command();
    command.build();
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(text)?;
    page.render_name_section(text)?;
    page.render_synopsis_section(text)?;
    page.render_description_section(text)?;
    page.render_options_section(text)?;
    examples(text, ".SH EXAMPLES", &command)?;
    let commands = command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set());
    for sub in commands {
        section(text, &format!("partyrun {}", sub.get_name()), sub)?;
        for below in sub.get_subcommands().filter(|below| below.get_name() != "help") {
            section(text, &format!("partyrun {} {}", sub.get_name(), below.get_name()), below)?;
        }
    }
    page.render_version_section(text)
}

fn section(text: &mut Vec<u8>, title: &str, command: &Command) -> std::io::Result<()> {
    writeln!(text, ".SH {}", title.to_uppercase())?;
    let page = clap_mangen::Man::new(command.clone());
    page.render_synopsis_section(text)?;
    page.render_description_section(text)?;
    page.render_options_section(text)?;
    examples(text, ".SS EXAMPLES", command)
}

// The examples of a command as they are: filled as prose they could not be copied.
fn examples(text: &mut Vec<u8>, heading: &str, command: &Command) -> std::io::Result<()> {
    let Some(after) = command.get_after_help() else { return Ok(()) };
    writeln!(text, "{heading}\n.nf")?;
    for line in after.to_string().lines().filter(|line| *line != "Examples:") {
        // A dot or an apostrophe at the start of a line would be a request to the formatter.
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        writeln!(text, "\\&{line}")?;
    }
    writeln!(text, ".fi")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_stands_in_the_manual() {
        let mut text = Vec::new();
        manual(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap().replace("\\-", "-");
        assert!(!text.contains("partyrun-dev(1)"), "a page that does not exist");
        assert!(text.contains("\\&  partyrun dev src/server.ts"), "examples are not filled");
        let command = Cli::command();
        for sub in command.get_subcommands() {
            for flag in sub.get_arguments().filter(|flag| !flag.is_hide_set()) {
                if let Some(long) = flag.get_long() {
                    assert!(text.contains(&format!("--{long}")), "{} --{long}", sub.get_name());
                }
            }
        }
    }

    #[test]
    fn scripts_know_the_commands() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "partyrun", &mut text);
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("completions") && text.contains("persist"), "{shell}");
            assert!(text.contains("heap_bytes_max"), "{shell}");
            // Fish's scripts complete no values without a flag.
            assert!(text.contains("elvish") || shell == clap_complete::Shell::Fish, "{shell}");
        }
    }
}

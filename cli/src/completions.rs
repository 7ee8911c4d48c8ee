//! `partyrun completions`: completion scripts and the manual page, generated from the definition in `args`.

use std::io::Write;

use clap::CommandFactory;

use crate::args::{Cli, CompletionTarget};

/// Prints to stdout. A closed pipe (`partyrun completions man | head`) is no error.
pub(crate) fn print(target: CompletionTarget) -> std::io::Result<()> {
    let mut text = Vec::new();
    match target {
        CompletionTarget::Shell(shell) => {
            clap_complete::generate(shell, &mut Cli::command(), "partyrun", &mut text);
        }
        CompletionTarget::Manual => manual(&mut text)?,
    }
    match std::io::stdout().write_all(&text) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

// The command's own page, and after it the flags of each command.
fn manual(text: &mut Vec<u8>) -> std::io::Result<()> {
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(text)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
        let title = format!("partyrun {}", sub.get_name());
        writeln!(text, ".SH {}", title.to_uppercase())?;
        let page = clap_mangen::Man::new(sub.clone());
        page.render_synopsis_section(text)?;
        page.render_description_section(text)?;
        page.render_options_section(text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_stands_in_the_manual() {
        let mut text = Vec::new();
        manual(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap().replace("\\-", "-");
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
        }
    }
}

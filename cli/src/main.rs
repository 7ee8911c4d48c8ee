//! `partyrun`: runs a PartyKit project. This page parses the command line, runs the command and prints its one error.
//!
//! `args` is what was typed, `partyrun_config` what it means, `dev` what is done about it.

mod args;
mod build;
mod dev;
mod output;
mod watch;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let begun = std::time::Instant::now();
    let args::Command::Dev(args) = args::Cli::parse().command;
    match dev::run(args, begun) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

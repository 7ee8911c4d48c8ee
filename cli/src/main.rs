//! `partyrun`: runs PartyKit projects. This page parses the command line, runs the command and prints its one error.
//!
//! `args` is what was typed, and `partyrun_config` what it means. Each command has a module. `dev` and `start` run under
//! a `supervisor`.

mod admin;
mod args;
mod backup;
mod banner;
mod bindings;
mod build;
mod check;
mod client;
mod command;
mod completions;
mod debugger;
mod dev;
#[cfg(test)]
mod docs;
mod doors;
mod error;
mod host;
mod hosted;
mod hosting;
mod https;
mod import;
mod inherit;
mod init;
mod keys;
mod licenses;
mod look;
mod metrics;
mod output;
mod pack;
mod pages;
mod release;
mod room_cost;
mod secure;
mod serve;
mod stack;
mod start;
mod stdout;
mod stop;
mod storage;
mod supervisor;
mod tested;
mod upgrade;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use args::Command;
use partyrun_limits::Limits;
use supervisor::Manner;

fn main() -> ExitCode {
    let begun = std::time::Instant::now();
    let typed = match args::Cli::try_parse() {
        Ok(typed) => typed,
        Err(shown) => {
            // Every error ends with 1, as the original's; clap's own code would be 2. Help and version are no errors.
            let _broken_pipe = shown.print();
            if let Some(hint) = args::hint(&shown) {
                eprintln!("\n{hint}");
            }
            return if shown.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match typed.command {
        Command::Dev(args) => {
            let limits = args.listen.limits(Limits::default()).unwrap_or_default();
            let manner = Manner { json: args.listen.json, upgrades: false };
            supervisor::supervised(manner, &limits, |link| reported(dev::run(&args, begun, link)))
        }
        Command::Start(args) => {
            let json = output::json_wanted(&args.listen);
            let limits = args.listen.limits(Limits::default()).unwrap_or_default();
            let hosted = hosted::take();
            let manner = Manner { json, upgrades: true };
            supervisor::supervised(manner, &limits, |link| reported(start::run(&args, begun, hosted, link)))
        }
        Command::Build(args) => reported(pack::run(&args, begun)),
        Command::Check(args) => reported(check::run(&args, begun)),
        Command::Schema => reported(check::print_schema()),
        Command::Completions { target } => reported(completions::print(target)),
        Command::Licenses => reported(licenses::print()),
        Command::Init(args) => reported(init::run(&args)),
        Command::Import(args) => reported(import::run(&args)),
        Command::Storage(args) => reported(storage::run(&args)),
        Command::Rooms(args) => reported(admin::ask::rooms(&args)),
        Command::Room(args) => reported(admin::ask::room(&args)),
        Command::Logs(args) => reported(admin::ask::logs(&args)),
        Command::Crons(args) => reported(admin::ask::crons(&args)),
        Command::Top(args) => reported(admin::top::run(&args)),
        Command::Host(args) => reported(host::run(&args, begun)),
        Command::Deploy(args) => reported(hosting::deploy::run(&args, begun)),
        Command::List(args) => reported(hosting::projects::list(&args)),
        Command::Info(args) => reported(hosting::projects::info(&args)),
        Command::Delete(args) => reported(hosting::projects::delete(&args)),
        Command::Releases(args) => reported(hosting::projects::releases(&args)),
        Command::Rollback(args) => reported(hosting::projects::rollback(&args)),
        Command::Promote(args) => reported(hosting::projects::promote(&args)),
        Command::Domains(args) => reported(hosting::projects::domains(&args)),
        Command::Usage(args) => reported(hosting::projects::usage(&args)),
        Command::Env(args) => reported(hosting::env::run(&args)),
        Command::Tail(args) => reported(hosting::tail::run(&args)),
        Command::Login(args) => reported(hosting::login::log_in(&args)),
        Command::Logout => reported(hosting::login::log_out()),
        Command::Whoami(args) => reported(hosting::login::whoami(&args)),
        Command::Token(args) => reported(hosting::token::run(&args)),
        Command::Backup(args) => reported(backup::back_up(&args)),
        Command::Restore(args) => reported(backup::restore(&args)),
    }
}

fn reported<E: std::fmt::Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", output::escape_lines(&error::labelled(&error.to_string())));
            ExitCode::FAILURE
        }
    }
}

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
            supervisor::supervised(manner, &limits, |link| {
                reported(dev::run(&args, begun, link), manner.json)
            })
        }
        Command::Start(args) => {
            let json = output::json_wanted(&args.listen);
            let limits = args.listen.limits(Limits::default()).unwrap_or_default();
            let hosted = hosted::take();
            let manner = Manner { json, upgrades: true };
            supervisor::supervised(manner, &limits, |link| {
                reported(start::run(&args, begun, hosted, link), json)
            })
        }
        Command::Build(args) => reported(pack::run(&args, begun), false),
        Command::Check(args) => reported(check::run(&args, begun), false),
        Command::Schema => reported(check::print_schema(), false),
        Command::Completions { target } => reported(completions::print(target), false),
        Command::Licenses => reported(licenses::print(), false),
        Command::Init(args) => reported(init::run(&args), false),
        Command::Import(args) => reported(import::run(&args), false),
        Command::Storage(args) => reported(storage::run(&args), args.json),
        Command::Rooms(args) => reported(admin::ask::rooms(&args), args.to.json),
        Command::Room(args) => reported(admin::ask::room(&args), args.to.json),
        Command::Logs(args) => reported(admin::ask::logs(&args), args.to.json),
        Command::Crons(args) => reported(admin::ask::crons(&args), args.to.json),
        Command::Top(args) => reported(admin::top::run(&args), args.to.json),
        Command::Host(args) => reported(host::run(&args, begun), args.json),
        Command::Deploy(args) => reported(hosting::deploy::run(&args, begun), false),
        Command::List(args) => reported(hosting::projects::list(&args), false),
        Command::Info(args) => reported(hosting::projects::info(&args), false),
        Command::Delete(args) => reported(hosting::projects::delete(&args), false),
        Command::Releases(args) => reported(hosting::projects::releases(&args), false),
        Command::Rollback(args) => reported(hosting::projects::rollback(&args), false),
        Command::Promote(args) => reported(hosting::projects::promote(&args), false),
        Command::Domains(args) => reported(hosting::projects::domains(&args), false),
        Command::Usage(args) => reported(hosting::projects::usage(&args), false),
        Command::Env(args) => reported(hosting::env::run(&args), false),
        Command::Tail(args) => reported(hosting::tail::run(&args), false),
        Command::Login(args) => reported(hosting::login::log_in(&args), false),
        Command::Logout => reported(hosting::login::log_out(), false),
        Command::Whoami(args) => reported(hosting::login::whoami(&args), false),
        Command::Token(args) => reported(hosting::token::run(&args), false),
        Command::Backup(args) => reported(backup::back_up(&args), false),
        Command::Restore(args) => reported(backup::restore(&args), false),
    }
}

// Prints the error of a command, as whoever asked for JSON can read it.
fn reported<E: std::fmt::Display>(result: Result<(), E>, json: bool) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if json {
        let line = serde_json::json!({ "time": output::time(), "type": "error", "text": error.to_string() });
        eprintln!("{}", output::json_line(&line));
    } else {
        eprintln!("{}", output::escape_lines(&error::labelled(&error.to_string())));
    }
    ExitCode::FAILURE
}

//! What was typed: the flags of the original's `dev` (spec 5.2) and a few of our own.
//!
//! Only clap's types live here. What flags mean together with the project's files is for `partyrun_config` to say.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use partyrun_config::{Overrides, Request};
use partyrun_engine::Workers;

const EXAMPLES: &str = "Examples:
  partyrun dev                        run the project of this folder (partykit.json)
  partyrun dev src/server.ts          run one file
  partyrun dev --port 3000 --var GREETING=hello
  partyrun dev --persist false        keep nothing on disk";

/// Runs PartyKit projects, unchanged, on your own machine.
#[derive(Debug, Parser)]
#[command(name = "partyrun", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a project and reload it when its files change.
    #[command(after_help = EXAMPLES)]
    Dev(DevArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// The main party's file; instead of `main` in partykit.json.
    pub(crate) script: Option<String>,
    /// The port. Without it 1999, or a free one if that is taken.
    #[arg(short, long)]
    pub(crate) port: Option<u16>,
    /// The address to listen on [default: 0.0.0.0].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<IpAddr>,
    /// A folder of static files.
    #[arg(long, value_name = "PATH")]
    pub(crate) serve: Option<String>,
    /// The configuration file.
    #[arg(short, long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    /// Where storage is kept; `false` keeps it in memory [default: .partyrun].
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) persist: Option<String>,
    /// Variables for `room.env`, each `NAME=VALUE`.
    #[arg(short = 'v', long, value_name = "NAME=VALUE", num_args = 1.., value_parser = pair)]
    pub(crate) var: Vec<(String, String)>,
    /// Names that the build replaces by JavaScript expressions, each `NAME=EXPRESSION`.
    #[arg(short, long, value_name = "NAME=EXPRESSION", num_args = 1.., value_parser = pair)]
    pub(crate) define: Vec<(String, String)>,
    /// An environment file; instead of `.env` and `.env.local`.
    #[arg(long, value_name = "PATH")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Make the keys of environment files global constants.
    #[arg(long)]
    pub(crate) with_env: bool,
    /// The Workers compatibility date.
    #[arg(long, value_name = "DATE")]
    pub(crate) compatibility_date: Option<String>,
    /// The Workers compatibility flags.
    #[arg(long, value_name = "FLAG", num_args = 1..)]
    pub(crate) compatibility_flags: Vec<String>,
    /// Leave white space out of the server bundle.
    #[arg(long)]
    pub(crate) minify: bool,
    /// Reload pages after a client build.
    #[arg(long)]
    pub(crate) live: bool,
    /// Threads that run rooms: a number, or `per-room` [default: twice the cores, at least 4].
    #[arg(long, value_name = "COUNT", value_parser = workers)]
    pub(crate) workers: Option<Workers>,
    /// Print each line as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Accepted for the original's sake: there are no keys to disable.
    #[arg(long)]
    pub(crate) no_hotkeys: bool,
    /// Accepted for the original's sake: `request.cf` is never fetched from anywhere.
    #[arg(long)]
    pub(crate) disable_request_cf_fetch: bool,
    /// Accepted for the original's sake.
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Not supported: let a proxy such as Caddy speak TLS.
    #[arg(long)]
    pub(crate) https: bool,
    /// Not supported.
    #[arg(long, value_name = "PATH", hide = true)]
    pub(crate) https_key_path: Option<PathBuf>,
    /// Not supported.
    #[arg(long, value_name = "PATH", hide = true)]
    pub(crate) https_cert_path: Option<PathBuf>,
    /// Writes the server bundle there after each build.
    #[arg(long = "unstable_outdir", value_name = "PATH", hide = true)]
    pub(crate) unstable_outdir: Option<PathBuf>,
}

impl DevArgs {
    /// What the configuration needs to know of the flags.
    pub(crate) fn request(&self, cwd: &Path) -> Request {
        Request {
            cwd: cwd.to_path_buf(),
            config: self.config.clone(),
            env_files: self.env_file.clone(),
            env_local: true,
            overrides: Overrides {
                main: self.script.clone(),
                name: None,
                port: self.port,
                host: self.host,
                serve: self.serve.clone(),
                persist: self.persist.clone(),
                vars: self.var.clone(),
                defines: self.define.clone(),
                with_env: self.with_env,
                minify: self.minify.then_some(true),
                live: self.live,
                compatibility_date: self.compatibility_date.clone(),
                compatibility_flags: self.compatibility_flags.clone(),
            },
        }
    }

    /// Whether a flag asks for TLS.
    pub(crate) fn wants_tls(&self) -> bool {
        self.https || self.https_key_path.is_some() || self.https_cert_path.is_some()
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err("write it as NAME=VALUE".to_string()),
    }
}

fn workers(text: &str) -> Result<Workers, String> {
    if text == "per-room" {
        return Ok(Workers::PerRoom);
    }
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(Workers::Count(count)),
        _ => Err("write a number from 1 to 1024, or `per-room`".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn dev(args: &[&str]) -> Result<DevArgs, clap::Error> {
        let all = ["partyrun", "dev"].iter().chain(args);
        Cli::try_parse_from(all).map(|cli| match cli.command {
            Command::Dev(args) => args,
        })
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_are_read() {
        let args = dev(&["server.ts", "-p", "3000", "-v", "A=1", "B=x=y", "--define", "C='c'", "--persist"])
            .unwrap();
        assert_eq!((args.script.as_deref(), args.port), (Some("server.ts"), Some(3000)));
        assert_eq!(args.var, [("A".to_string(), "1".to_string()), ("B".to_string(), "x=y".to_string())]);
        assert_eq!(args.define, [("C".to_string(), "'c'".to_string())]);
        assert_eq!(args.persist.as_deref(), Some("true"));
        assert_eq!(dev(&["--persist", "false"]).unwrap().persist.as_deref(), Some("false"));
        assert_eq!(dev(&["--workers", "per-room"]).unwrap().workers, Some(Workers::PerRoom));
        assert!(dev(&["--workers", "0"]).is_err());
        assert!(dev(&["--var", "A"]).is_err());
        assert!(dev(&["--port", "70000"]).is_err());
    }
}

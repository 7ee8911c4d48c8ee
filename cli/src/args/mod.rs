//! The command line: every command and flag, each defined once.
//!
//! Help, shell completions and the manual are generated from these types (`completions`). `partyrun_config` decides what
//! flags mean together with the project's files. `dev` has the flags of the original (spec 5.2) and a few of our own.

mod admin;
mod ask;
mod backup;
mod doors;
mod host;
mod hosting;
mod project;
mod storage;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use partyrun_config::Request;

pub(crate) use admin::{ADMIN_TOKEN, AdminArgs};
pub(crate) use ask::{Alarm, CronsArgs, LogsArgs, RoomAct, RoomArgs, RoomSort, RoomsArgs, ToArgs, TopArgs};
pub(crate) use backup::{BackupArgs, DataArgs, RestoreArgs, ScheduleArgs};
pub(crate) use doors::{DoorArgs, HttpPort, Place};
pub(crate) use host::HostArgs;
pub(crate) use hosting::{
    AtArgs, DeleteArgs, DeployArgs, DomainsArgs, DomainsCommand, EnvArgs, EnvCommand, Format, InfoArgs,
    ListArgs, LoginArgs, PromoteArgs, RollbackArgs, ScopeName, TailArgs, TokenArgs, TokenCommand, WhichArgs,
    WhoamiArgs,
};
pub(crate) use project::{ListenArgs, ProjectArgs};
pub(crate) use storage::{StorageArgs, StorageCommand};
pub(crate) use values::CompletionTarget;

const EXAMPLES: &str = "Examples:
  partyrun dev                        run the project of this folder and reload it on changes
  partyrun build --out chat.partyrun  write the project into one file
  partyrun start chat.partyrun        serve that file in production
  partyrun init my-party              begin a new project

`partyrun COMMAND --help` explains a command.";

const DEV_EXAMPLES: &str = "Examples:
  partyrun dev                        run the project of this folder (partykit.json)
  partyrun dev src/server.ts          run one file
  partyrun dev --port 3000 --var GREETING=hello
  partyrun dev --persist false        keep nothing on disk
  partyrun dev --inspect              let Chrome DevTools attach to each room";

const START_EXAMPLES: &str = "Examples:
  partyrun start chat.partyrun --port 8080    serve a file that `partyrun build` wrote
  partyrun start                              bundle and serve the project of this folder
  partyrun start /srv/chat --persist /var/lib/chat
  partyrun start chat.partyrun --tls-cert chain.pem --tls-key key.pem
  partyrun start chat.partyrun --acme --domain chat.example.com --acme-email me@example.com
  partyrun start --backup-to /backup/chat --backup-every 1h --backup-keep 24";

const BUILD_EXAMPLES: &str = "Examples:
  partyrun build                              writes NAME.partyrun
  partyrun build src/server.ts --out dist/chat.partyrun
  partyrun build --var MODE=live --define VERSION='\"1.2\"'

`.env` files are not part of the file: `partyrun start` reads them where it runs.";

const CHECK_EXAMPLES: &str = "Examples:
  partyrun check                              exit code 0 if the project builds, else 1
  partyrun check src/server.ts
  partyrun schema > partykit.schema.json      for editors: \"$schema\": \"./partykit.schema.json\"";

const INIT_EXAMPLES: &str = "Examples:
  partyrun init                       begin a TypeScript project in this folder
  partyrun init my-party --template chat
  partyrun init my-party --template react
  partyrun init --list                the templates";

const IMPORT_EXAMPLES: &str = "Examples:
  partyrun import                             import .partykit/state of this project
  partyrun import --room lobby --room game-1  name rooms, because the original stored no names
  partyrun import --rooms-from access.log --dry-run";

/// Where debuggers are listened to unless an address is named; the port is that of Node.
const INSPECT: &str = "127.0.0.1:9229";

/// Runs PartyKit projects, unchanged, on your own machine.
#[derive(Debug, Parser)]
#[command(name = "partyrun", version, after_help = EXAMPLES, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a project and reload it when its files change.
    #[command(after_help = DEV_EXAMPLES)]
    Dev(Box<DevArgs>),
    /// Serve a project, or a file that `build` wrote, in production.
    #[command(after_help = START_EXAMPLES)]
    Start(Box<StartArgs>),
    /// Write a project into one self-contained file for `start`.
    #[command(after_help = BUILD_EXAMPLES)]
    Build(Box<BuildArgs>),
    /// Read the configuration and bundle the project, and report what is wrong, without serving it.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Box<SourceArgs>),
    /// Print the JSON schema of partykit.json.
    Schema,
    /// Begin a project. Files that exist are never overwritten.
    #[command(after_help = INIT_EXAMPLES)]
    Init(InitArgs),
    /// Import what `partykit dev` stored (.partykit/state).
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
    /// Show what rooms have stored, and copy it, whether a server runs or not.
    #[command(after_help = storage::EXAMPLES)]
    Storage(StorageArgs),
    /// List the rooms of a running server.
    #[command(after_help = ask::ROOMS_EXAMPLES)]
    Rooms(RoomsArgs),
    /// Show a room of a running server, or do something to it.
    #[command(after_help = ask::ROOM_EXAMPLES)]
    Room(Box<RoomArgs>),
    /// Follow the log of a running server.
    #[command(after_help = ask::LOGS_EXAMPLES)]
    Logs(LogsArgs),
    /// List the crons of a running server, or run one now.
    Crons(CronsArgs),
    /// Watch the rooms of a running server.
    Top(TopArgs),
    /// Copy all data into a folder, consistently, while a server runs or not.
    #[command(after_help = backup::BACKUP_EXAMPLES)]
    Backup(BackupArgs),
    /// Verify a backup and put it back.
    #[command(after_help = backup::RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
    /// Serve many projects, each at its own name, and take deployments of them.
    #[command(after_help = host::EXAMPLES)]
    Host(Box<HostArgs>),
    /// Build a project and deploy it to a host.
    #[command(alias = "publish", after_help = hosting::DEPLOY_EXAMPLES)]
    Deploy(Box<DeployArgs>),
    /// List the projects of a host.
    List(ListArgs),
    /// Show what is known of a deployed project.
    Info(InfoArgs),
    /// Delete a deployed project, or a preview.
    Delete(DeleteArgs),
    /// List the releases of a deployed project.
    Releases(InfoArgs),
    /// Go back to an earlier release of a deployed project.
    Rollback(RollbackArgs),
    /// Make the release of a preview the one that the project runs.
    Promote(PromoteArgs),
    /// List the domains of a deployed project, add one or remove one.
    Domains(DomainsArgs),
    /// Show what a deployed project has used, by day.
    Usage(InfoArgs),
    /// Manage the variables of a deployed project.
    Env(EnvArgs),
    /// Follow the log of a deployed project.
    #[command(after_help = hosting::TAIL_EXAMPLES)]
    Tail(TailArgs),
    /// Log in to a host with a token.
    Login(LoginArgs),
    /// Forget the host and its token.
    Logout,
    /// Show who is logged in, and where.
    Whoami(WhoamiArgs),
    /// Make, list and withdraw tokens of a host.
    Token(TokenArgs),
    /// Print a script that completes commands and flags, or the manual page.
    Completions {
        /// The shell, or `man` for the manual page.
        #[arg(value_name = "SHELL", value_parser = values::Target)]
        target: CompletionTarget,
    },
    /// Print the licences of partyrun and of everything in it.
    Licenses,
}

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// The main party's file, in place of `main` in partykit.json.
    pub(crate) script: Option<String>,
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// Reload pages after a client build, or where none is configured, when a file of the `serve` folder changes.
    #[arg(long)]
    pub(crate) live: bool,
    /// Let a debugger attach to each room [address: 127.0.0.1:9229].
    #[arg(
        long,
        value_name = "HOST:PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = INSPECT,
        value_parser = inspect_address
    )]
    pub(crate) inspect: Option<SocketAddr>,
    /// Like `--inspect`, but each room waits before its first statement until a debugger continues.
    #[arg(
        long,
        value_name = "HOST:PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = INSPECT,
        value_parser = inspect_address,
        conflicts_with = "inspect"
    )]
    pub(crate) inspect_brk: Option<SocketAddr>,
    /// Turn off the hot keys.
    #[arg(long)]
    pub(crate) no_hotkeys: bool,
    /// Accepted for compatibility; `request.cf` is never fetched from the network.
    #[arg(long)]
    pub(crate) disable_request_cf_fetch: bool,
    /// Accepted for compatibility; set PARTYKIT_LOG instead.
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Serve https and wss, with a self-signed certificate that is made once per user.
    #[arg(long)]
    pub(crate) https: bool,
    /// The private key of your own certificate, in PEM form; implies https.
    #[arg(long, value_name = "PATH", requires = "https_cert_path")]
    pub(crate) https_key_path: Option<PathBuf>,
    /// Your own certificate with its chain, in PEM form.
    #[arg(long, value_name = "PATH", requires = "https_key_path")]
    pub(crate) https_cert_path: Option<PathBuf>,
    /// Writes the server bundle there after each build.
    #[arg(long = "unstable_outdir", value_name = "PATH", hide = true)]
    pub(crate) unstable_outdir: Option<PathBuf>,
}

impl DevArgs {
    /// The debugger's flag as it was meant, where its address was taken for the script.
    pub(crate) fn stray_address(&self) -> Option<String> {
        let flag = match (self.inspect, self.inspect_brk) {
            (Some(_), _) => "--inspect",
            (_, Some(_)) => "--inspect-brk",
            _ => return None,
        };
        let script = self.script.as_deref().filter(|script| inspect_address(script).is_ok())?;
        Some(format!("{flag}={script}"))
    }
}

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// A file that `partyrun build` wrote, a project's folder, or the main party's file [default: this folder].
    pub(crate) what: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    #[command(flatten)]
    pub(crate) doors: DoorArgs,
    #[command(flatten)]
    pub(crate) backups: ScheduleArgs,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// The code with which sockets are closed that a restart or an upgrade ends: 1001, 1012, 1013, or 3000 to 4999 [default: 1012].
    #[arg(long, value_name = "CODE", value_parser = close_code)]
    pub(crate) close_code: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// The file to write [default: NAME.partyrun in this folder].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// A project that is not served.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// The main party's file, in place of `main` in partykit.json.
    pub(crate) script: Option<String>,
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
}

impl SourceArgs {
    /// What the configuration needs to know of the flags.
    pub(crate) fn request(&self, cwd: &Path) -> Request {
        self.project.request(cwd, cwd, self.script.clone(), &ListenArgs::default())
    }
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The folder; it is created if it does not exist [default: this folder].
    pub(crate) folder: Option<PathBuf>,
    /// What to begin with.
    #[arg(short, long, value_enum, default_value_t = Template::Typescript)]
    pub(crate) template: Template,
    /// Print the templates, and write nothing.
    #[arg(long)]
    pub(crate) list: bool,
    /// Print what would be written, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The projects that `init` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// A server in TypeScript and a page that talks to it.
    Typescript,
    /// The same in JavaScript.
    Javascript,
    /// A server in TypeScript and a React client, bundled by `serve.build`.
    React,
    /// A chat whose messages are stored.
    Chat,
    /// A text that several people edit at once, with Yjs and CodeMirror.
    Editor,
    /// A chat with a language model, or with its stand-in that needs no network.
    Ai,
    /// A game for two, with a lobby that hibernates.
    Game,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The original's folder of data [default: .partykit/state in the project].
    pub(crate) from: Option<PathBuf>,
    /// A room's name, as in its URL: `ROOM` for every party, or `PARTY/ROOM`. Repeatable.
    #[arg(long = "room", value_name = "[PARTY/]ROOM")]
    pub(crate) rooms: Vec<String>,
    /// A text file, such as a log, that is searched for room names. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub(crate) rooms_from: Vec<PathBuf>,
    /// The configuration file.
    #[arg(short, long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    /// Where storage is kept [default: .partyrun].
    #[arg(long, value_name = "PATH")]
    pub(crate) persist: Option<String>,
    /// Print what would be imported, and import nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What was probably meant by a command line that was refused, where clap has no guess.
pub(crate) fn hint(refused: &clap::Error) -> Option<String> {
    let typed = |kind| match refused.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    match refused.kind() {
        ErrorKind::InvalidSubcommand if refused.get(ContextKind::SuggestedSubcommand).is_none() => {
            let typed = typed(ContextKind::InvalidSubcommand)?;
            if typed.contains(['.', '/']) {
                return Some(format!("To run a file, write `partyrun dev {typed}`."));
            }
            let command = Cli::command();
            let near = command
                .get_subcommands()
                .map(|command| (strsim::osa_distance(&typed, command.get_name()), command.get_name()))
                .min()
                .filter(|(distance, _)| *distance <= 2)?;
            Some(format!("Did you mean `partyrun {}`?", near.1))
        }
        _ => None,
    }
}

// A port, a host, or both, as the `--inspect` of Node takes them.
fn inspect_address(text: &str) -> Result<SocketAddr, String> {
    const PORT: u16 = 9229;
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let text = text.replace("localhost", "127.0.0.1");
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    match text.trim_matches(['[', ']']).parse() {
        Ok(host) => Ok(SocketAddr::new(host, PORT)),
        Err(_) => Err("write an address such as `127.0.0.1:9229`, or a port".to_string()),
    }
}

// A code that says to clients that they may come back.
fn close_code(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(code @ (1001 | 1012 | 1013 | 3000..=4999)) => Ok(code),
        _ => Err("write 1001, 1012, 1013, or a number from 3000 to 4999".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn dev(args: &[&str]) -> Result<Box<DevArgs>, String> {
        let all = ["partyrun", "dev"].iter().chain(args);
        match Cli::try_parse_from(all).map(|cli| cli.command) {
            Ok(Command::Dev(args)) => Ok(args),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_are_read() {
        let args = dev(&["server.ts", "-p", "3000", "-v", "A=1", "B=x=y", "--define", "C='c'", "--persist"])
            .unwrap();
        assert_eq!((args.script.as_deref(), args.listen.port), (Some("server.ts"), Some(3000)));
        let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
        assert_eq!(args.project.var, [pair("A", "1"), pair("B", "x=y")]);
        assert_eq!(args.project.define, [pair("C", "'c'")]);
        assert_eq!(args.listen.persist.as_deref(), Some("true"));
        assert_eq!(dev(&["--persist", "false"]).unwrap().listen.persist.as_deref(), Some("false"));
        assert!(dev(&["--workers", "per-room"]).is_ok());
        let limits =
            |limit: &str| dev(&["--limit", limit]).unwrap().listen.limits(partyrun_limits::Limits::default());
        assert_eq!(limits("spares_per_worker=0").unwrap().spares_per_worker, 0);
        assert!(limits("no_such_limit=0").is_err());
        let hint = |word: &str| hint(&Cli::try_parse_from(["partyrun", word]).unwrap_err());
        assert_eq!(hint("dve").as_deref(), Some("Did you mean `partyrun dev`?"));
        assert_eq!(hint("server.ts").as_deref(), Some("To run a file, write `partyrun dev server.ts`."));
        assert_eq!(hint("nonsense"), None);
        for bad in [
            ["--workers", "0"],
            ["--var", "PARTYRUN_NO_SUCH"],
            ["--port", "70000"],
            ["--inspect=nowhere", "x"],
        ] {
            assert!(dev(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_without_an_equals_sign_is_noticed() {
        let stray = |args: &[&str]| dev(args).unwrap().stray_address();
        assert_eq!(stray(&["--inspect", "9300"]).as_deref(), Some("--inspect=9300"));
        assert_eq!(stray(&["--inspect-brk", "0.0.0.0:5"]).as_deref(), Some("--inspect-brk=0.0.0.0:5"));
        assert_eq!(stray(&["--inspect", "server.ts"]), None);
        assert_eq!(stray(&["9300"]), None);
    }

    #[test]
    fn debuggers_listen_where_they_are_told() {
        let at = |text: &str| dev(&[text, "server.ts"]).unwrap().inspect.map(|address| address.to_string());
        assert_eq!(at("--inspect").as_deref(), Some("127.0.0.1:9229"));
        assert_eq!(at("--inspect=0").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(at("--inspect=localhost:5").as_deref(), Some("127.0.0.1:5"));
        assert_eq!(at("--inspect=0.0.0.0").as_deref(), Some("0.0.0.0:9229"));
        assert!(dev(&["--inspect", "--inspect-brk"]).is_err());
    }
}

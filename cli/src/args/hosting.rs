//! The commands of the hosted platform as they are typed, with the flags of the original, and a few beyond them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::project::ProjectArgs;

pub(super) const DEPLOY_EXAMPLES: &str = "Examples:
  partyrun deploy                             deploy the project of this folder
  partyrun deploy --preview pr-7              to a preview, with data of its own
  partyrun deploy --with-vars --var MODE=live
  partyrun deploy --domain chat.example.com

The host is that of `partyrun login`, or PARTYRUN_URL with PARTYKIT_TOKEN.";

pub(super) const TAIL_EXAMPLES: &str = "Examples:
  partyrun tail
  partyrun tail --status error --method GET --method POST
  partyrun tail --header x-request-id:abc --search lobby
  partyrun tail --ip self --sampling-rate 0.1 --format json";

/// Which host.
#[derive(Debug, Default, Args)]
pub(crate) struct AtArgs {
    /// The host's URL [default: PARTYRUN_URL, or that of `partyrun login`].
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,
}

/// Which project.
#[derive(Debug, Default, Args)]
pub(crate) struct WhichArgs {
    /// The project's name [default: that of partykit.json].
    #[arg(short, long)]
    pub(crate) name: Option<String>,
    /// The configuration file.
    #[arg(short, long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    /// A preview of the project.
    #[arg(long, value_name = "NAME")]
    pub(crate) preview: Option<String>,
    #[command(flatten)]
    pub(crate) at: AtArgs,
}

/// How something is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Json,
    #[default]
    Pretty,
}

#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// The main party's file, in place of `main` in partykit.json.
    pub(crate) script: Option<String>,
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
    /// Deploy the `vars` of partykit.json and of environment files, too.
    #[arg(long)]
    pub(crate) with_vars: bool,
    /// The project's name [default: that of partykit.json].
    #[arg(short, long)]
    pub(crate) name: Option<String>,
    /// Deploy to a preview.
    #[arg(long, value_name = "NAME")]
    pub(crate) preview: Option<String>,
    /// A domain of the project's own.
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// Not supported: `partyrun tail` shows the log.
    #[arg(long, value_name = "WORKER", num_args = 1.., hide = true)]
    pub(crate) tail_consumer: Vec<String>,
    #[command(flatten)]
    pub(crate) at: AtArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The configuration file; accepted, and without effect.
    #[arg(short, long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) at: AtArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Delete without a question.
    #[arg(short, long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) which: WhichArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The release's number [default: the one before the one that runs].
    pub(crate) release: Option<u32>,
    #[command(flatten)]
    pub(crate) which: WhichArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// The preview.
    #[arg(value_name = "PREVIEW")]
    pub(crate) from: String,
    /// The project's name [default: that of partykit.json].
    #[arg(short, long)]
    pub(crate) name: Option<String>,
    /// The configuration file.
    #[arg(short, long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) at: AtArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DomainsArgs {
    #[command(subcommand)]
    pub(crate) command: DomainsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DomainsCommand {
    /// List the project's own domains.
    List(InfoArgs),
    /// Add a domain.
    Add {
        /// The domain.
        domain: String,
        #[command(flatten)]
        which: WhichArgs,
    },
    /// Remove a domain.
    Remove {
        /// The domain.
        domain: String,
        #[command(flatten)]
        which: WhichArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct EnvArgs {
    #[command(subcommand)]
    pub(crate) command: EnvCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EnvCommand {
    /// List the names of the variables.
    List {
        /// How to print them.
        #[arg(short, long, value_enum, default_value_t)]
        format: Format,
        #[command(flatten)]
        which: WhichArgs,
    },
    /// Write the variables into a file.
    Pull {
        /// The file [default: partykit.json].
        file: Option<PathBuf>,
        #[command(flatten)]
        which: WhichArgs,
    },
    /// Set the variables that partykit.json and environment files have.
    Push {
        #[command(flatten)]
        which: WhichArgs,
    },
    /// Set a variable to what is typed, or comes from a pipe.
    Add {
        /// The variable's name.
        key: String,
        #[command(flatten)]
        which: WhichArgs,
    },
    /// Remove a variable, or all of them.
    Remove {
        /// The variable's name [default: all of them].
        key: Option<String>,
        #[command(flatten)]
        which: WhichArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Show lines of the level `debug`, too.
    #[arg(long)]
    pub(crate) debug: bool,
    /// How requests ended: `ok`, `error` or `canceled`. Repeatable.
    #[arg(long, value_parser = ["ok", "error", "canceled"])]
    pub(crate) status: Vec<String>,
    /// Requests with this header, `NAME` or `NAME:VALUE`.
    #[arg(long, value_name = "NAME[:VALUE]")]
    pub(crate) header: Option<String>,
    /// Requests with this method. Repeatable.
    #[arg(long)]
    pub(crate) method: Vec<String>,
    /// The share of lines to show, for example 0.1.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) sampling_rate: Option<f64>,
    /// Lines that hold this text.
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// Requests from this address, or `self`. Repeatable.
    #[arg(long)]
    pub(crate) ip: Vec<String>,
    /// So many of the last lines come first.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) last: usize,
}

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The host's URL, for example https://party.example.com.
    pub(crate) url: Option<String>,
    /// Not supported: a host knows tokens only.
    #[arg(short, long, hide = true)]
    pub(crate) provider: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WhoamiArgs {
    #[command(flatten)]
    pub(crate) at: AtArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScopeName {
    /// Everything.
    Admin,
    /// Deploy to one project and its previews.
    Deploy,
    /// See one project, or all.
    Read,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token.
    Generate {
        /// What the token is for.
        #[arg(long, default_value = "token")]
        name: String,
        /// What it may do.
        #[arg(long, value_enum, default_value_t = ScopeName::Admin)]
        scope: ScopeName,
        /// The project that it is for.
        #[arg(long)]
        project: Option<String>,
        /// The data folder of a host on this machine, in place of a host that you are logged in to.
        #[arg(long, value_name = "DIR", conflicts_with = "to")]
        data: Option<PathBuf>,
        #[command(flatten)]
        at: AtArgs,
    },
    /// List the tokens.
    List {
        #[command(flatten)]
        at: AtArgs,
    },
    /// Withdraw a token.
    Withdraw {
        /// Its number.
        id: u64,
        #[command(flatten)]
        at: AtArgs,
    },
}

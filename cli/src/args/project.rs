//! Flags that several commands share: what the project is, and where it listens and keeps its data.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use partyrun_config::{Host, Overrides, Request};
use partyrun_engine::Workers;
use partyrun_limits::{Limits, SettingError};

use super::values::{Limit, metrics_address, pair};

/// What the project is made from.
#[derive(Debug, Default, Args)]
pub(crate) struct ProjectArgs {
    /// A folder of static files.
    #[arg(long, value_name = "PATH")]
    pub(crate) serve: Option<String>,
    /// The configuration file.
    #[arg(short, long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,
    /// Variables for `room.env`, each `NAME=VALUE`, or `NAME` for the value that it has in the environment.
    #[arg(short = 'v', long, value_name = "NAME[=VALUE]", num_args = 1.., value_parser = variable)]
    pub(crate) var: Vec<(String, String)>,
    /// Names that the build replaces with JavaScript expressions, each `NAME=EXPRESSION`.
    #[arg(short, long, value_name = "NAME=EXPRESSION", num_args = 1.., value_parser = pair)]
    pub(crate) define: Vec<(String, String)>,
    /// An environment file to read in place of `.env` and `.env.local`.
    #[arg(long, value_name = "PATH")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Make the keys of environment files global constants.
    #[arg(long)]
    pub(crate) with_env: bool,
    /// A Workers compatibility date; accepted, and without effect.
    #[arg(long, value_name = "DATE")]
    pub(crate) compatibility_date: Option<String>,
    /// Workers compatibility flags; accepted, and without effect.
    #[arg(long, value_name = "FLAG", num_args = 1..)]
    pub(crate) compatibility_flags: Vec<String>,
    /// Remove white space from the server bundle.
    #[arg(long)]
    pub(crate) minify: bool,
}

/// How the server runs.
#[derive(Debug, Default, Args)]
pub(crate) struct ListenArgs {
    /// The port [default: the configuration's, else 1999, in place of which `dev` takes a free one if it is in use].
    #[arg(short, long, value_parser = port)]
    pub(crate) port: Option<u16>,
    /// The address to listen on, or `localhost` [default: all addresses, of IPv4 and IPv6].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<Host>,
    /// Where storage is kept; `false` keeps it in memory [default: .partyrun].
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) persist: Option<String>,
    /// Threads that run rooms: a number, or `per-room` [default: twice the cores, at least 4].
    #[arg(long, value_name = "COUNT", value_parser = workers)]
    pub(crate) workers: Option<Workers>,
    /// Whose an isolate is: each `room`'s own, or one of all rooms of a `worker` (see docs/isolation.md) [default: room].
    #[arg(long, value_name = "WHOSE", value_parser = ["room", "worker"], hide_possible_values = true)]
    pub(crate) isolation: Option<String>,
    /// Whether messages and responses are compressed for clients that ask for it [default: the configuration's, else true].
    #[arg(long, value_name = "WHETHER", num_args = 0..=1, default_missing_value = "true", hide_possible_values = true)]
    pub(crate) compression: Option<bool>,
    /// A proxy, or a network of proxies, whose `x-forwarded-for` and `-proto` headers are trusted. Repeatable.
    #[arg(long, value_name = "ADDRESS[/BITS]")]
    pub(crate) trusted_proxy: Vec<partyrun_server::Network>,
    /// An origin whose pages may open WebSockets, in place of `allowedOrigins` in partykit.json. Repeatable.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allowed_origin: Vec<String>,
    /// Which servers rooms may reach: `any`, `public` addresses, or a list with commas (see docs/operate.md) [default: any].
    #[arg(long, value_name = "LIST")]
    pub(crate) outbound: Option<partyrun_engine::Outbound>,
    /// Environment variables that reach `room.env` and `process.env`: names, or patterns such as `APP_*`. Repeatable.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) env_pass: Vec<String>,
    /// Serve metrics for Prometheus at `/metrics` of this address: `HOST:PORT`, or a port of this machine only.
    #[arg(long, value_name = "HOST:PORT", value_parser = metrics_address)]
    pub(crate) metrics: Option<std::net::SocketAddr>,
    /// Change a limit (see docs/limits.md), `NAME=VALUE`, where a size is written `64MiB` and a time `10s`. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = Limit, hide_possible_values = true)]
    pub(crate) limit: Vec<(String, String)>,
    /// Print each line as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// For tests: let the administrative API move the clock that rooms, alarms and crons go by.
    #[arg(long, hide = true)]
    pub(crate) test_clock: bool,
}

impl ListenArgs {
    /// The limits in force, from those of the command.
    pub(crate) fn limits(&self, mut limits: Limits) -> Result<Limits, SettingError> {
        for (name, value) in &self.limit {
            limits.set(name, value)?;
        }
        Ok(limits)
    }
}

impl ProjectArgs {
    /// What the configuration needs to know of the flags. Paths in flags are relative to `shell`, the folder that the command
    /// was called in; `cwd` is where the project is looked for.
    pub(crate) fn request(
        &self,
        shell: &Path,
        cwd: &Path,
        script: Option<String>,
        listen: &ListenArgs,
    ) -> Request {
        let absolute = |path: &String| shell.join(path).to_string_lossy().into_owned();
        let persist = listen.persist.as_ref().map(|persist| match persist.as_str() {
            "true" | "false" => persist.clone(),
            _ => absolute(persist),
        });
        Request {
            cwd: cwd.to_path_buf(),
            config: self.config.as_ref().map(|path| shell.join(path)),
            env_files: self.env_file.iter().map(|path| shell.join(path)).collect(),
            env_beside: None,
            environment: passed(&listen.env_pass, std::env::vars_os()),
            without_env_files: false,
            env_local: false,
            overrides: Overrides {
                main: script,
                name: None,
                port: listen.port,
                host: listen.host,
                serve: self.serve.as_ref().map(absolute),
                persist,
                vars: self.var.clone(),
                defines: self.define.clone(),
                with_env: self.with_env,
                minify: self.minify.then_some(true),
                isolation: listen.isolation.clone(),
                compression: listen.compression,
                live: false,
                allowed_origins: listen.allowed_origin.clone(),
                compatibility_date: self.compatibility_date.clone(),
                compatibility_flags: self.compatibility_flags.clone(),
            },
        }
    }
}

// A value on the command line is seen by everybody on the machine (`ps`); one from the environment is not.
fn variable(text: &str) -> Result<(String, String), String> {
    if text.contains('=') {
        return pair(text);
    }
    match std::env::var(text) {
        Ok(value) => Ok((text.to_string(), value)),
        Err(std::env::VarError::NotPresent) => {
            Err(format!("write NAME=VALUE; the environment has no `{text}`"))
        }
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("`{text}` in the environment is no UTF-8")),
    }
}

/// The variables whose names match one of the patterns, in which `*` stands for anything. What is no UTF-8 cannot be a
/// string of JavaScript, and is left out.
fn passed(
    patterns: &[String],
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<(String, String)> {
    // Whoever has the token may do everything: no code of a project gets it by accident.
    let matches = |name: &str| {
        name != super::admin::ADMIN_TOKEN && patterns.iter().any(|pattern| is_match(pattern, name))
    };
    let pairs =
        environment.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut found: Vec<(String, String)> = pairs.filter(|(name, _)| matches(name)).collect();
    found.sort();
    found
}

fn is_match(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(start) else { return false };
    match rest.rsplit_once('*') {
        None => name.ends_with(rest),
        Some((_, end)) => {
            let Some(mut inner) = name.strip_suffix(end) else { return false };
            let parts = rest.split('*').collect::<Vec<_>>();
            let middle = parts.len() - 1;
            parts.into_iter().take(middle).all(|part| match inner.split_once(part) {
                Some((_, after)) => {
                    inner = after;
                    true
                }
                None => false,
            })
        }
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "write a number up to 65535, for example `1999`".to_string())
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
    use super::*;

    #[test]
    fn patterns_choose_variables() {
        let environment = || {
            let names = ["APP_A", "APP_B", "MY_APP_KEY", "HOME", "PARTYRUN_ADMIN_TOKEN"];
            names.into_iter().map(|name| (OsString::from(name), OsString::from("x")))
        };
        let chosen = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            passed(&patterns, environment()).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(chosen(&["APP_*"]), ["APP_A", "APP_B"]);
        assert_eq!(chosen(&["*APP*Y", "HOME", "NONE"]), ["HOME", "MY_APP_KEY"]);
        assert_eq!(chosen(&["*"]).len(), 4);
        assert_eq!(chosen(&["APP", "APP_A_*"]), [""; 0]);
    }
}

//! Values of flags whose completions are more than their type tells.

use std::ffi::OsStr;
use std::net::SocketAddr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command, Error, ValueEnum};
use clap_complete::Shell;

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err("write it as NAME=VALUE".to_string()),
    }
}

/// `NAME=VALUE` of a limit.
#[derive(Clone)]
pub(super) struct Limit;

impl TypedValueParser for Limit {
    type Value = (String, String);

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Self::Value, Error> {
        StringValueParser::new().try_map(|text| pair(&text)).parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let rows = partyrun_limits::TABLE.iter().filter(|row| !row.name.ends_with("_ceiling"));
        Some(Box::new(rows.map(|row| PossibleValue::new(row.name))))
    }
}

/// What `completions` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompletionTarget {
    Shell(Shell),
    Manual,
}

/// The name of a shell, or `man`.
#[derive(Clone)]
pub(super) struct Target;

impl TypedValueParser for Target {
    type Value = CompletionTarget;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Self::Value, Error> {
        StringValueParser::new().try_map(|text| target(&text)).parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let shells = Shell::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        Some(Box::new(shells.chain([PossibleValue::new("man")])))
    }
}

fn target(text: &str) -> Result<CompletionTarget, String> {
    if text == "man" {
        return Ok(CompletionTarget::Manual);
    }
    Shell::from_str(text, true)
        .map(CompletionTarget::Shell)
        .map_err(|_| "write `bash`, `zsh`, `fish`, `elvish`, `powershell` or `man`".to_string())
}

/// An address of this machine that a port alone may name.
pub(super) fn metrics_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse::<u16>().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    port.or_else(|_| text.replace("localhost", "127.0.0.1").parse())
        .map_err(|_| "write an address such as `127.0.0.1:9090`, or a port".to_string())
}

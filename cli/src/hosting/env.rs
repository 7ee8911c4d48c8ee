//! `partyrun env`: variables of a deployed project.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Map, Value, json};

use super::client::segment;
use super::login::typed;
use super::{HostingError, Target, WhichArgs, asks, config, print, print_json};
use crate::args::{EnvArgs, EnvCommand, Format};
use crate::output::escape;

/// Runs the command.
pub(crate) fn run(args: &EnvArgs) -> Result<(), HostingError> {
    match &args.command {
        EnvCommand::List { format, which } => list(*format, which),
        EnvCommand::Pull { file, which } => pull(file.as_deref(), which),
        EnvCommand::Push { which } => push(which),
        EnvCommand::Add { key, which } => {
            let target = Target::of(which)?;
            let value = typed(&format!("Enter the value for {}: ", escape(key)))?;
            target.client.send(Method::POST, &target.path(&format!("/env/{}", segment(key))), value)?;
            print(&format!("Deployed environment variable: {}\n", escape(key)));
            Ok(())
        }
        EnvCommand::Remove { key, which } => remove(key.as_deref(), which),
    }
}

fn names(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(escape)).collect()
}

fn list(format: Format, which: &WhichArgs) -> Result<(), HostingError> {
    let target = Target::of(which)?;
    let found = target.client.get(&target.path("/env?keys=true"))?;
    match format {
        Format::Json => print_json(&found),
        Format::Pretty => print(&format!("Deployed variables: {}\n", names(&found).join(", "))),
    }
    Ok(())
}

fn pull(file: Option<&Path>, which: &WhichArgs) -> Result<(), HostingError> {
    let target = Target::of(which)?;
    let values = target.client.get(&target.path("/env"))?;
    let found = || Some(config(which).ok()?.source.path()?.to_owned());
    let path = file.map(Path::to_owned).or_else(|| which.config.clone()).or_else(found);
    let path = path.unwrap_or_else(|| PathBuf::from("partykit.json"));
    let shown = path.display().to_string();
    let mut whole: Map<String, Value> = match std::fs::read_to_string(&path) {
        Ok(text) => {
            print(&format!("Updating {shown}...\n"));
            serde_json::from_str(&text).map_err(|error| {
                HostingError::Refused(format!(
                    "{shown} is no plain JSON ({error}): name another file to write to."
                ))
            })?
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            print(&format!("Creating {shown}...\n"));
            Map::new()
        }
        Err(error) => return Err(HostingError::Read { path: shown, error }),
    };
    whole.insert("name".to_string(), target.name.clone().into());
    whole.insert("vars".to_string(), values);
    let text = serde_json::to_string_pretty(&whole).unwrap_or_default();
    let failed = |error| HostingError::Write { path: shown.clone(), error };
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    std::fs::write(&draft, format!("{text}\n")).and_then(|()| std::fs::rename(&draft, &path)).map_err(failed)
}

fn push(which: &WhichArgs) -> Result<(), HostingError> {
    let config = config(which)?;
    let target = Target::of(&WhichArgs {
        name: config.name.clone(),
        config: which.config.clone(),
        preview: which.preview.clone(),
        at: crate::args::AtArgs { to: which.at.to.clone() },
    })?;
    if config.vars.is_empty() {
        print("No environment variables to push, exiting...\n");
        return Ok(());
    }
    let body = Value::Object(config.vars.clone()).to_string();
    let pushed = target.client.send(Method::POST, &target.path("/env"), body)?;
    print(&format!("Pushed environment variables: {}\n", names(&pushed).join(", ")));
    Ok(())
}

fn remove(key: Option<&str>, which: &WhichArgs) -> Result<(), HostingError> {
    let target = Target::of(which)?;
    let Some(key) = key else {
        if !std::io::stdin().is_terminal() {
            let message = "Name the variable: all of them are removed only after a question, at a terminal.";
            return Err(HostingError::Refused(message.to_string()));
        }
        if !asks("Are you sure you want to delete all environment variables?") {
            print("Aborted\n");
            return Ok(());
        }
        target.client.send(Method::DELETE, &target.path("/env"), json!({}).to_string())?;
        print("Deleted all deployed environment variables\n");
        return Ok(());
    };
    target.client.send(Method::DELETE, &target.path(&format!("/env/{}", segment(key))), "")?;
    print(&format!("Deleted deployed environment variable: {}\n", escape(key)));
    Ok(())
}

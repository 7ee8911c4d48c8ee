//! `list`, `info`, `delete`, `releases`, `rollback`, `promote`, `domains` and `usage`.

use std::io::IsTerminal;

use http::Method;
use serde_json::{Value, json};

use super::client::{Client, segment};
use super::{HostingError, Target, asks, print, print_json, table, time};
use crate::args::{
    DeleteArgs, DomainsArgs, DomainsCommand, Format, InfoArgs, ListArgs, PromoteArgs, RollbackArgs, WhichArgs,
};
use crate::output::{escape, escape_lines};

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Runs `partyrun list`.
pub(crate) fn list(args: &ListArgs) -> Result<(), HostingError> {
    let projects = Client::find(args.at.to.as_deref())?.get("/v1/projects")?;
    if args.format == Format::Json {
        print_json(&projects);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = projects.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        print("Nothing is deployed yet. Deploy the project of this folder with `partyrun deploy`.\n");
        return Ok(());
    }
    print(&table(
        &["NAME", "PREVIEW", "STATE", "RELEASE", "CONNECTIONS", "STORED", "DEPLOYED", "URL"],
        &rows,
    ));
    Ok(())
}

fn row(project: &Value) -> Vec<String> {
    vec![
        text(&project["name"]),
        text(&project["preview"]),
        text(&project["state"]),
        text(&project["release"]["number"]),
        text(&project["connections"]),
        partyrun_limits::shown_bytes(project["stored_bytes"].as_u64().unwrap_or(0)),
        time(project["release"]["created_ms"].as_i64()),
        text(&project["url"]),
    ]
}

/// Runs `partyrun info`.
pub(crate) fn info(args: &InfoArgs) -> Result<(), HostingError> {
    let target = Target::of(&args.which)?;
    print_json(&target.client.get(&target.path(""))?);
    Ok(())
}

/// Runs `partyrun delete`.
pub(crate) fn delete(args: &DeleteArgs) -> Result<(), HostingError> {
    let target = Target::of(&args.which)?;
    // A name that is wrong is found before anybody is asked.
    let known = target.client.get(&target.path(""))?;
    let url = escape(known["url"].as_str().unwrap_or_default());
    if !args.force {
        if !std::io::stdin().is_terminal() {
            let message = "Cannot delete without --force when running in non-interactive mode";
            return Err(HostingError::Refused(message.to_string()));
        }
        let previews = known["previews"].as_array().map_or(0, Vec::len);
        let more = if previews > 0 && target.preview.is_none() { " with its previews" } else { "" };
        if !asks(&format!("Are you sure you want to delete {url}{more}?")) {
            print("Aborted\n");
            return Ok(());
        }
    }
    let gone = target.client.send(Method::DELETE, &target.path(""), "")?;
    print(&format!("Deleted {}\n", escape(gone["deleted"].as_str().unwrap_or_default())));
    print(&format!("Its data is kept on the host until {}\n", time(gone["kept_until_ms"].as_i64())));
    Ok(())
}

/// Runs `partyrun releases`.
pub(crate) fn releases(args: &InfoArgs) -> Result<(), HostingError> {
    let target = Target::of(&args.which)?;
    let releases = target.client.get(&target.path("/releases"))?;
    let rows: Vec<Vec<String>> = releases
        .as_array()
        .into_iter()
        .flatten()
        .map(|release| {
            vec![
                text(&release["number"]),
                if release["live"] == true { "live".to_string() } else { String::new() },
                time(release["created_ms"].as_i64()),
                text(&release["by"]),
                partyrun_limits::shown_bytes(release["bytes"].as_u64().unwrap_or(0)),
                text(&release["hash"]).chars().take(12).collect(),
            ]
        })
        .collect();
    print(&table(&["RELEASE", "", "DEPLOYED", "BY", "SIZE", "HASH"], &rows));
    Ok(())
}

/// Runs `partyrun rollback`.
pub(crate) fn rollback(args: &RollbackArgs) -> Result<(), HostingError> {
    let target = Target::of(&args.which)?;
    let asked = args.release.map_or(json!({}), |release| json!({ "release": release }));
    let answer = target.client.send(Method::POST, &target.path("/rollback"), asked.to_string())?;
    print(&format!("{} is back at release {}\n", target.shown(), answer["release"]["number"]));
    Ok(())
}

/// Runs `partyrun promote`.
pub(crate) fn promote(args: &PromoteArgs) -> Result<(), HostingError> {
    let which = WhichArgs {
        name: args.name.clone(),
        config: args.config.clone(),
        preview: None,
        at: crate::args::AtArgs { to: args.at.to.clone() },
    };
    let target = Target::of(&which)?;
    let asked = json!({ "preview": args.from }).to_string();
    let answer = target.client.send(Method::POST, &target.path("/promote"), asked)?;
    let url = escape(answer["url"].as_str().unwrap_or_default());
    print(&format!(
        "Deployed the preview {} to {url} as release {}\n",
        args.from, answer["release"]["number"]
    ));
    Ok(())
}

/// Runs `partyrun domains`.
pub(crate) fn domains(args: &DomainsArgs) -> Result<(), HostingError> {
    match &args.command {
        DomainsCommand::List(args) => {
            let target = Target::of(&args.which)?;
            let domains = target.client.get(&target.path("/domains"))?;
            for domain in domains.as_array().into_iter().flatten().filter_map(Value::as_str) {
                print(&format!("{}\n", escape(domain)));
            }
        }
        DomainsCommand::Add { domain, which } => {
            let target = Target::of(which)?;
            let path = target.path(&format!("/domains/{}", segment(domain)));
            let answer = target.client.send(Method::PUT, &path, "")?;
            print(&format!("{} is now at {}\n", target.shown(), escape(domain)));
            if let Some(warning) = answer["warning"].as_str() {
                print(&format!("{}\n", escape_lines(warning)));
            }
        }
        DomainsCommand::Remove { domain, which } => {
            let target = Target::of(which)?;
            target.client.send(Method::DELETE, &target.path(&format!("/domains/{}", segment(domain))), "")?;
            print(&format!("{} is no longer at {}\n", target.shown(), escape(domain)));
        }
    }
    Ok(())
}

/// Runs `partyrun usage`.
pub(crate) fn usage(args: &InfoArgs) -> Result<(), HostingError> {
    let target = Target::of(&args.which)?;
    let days = target.client.get(&target.path("/usage"))?;
    let bytes = |value: &Value| partyrun_limits::shown_bytes(value.as_u64().unwrap_or(0));
    let rows: Vec<Vec<String>> = days
        .as_array()
        .into_iter()
        .flatten()
        .map(|day| {
            vec![
                text(&day["day"]),
                text(&day["requests"]),
                text(&day["sockets"]),
                bytes(&day["bytes_in"]),
                bytes(&day["bytes_out"]),
                format!("{:.1}", day["cpu_ms"].as_f64().unwrap_or(0.0) / 1e3),
                bytes(&day["storage"]),
            ]
        })
        .collect();
    print(&table(&["DAY", "REQUESTS", "SOCKETS", "IN", "OUT", "CPU SECONDS", "STORED"], &rows));
    Ok(())
}

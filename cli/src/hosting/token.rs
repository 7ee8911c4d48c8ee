//! `partyrun token`: makes, lists and withdraws tokens, of a host that one is logged in to or of a data folder on this machine.

use http::Method;
use partyrun_host::Scope;
use serde_json::{Value, json};

use super::client::Client;
use super::{HostingError, print, table, time};
use crate::args::{ScopeName, TokenArgs, TokenCommand};
use crate::output::escape;

/// Runs the command.
pub(crate) fn run(args: &TokenArgs) -> Result<(), HostingError> {
    match &args.command {
        TokenCommand::Generate { name, scope, project, data, at } => {
            let scope = wanted(*scope, project.clone())?;
            let token = match data {
                Some(data) => crate::host::generate(data, name, &scope)?,
                None => {
                    let body = json!({ "name": name, "scope": scope.name(), "project": scope.project() });
                    let made =
                        Client::find(at.to.as_deref())?.send(Method::POST, "/v1/tokens", body.to_string())?;
                    made["token"].as_str().unwrap_or_default().to_string()
                }
            };
            print(&format!(
                "Set these variables where the token is used:\n\nPARTYKIT_LOGIN={}\nPARTYKIT_TOKEN={token}\n\n\
                 Keep the token in a safe place: it is not shown again.\n",
                escape(name)
            ));
        }
        TokenCommand::List { at } => {
            let tokens = Client::find(at.to.as_deref())?.get("/v1/tokens")?;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
            let rows: Vec<Vec<String>> = tokens
                .as_array()
                .into_iter()
                .flatten()
                .map(|token| {
                    vec![
                        token["id"].to_string(),
                        text(&token["name"]),
                        text(&token["scope"]),
                        text(&token["project"]),
                        time(token["created_ms"].as_i64()),
                        time(token["used_ms"].as_i64()),
                        time(token["withdrawn_ms"].as_i64()),
                    ]
                })
                .collect();
            print(&table(&["ID", "NAME", "SCOPE", "PROJECT", "MADE", "LAST USED", "WITHDRAWN"], &rows));
        }
        TokenCommand::Withdraw { id, at } => {
            Client::find(at.to.as_deref())?.send(Method::DELETE, &format!("/v1/tokens/{id}"), "")?;
            print(&format!("Token {id} is withdrawn\n"));
        }
    }
    Ok(())
}

fn wanted(scope: ScopeName, project: Option<String>) -> Result<Scope, HostingError> {
    match (scope, project) {
        (ScopeName::Admin, None) => Ok(Scope::Admin),
        (ScopeName::Admin, Some(_)) => Err(HostingError::Refused(
            "A token for one project has the scope `deploy` or `read`: add `--scope deploy`.".to_string(),
        )),
        (ScopeName::Deploy, Some(project)) => Ok(Scope::Deploy(project)),
        (ScopeName::Deploy, None) => Err(HostingError::Refused(
            "A token that deploys is for one project: name it with `--project`.".to_string(),
        )),
        (ScopeName::Read, project) => Ok(Scope::Read(project)),
    }
}

//! Who asks: tokens with what they may do, and the audit log.

use std::sync::Arc;

use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::problem::Problem;
use super::{Api, Ask, json_answer};
use crate::names::Address;
use crate::proxy::Body;
use crate::registry::{Scope, Token};
use crate::secrets::{new_token, token_hash};

const NAME_CHARS_MAX: usize = 64;

/// A scope as people read it.
pub(super) fn shown(scope: &Scope) -> String {
    match scope {
        Scope::Admin => "admin".to_string(),
        Scope::Deploy(project) => format!("deploy to {project}"),
        Scope::Read(None) => "read".to_string(),
        Scope::Read(Some(project)) => format!("read {project}"),
    }
}

fn row(token: &Token) -> Value {
    json!({
        "id": token.id, "name": token.name, "scope": token.scope.name(), "project": token.scope.project(),
        "created_ms": token.created_ms, "used_ms": token.used_ms, "withdrawn_ms": token.withdrawn_ms,
    })
}

impl Api {
    /// Who the token is, and where projects are.
    pub(super) fn whoami(&self, ask: &Ask) -> Result<Response<Body>, Problem> {
        if ask.method != Method::GET {
            return Err(Problem::missing("Use GET."));
        }
        Ok(json_answer(&json!({
            "login": ask.token.name, "scope": ask.token.scope.name(), "project": ask.token.scope.project(),
            "domain": self.common.domain, "suffix": format!("{}{}", self.common.domain, self.shown_port()),
            "secure": self.secure, "version": env!("CARGO_PKG_VERSION"),
        })))
    }

    /// Lists tokens, makes one, or withdraws one.
    pub(super) async fn tokens(&self, ask: Ask, rest: &[&str]) -> Result<Response<Body>, Problem> {
        if ask.token.scope != Scope::Admin {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "scope",
                "Only a token with the scope `admin` may do this.",
            ));
        }
        let common = Arc::clone(&self.common);
        match (ask.method.as_str(), rest) {
            ("GET", []) => {
                let tokens = common.registry(|registry| registry.tokens()).await?;
                Ok(json_answer(&tokens.iter().map(row).collect()))
            }
            ("POST", []) => {
                let actor = ask.actor();
                let (name, scope) = asked_for(&ask.json(&common).await?)?;
                let token =
                    new_token().map_err(|error| Problem::from(crate::common::HostError::from(error)))?;
                let (hash, kept, named) = (token_hash(&token), scope.clone(), name.clone());
                let id = common.registry(move |registry| registry.add_token(&named, &hash, &kept)).await?;
                self.note(&actor, "token.generate", &name, &shown(&scope)).await?;
                Ok(json_answer(
                    &json!({ "id": id, "name": name, "scope": scope.name(), "project": scope.project(), "token": token }),
                ))
            }
            ("DELETE", [id]) => {
                let id: i64 = id.parse().map_err(|_| Problem::bad("A token is named by its number."))?;
                if !common.registry(move |registry| registry.withdraw(id)).await? {
                    return Err(Problem::missing(format!(
                        "There is no token {id}, or it was withdrawn before."
                    )));
                }
                self.note(&ask.actor(), "token.withdraw", &id.to_string(), "").await?;
                Ok(json_answer(&json!({ "withdrawn": id })))
            }
            _ => Err(Problem::missing("There is no such path.")),
        }
    }

    /// What was done, the newest first.
    pub(super) async fn audit(&self, ask: &Ask) -> Result<Response<Body>, Problem> {
        const COUNT: i64 = 100;
        if ask.token.scope != Scope::Admin {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "scope",
                "Only a token with the scope `admin` may do this.",
            ));
        }
        let before = ask.query("before").map(str::parse).transpose();
        let before = before.map_err(|_| Problem::bad("`before` is the number of an entry."))?;
        let entries = self.common.registry(move |registry| registry.entries(before, COUNT)).await?;
        Ok(json_answer(&json!(entries)))
    }
}

fn asked_for(body: &Value) -> Result<(String, Scope), Problem> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let name = text("name").filter(|name| !name.is_empty() && name.chars().count() <= NAME_CHARS_MAX);
    let name = name.filter(|name| !name.contains(char::is_control));
    let name =
        name.ok_or_else(|| Problem::bad("A token needs a name of at most 64 characters: what it is for."))?;
    let project = text("project");
    if let Some(project) = &project {
        Address::new(project, None).map_err(|error| Problem::bad(format!("{error}.")))?;
    }
    let scope = text("scope").and_then(|scope| Scope::of(&scope, project));
    let scope = scope.ok_or_else(|| {
        Problem::bad(
            "A token's scope is `admin`, `deploy` with a project, or `read` with or without a project.",
        )
    })?;
    Ok((name, scope))
}

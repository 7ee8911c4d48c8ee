//! Variables of a project: their names are shown to everybody who may see the project, their values to those who may deploy it.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::{Api, Ask, json_answer};
use crate::common::{HostError, place};
use crate::names::Address;
use crate::proxy::Body;
use crate::site::Site;

const NAME_BYTES_MAX: usize = 256;

fn check_name(name: &str) -> Result<(), Problem> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_name = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(is_part)
        && !name.starts_with(|first: char| first.is_ascii_digit());
    if is_name {
        return Ok(());
    }
    let shown: String = name.chars().take(NAME_BYTES_MAX).flat_map(char::escape_default).collect();
    Err(Problem::bad(format!("`{shown}` is no name for a variable: use letters, digits and `_`.")))
}

impl Api {
    /// The names of the variables, or all with their values.
    pub(super) async fn values(&self, ask: &Ask, site: &Arc<Site>) -> Result<Response<Body>, Problem> {
        if ask.is_set("keys") {
            let id = site.id;
            let stored = self.common.registry(move |registry| registry.values(id)).await?;
            return Ok(json_answer(&stored.into_iter().map(|(name, _)| name).collect()));
        }
        if !ask.token.scope.deploys(&site.address.project) {
            let message = "This token may see the names of variables only (`keys=true`).";
            return Err(Problem::new(StatusCode::FORBIDDEN, "scope", message));
        }
        let values = self.common.environment(site.id).await?;
        self.note(&ask.actor(), "env.pull", &site.address.to_string(), "").await?;
        let values: Map<String, Value> =
            values.into_iter().map(|(name, value)| (name, value.into())).collect();
        Ok(json_answer(&Value::Object(values)))
    }

    /// Sets several variables.
    pub(super) async fn set_values(&self, ask: Ask, address: &Address) -> Result<Response<Body>, Problem> {
        let actor = ask.actor();
        let Value::Object(given) = ask.json(&self.common).await? else {
            return Err(Problem::bad("Write an object with the variables."));
        };
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let given: Vec<(String, String)> =
            given.into_iter().map(|(name, value)| (name, text(value))).collect();
        self.store(&actor, address, given, "env.push").await
    }

    /// Sets one variable.
    pub(super) async fn set_value(
        &self,
        ask: Ask,
        address: &Address,
        name: &str,
    ) -> Result<Response<Body>, Problem> {
        let actor = ask.actor();
        let body = ask.body(&self.common).await?;
        let value = String::from_utf8(body.to_vec()).map_err(|_| Problem::bad("The value is no UTF-8."))?;
        self.store(&actor, address, vec![(name.to_string(), value)], "env.add").await
    }

    async fn store(
        &self,
        actor: &super::Actor,
        address: &Address,
        given: Vec<(String, String)>,
        action: &str,
    ) -> Result<Response<Body>, Problem> {
        given.iter().try_for_each(|(name, _)| check_name(name))?;
        let site = self.site_or_new(address).await?;
        let mut bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
        for (name, value) in self.common.environment(site.id).await? {
            if !given.iter().any(|(new, _)| *new == name) {
                bytes += name.len() + value.len();
            }
        }
        if bytes > self.common.limits.host_values_bytes_max {
            let limit = self.common.limits.cite("host_values_bytes_max");
            let message = format!("The variables are too long ({limit}).");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", message));
        }
        let encrypt = |(name, value): &(String, String)| {
            let stored =
                self.common.secrets.encrypt(&place(site.id, name), value).map_err(HostError::from)?;
            Ok::<_, HostError>((name.clone(), stored))
        };
        let stored = given.iter().map(encrypt).collect::<Result<Vec<_>, _>>()?;
        let id = site.id;
        self.common.registry(move |registry| registry.set_values(id, &stored)).await?;
        let names: Vec<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
        self.note(actor, action, &site.address.to_string(), &names.join(", ")).await?;
        site.restart().await;
        Ok(json_answer(&json!(names)))
    }

    /// Removes one variable, or all of them.
    pub(super) async fn remove_values(
        &self,
        ask: &Ask,
        site: &Arc<Site>,
        name: Option<&str>,
    ) -> Result<Response<Body>, Problem> {
        let (id, named) = (site.id, name.map(str::to_owned));
        let count =
            self.common.registry(move |registry| registry.remove_values(id, named.as_deref())).await?;
        if let (0, Some(name)) = (count, name) {
            let shown: String = name.chars().take(NAME_BYTES_MAX).flat_map(char::escape_default).collect();
            return Err(Problem::missing(format!("There is no variable `{shown}`.")));
        }
        self.note(&ask.actor(), "env.remove", &site.address.to_string(), name.unwrap_or("all")).await?;
        site.restart().await;
        Ok(json_answer(&json!({ "removed": count })))
    }
}

//! What a release says of itself. Its settings become a configuration, so that they hold nothing but what `partyrun build`
//! writes: no paths, no commands.

use partyrun_config::{Config, Cors, Persist};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::FORMAT;
use crate::build::Parts;

/// The manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(super) format: u32,
    /// The version that wrote it.
    pub(super) partyrun: String,
    /// Names the content: all files of the release but this one.
    pub(crate) hash: String,
    pub(super) parties: Vec<String>,
    pub(super) wasm: usize,
    pub(super) binaries: usize,
    /// What matters of the configuration when it runs, as a partykit.json has it.
    pub(super) settings: Map<String, Value>,
}

impl Manifest {
    pub(crate) fn new(config: &Config, parts: &Parts, hash: String) -> Self {
        Self {
            format: FORMAT,
            partyrun: env!("CARGO_PKG_VERSION").to_string(),
            hash,
            parties: parts.parties.clone(),
            wasm: parts.wasm.len(),
            binaries: parts.binaries.len(),
            settings: settings(config),
        }
    }

    /// Whether the configuration says that storage is not kept.
    pub(crate) fn forgets(&self) -> bool {
        self.settings.get("persist") == Some(&Value::Bool(false))
    }

    /// What is wrong with it by itself.
    pub(super) fn check(&self) -> Result<(), String> {
        let is_hash = |text: &str| {
            text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !is_hash(&self.hash) {
            return Err("its hash is none".to_string());
        }
        let is_version = |byte: u8| byte.is_ascii_alphanumeric() || b".+-".contains(&byte);
        if self.partyrun.len() > 64 || !self.partyrun.bytes().all(is_version) {
            return Err("its version is none".to_string());
        }
        let is_slug = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        let is_party = |name: &String| !name.is_empty() && name.bytes().all(is_slug);
        let mut parties = self.parties.clone();
        parties.sort_unstable();
        parties.dedup();
        if !self.parties.iter().all(is_party)
            || parties.len() != self.parties.len()
            || self.parties.last().is_none_or(|last| last != "main")
        {
            return Err("its parties are not the names of parties".to_string());
        }
        for (name, value) in &self.settings {
            if !is_setting(name, value) {
                let name = super::archive::shown(name);
                return Err(format!("its setting {name} is not as `partyrun build` writes it"));
            }
        }
        Ok(())
    }
}

// Whether a setting is one that `settings` can have made. What it means, the configuration checks.
fn is_setting(name: &str, value: &Value) -> bool {
    match name {
        "name" | "compatibilityDate" => value.is_string(),
        "port" => value.as_u64().is_some_and(|port| u16::try_from(port).is_ok()),
        "vars" => value.is_object(),
        "crons" | "vectorize" => are_texts(value),
        "persist" => *value == Value::Bool(false),
        "allowedOrigins" => is_list_of_texts(value),
        "cors" => fields(value, |name, value| match name {
            "credentials" => value.is_boolean(),
            "maxAge" => value.is_number(),
            "origins" | "methods" | "headers" | "exposeHeaders" => is_list_of_texts(value),
            _ => false,
        }),
        "bindings" => fields(value, |name, value| matches!(name, "kv" | "r2") && are_texts(value)),
        "ai" => {
            let known = |name: &str| matches!(name, "apiGateway" | "apiToken" | "apiAccount");
            *value == Value::Bool(true) || fields(value, |name, value| known(name) && value.is_string())
        }
        "serve" => {
            value.is_object()
                && fields(value, |name, value| match name {
                    "path" => value == "assets",
                    "singlePageApp" => value.is_boolean(),
                    "browserTTL" => value.is_number(),
                    "include" | "exclude" => is_list_of_texts(value),
                    _ => false,
                })
        }
        _ => false,
    }
}

fn fields(value: &Value, allowed: impl Fn(&str, &Value) -> bool) -> bool {
    value.as_object().is_some_and(|fields| fields.iter().all(|(name, value)| allowed(name, value)))
}

fn is_list_of_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|list| list.iter().all(Value::is_string))
}

fn are_texts(value: &Value) -> bool {
    fields(value, |_, value| value.is_string())
}

// The fields of partykit.json that say something about running, with the values that flags gave them.
fn settings(config: &Config) -> Map<String, Value> {
    let pairs = |list: &[(String, String)]| -> Value {
        list.iter()
            .map(|(name, value)| (name.clone(), Value::from(value.clone())))
            .collect::<Map<_, _>>()
            .into()
    };
    let mut settings = Map::new();
    let mut set = |name: &str, value: Value| {
        let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        if !empty {
            settings.insert(name.to_string(), value);
        }
    };
    set("name", config.name.clone().into());
    set("port", config.port.into());
    set("vars", config.vars.clone().into());
    set("crons", pairs(&config.crons));
    set("vectorize", pairs(&config.vectorize));
    set("allowedOrigins", config.allowed_origins.clone().into());
    set("cors", config.cors.as_ref().map(cors).into());
    set("compatibilityDate", config.compatibility_date.clone().into());
    if config.persist == Persist::No {
        set("persist", false.into());
    }
    let mut bindings = Map::new();
    for (name, list) in [("kv", &config.bindings.kv), ("r2", &config.bindings.r2)] {
        if !list.is_empty() {
            bindings.insert(name.to_string(), pairs(list));
        }
    }
    set("bindings", bindings.into());
    if let Some(ai) = &config.ai {
        let fields = [("apiGateway", &ai.gateway), ("apiToken", &ai.token), ("apiAccount", &ai.account)];
        let given =
            fields.into_iter().filter_map(|(name, value)| Some((name.to_string(), value.clone()?.into())));
        let given: Map<String, Value> = given.collect();
        set("ai", if given.is_empty() { true.into() } else { given.into() });
    }
    if let Some(serve) = &config.serve {
        let mut fields = json!({ "path": "assets", "singlePageApp": serve.single_page_app });
        if let Some(seconds) = serve.browser_ttl_seconds {
            fields["browserTTL"] = seconds.into();
        }
        for (name, globs) in [("include", &serve.include), ("exclude", &serve.exclude)] {
            if !globs.is_empty() {
                fields[name] = globs.clone().into();
            }
        }
        set("serve", fields);
    }
    settings
}

// An object with a field at least, so that it counts where nothing is said but that there is CORS.
fn cors(cors: &Cors) -> Value {
    let mut fields = json!({ "credentials": cors.credentials });
    if let Some(origins) = &cors.origins {
        fields["origins"] = origins.clone().into();
    }
    for (name, list) in
        [("methods", &cors.methods), ("headers", &cors.headers), ("exposeHeaders", &cors.expose_headers)]
    {
        if !list.is_empty() {
            fields[name] = list.clone().into();
        }
    }
    if let Some(seconds) = cors.max_age_seconds {
        fields["maxAge"] = seconds.into();
    }
    fields
}

//! The local bindings of a project (spec 2.14): what its code gets, and their database.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use partyrun_bindings::{BindingError, Bindings, Call};
use partyrun_config::Config;
use partyrun_engine::{BindingCall, BindingReply};
use partyrun_limits::Limits;
use serde_json::{Map, Value, json};

/// What `js/58_resources.js` makes the bindings from.
pub(crate) fn resources(config: &Config) -> Value {
    let named = |pairs: &[(String, String)]| {
        let pairs = pairs.iter().map(|(name, bound)| (name.clone(), json!(bound)));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    let mut resources = json!({
        "kv": named(&config.bindings.kv), "r2": named(&config.bindings.r2), "vectorize": named(&config.vectorize),
    });
    if let (Some(ai), Some(resources)) = (ai(config), resources.as_object_mut()) {
        resources.insert("ai".to_string(), ai);
    }
    resources
}

// `context.ai`, if there is an endpoint that it could name. It speaks as OpenAI's API does.
fn ai(config: &Config) -> Option<Value> {
    let ai = config.ai.as_ref()?;
    let endpoint = ai.gateway.as_ref()?;
    let mut headers = Map::new();
    if let Some(token) = &ai.token {
        headers.insert("authorization".to_string(), json!(format!("Bearer {token}")));
    }
    Some(json!({
        "apiGateway": endpoint, "apiEndpoint": endpoint, "apiToken": ai.token,
        "sessionOptions": { "extraHeaders": headers },
    }))
}

/// A line for who asks for `ai` without an endpoint.
pub(crate) fn ai_missing(config: &Config) -> Option<&'static str> {
    let missing = config.ai.is_some() && ai(config).is_none();
    missing.then_some(
        "`context.ai` is undefined: set `ai.apiGateway` to an endpoint that speaks OpenAI's API, for example \
         http://localhost:11434/v1.",
    )
}

/// Opens the database, if the configuration binds anything.
pub(crate) fn open(config: &Config, limits: &Limits) -> Result<Option<Bindings>, BindingError> {
    let bound = &config.bindings;
    if bound.kv.is_empty() && bound.r2.is_empty() && config.vectorize.is_empty() {
        return Ok(None);
    }
    Bindings::open(config.persist.path(), Arc::new(limits.clone())).map(Some)
}

/// Runs a call of user code.
pub(crate) fn call(
    bindings: Option<Bindings>,
    call: BindingCall,
) -> BoxFuture<'static, Result<BindingReply, String>> {
    let BindingCall { kind, binding, method, arguments, bytes } = call;
    let calling = async move {
        let bindings = bindings.ok_or_else(|| "the configuration has no bindings".to_string())?;
        let call = Call { kind, binding, method, arguments, bytes };
        let reply = bindings.call(call).await.map_err(|error| error.to_string())?;
        Ok(BindingReply { json: reply.json, bytes: reply.bytes })
    };
    calling.boxed()
}

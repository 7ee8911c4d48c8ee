//! `/healthz` and `/readyz`: for programs that watch the server, without a token.

use http::StatusCode;
use serde_json::json;

use crate::answer::{Answer, json, json_with};
use crate::target::Target;

/// The process answers: that is all.
pub(crate) fn alive() -> Answer {
    json(&json!({ "status": "ok" }))
}

/// Whether requests should be sent here.
pub(crate) async fn ready(target: Option<&Target>) -> Answer {
    let Some(target) = target else {
        return json_with(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "starting", "checks": {} }));
    };
    let (status, found) = target.health.summary().await;
    json_with(StatusCode::from_u16(status).unwrap_or(StatusCode::OK), &found)
}

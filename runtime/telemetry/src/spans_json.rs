//! Spans as OTLP has them in JSON, written straight into the text: a tree of values for each would cost ten times as much, and
//! is a third of what a sampled event costs.

use std::fmt::Display;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::settings::nanoseconds;
use crate::traces::{Attribute, Ended, Side};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    resource_spans: [OfResource<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfResource<'a> {
    resource: &'a Value,
    scope_spans: [OfScope<'a>; 1],
}

#[derive(Serialize)]
struct OfScope<'a> {
    scope: &'a Value,
    spans: Vec<Sent<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent<'a> {
    trace_id: String,
    span_id: String,
    parent_span_id: &'a str,
    trace_state: &'a str,
    flags: u8,
    name: &'a str,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Named<'a> {
    key: &'a str,
    value: Written<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Written<'a> {
    StringValue(&'a str),
    // A number of 64 bits is a text in OTLP's JSON.
    #[serde(serialize_with = "shown")]
    IntValue(i64),
}

#[derive(Serialize)]
struct Status {
    code: u8,
    message: &'static str,
}

fn shown<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// What is sent of these spans.
pub(crate) fn body(resource: &Value, scope: &Value, spans: &[Ended]) -> String {
    let spans = spans.iter().map(sent).collect();
    let body = Body { resource_spans: [OfResource { resource, scope_spans: [OfScope { scope, spans }] }] };
    // Nothing of it can fail.
    serde_json::to_string(&body).unwrap_or_default()
}

fn sent(ended: &Ended) -> Sent<'_> {
    let attributes = ended.attributes.iter().map(|(key, value)| {
        let value = match value {
            Attribute::Text(text) => Written::StringValue(text),
            Attribute::Number(number) => Written::IntValue(*number),
        };
        Named { key, value }
    });
    Sent {
        trace_id: ended.place.trace_id(),
        span_id: ended.place.span_id(),
        parent_span_id: ended.parent.as_deref().unwrap_or_default(),
        trace_state: ended.place.state(),
        flags: 1,
        name: &ended.name,
        kind: match ended.side {
            Side::Internal => 1,
            Side::Server => 2,
            Side::Client => 3,
        },
        start_time_unix_nano: nanoseconds(ended.from),
        end_time_unix_nano: nanoseconds(ended.to),
        attributes: attributes.collect(),
        status: ended.failure.map(|message| Status { code: 2, message }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use serde_json::json;

    use super::*;
    use crate::traces::Place;

    #[test]
    fn a_span_is_written_as_the_protocol_says() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        let ended = Ended {
            place: Place::read(parent, "vendor=1").unwrap(),
            parent: Some("00f067aa0ba902b7".to_owned()),
            side: Side::Server,
            name: "GET \"x\"".into(),
            from: at(1500),
            to: at(1501),
            attributes: vec![("a", Attribute::Text("\u{1}\"".to_owned())), ("b", Attribute::Number(-500))],
            failure: Some("no"),
        };
        let (resource, scope) = (json!({ "attributes": [] }), json!({ "name": "partyrun" }));
        let text = body(&resource, &scope, &[ended]);
        let span = json!({
            "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331",
            "parentSpanId": "00f067aa0ba902b7", "traceState": "vendor=1", "flags": 1, "name": "GET \"x\"", "kind": 2,
            "startTimeUnixNano": "1500000000", "endTimeUnixNano": "1501000000",
            "attributes": [
                { "key": "a", "value": { "stringValue": "\u{1}\"" } }, { "key": "b", "value": { "intValue": "-500" } },
            ],
            "status": { "code": 2, "message": "no" },
        });
        let scoped = json!([{ "scope": scope, "spans": [span] }]);
        let expected = json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": scoped }] });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }
}

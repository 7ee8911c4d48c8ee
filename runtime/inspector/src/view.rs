//! What a debugger sees of an isolate: the project's code, without the runtime's scripts and frames.
//!
//! V8 tells of every script and frame. Ours are hidden here: the scripts are not announced, frames are taken from stacks, and
//! stepping passes over them. Only the few kinds of messages that carry them are read; a heap snapshot passes as it is.

use serde_json::{Value, json};

/// The scripts of the runtime.
const OWN_SCRIPTS: &str = "^(ext:|warm\\.js$)";
/// The id of requests of our own, which no debugger reaches: they count from 1.
const OWN_ID: i32 = 2_147_483_000;
/// How deep asynchronous stacks are looked through.
const PARENTS_MAX: usize = 64;

/// How V8 tells that code waits at a breakpoint.
const PAUSED: &str = r#"{"method":"Debugger.paused""#;
/// The kinds of messages that have stacks.
const WITH_STACKS: [&str; 3] =
    [PAUSED, r#"{"method":"Runtime.consoleAPICalled""#, r#"{"method":"Runtime.exceptionThrown""#];
/// Tells of a script.
const SCRIPT: [&str; 2] =
    [r#"{"method":"Debugger.scriptParsed""#, r#"{"method":"Debugger.scriptFailedToParse""#];

/// The messages that go to the isolate in place of a debugger's.
pub(crate) fn to_isolate(message: String) -> Vec<String> {
    // Most messages are neither; the text may stand elsewhere in them.
    let is_enable = message.contains("Debugger.enable");
    if !is_enable && !message.contains("Debugger.setBlackbox") {
        return vec![message];
    }
    let Ok(mut parsed) = serde_json::from_str::<Value>(&message) else { return vec![message] };
    match parsed.get("method").and_then(Value::as_str) {
        Some("Debugger.enable") => {
            let hide = json!({
                "id": OWN_ID,
                "method": "Debugger.setBlackboxPatterns",
                "params": { "patterns": [OWN_SCRIPTS] },
            });
            vec![message, hide.to_string()]
        }
        Some("Debugger.setBlackboxPatterns") => {
            match parsed.pointer_mut("/params/patterns").and_then(Value::as_array_mut) {
                Some(patterns) => patterns.push(OWN_SCRIPTS.into()),
                None => return vec![message],
            }
            vec![parsed.to_string()]
        }
        _ => vec![message],
    }
}

/// What a debugger sees of an isolate's message, if anything.
pub(crate) fn from_isolate(message: String) -> Option<String> {
    if message.starts_with(&format!("{{\"id\":{OWN_ID},")) {
        return None;
    }
    if SCRIPT.iter().any(|start| message.starts_with(start)) {
        let parsed = serde_json::from_str::<Value>(&message).ok();
        let is_hidden = parsed.as_ref().and_then(|parsed| parsed.pointer("/params/url")).is_some_and(is_own);
        return (!is_hidden).then_some(message);
    }
    if !WITH_STACKS.iter().any(|start| message.starts_with(start)) {
        return Some(message);
    }
    let Ok(mut parsed) = serde_json::from_str::<Value>(&message) else { return Some(message) };
    if let Some(params) = parsed.get_mut("params") {
        hide_frames(params);
        for place in ["stackTrace", "asyncStackTrace"] {
            params.get_mut(place).into_iter().for_each(hide_in_stack);
        }
        params.pointer_mut("/exceptionDetails/stackTrace").into_iter().for_each(hide_in_stack);
    }
    Some(parsed.to_string())
}

/// Whether a message tells that code waits until somebody lets it go on: not before a script, where debuggers set their
/// breakpoints and go on at once.
pub(crate) fn is_pause(message: &str) -> bool {
    message.starts_with(PAUSED) && !message.contains(r#""reason":"instrumentation""#)
}

// A stack, and those that it came from.
fn hide_in_stack(stack: &mut Value) {
    let mut stack = Some(stack);
    for _ in 0..PARENTS_MAX {
        let Some(one) = stack else { return };
        hide_frames(one);
        stack = one.get_mut("parent");
    }
}

// A stack of ours alone stays: a debugger shows a place for each message.
fn hide_frames(holder: &mut Value) {
    let Some(frames) = holder.get_mut("callFrames").and_then(Value::as_array_mut) else { return };
    if frames.iter().any(|frame| !frame.get("url").is_some_and(is_own)) {
        frames.retain(|frame| !frame.get("url").is_some_and(is_own));
    }
}

fn is_own(url: &Value) -> bool {
    url.as_str().is_some_and(|url| url.starts_with("ext:") || url == "warm.js")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_scripts_and_frames_are_hidden() {
        let script =
            |url: &str| format!(r#"{{"method":"Debugger.scriptParsed","params":{{"url":"{url}"}}}}"#);
        assert_eq!(from_isolate(script("ext:partyrun/70_room.js")), None);
        assert_eq!(from_isolate(script("warm.js")), None);
        assert_eq!(from_isolate(script("file:///bundle.js")), Some(script("file:///bundle.js")));
        let paused = r#"{"method":"Debugger.paused","params":{"callFrames":[{"url":"file:///bundle.js"},{"url":"ext:a"}],"asyncStackTrace":{"callFrames":[{"url":"ext:b"}],"parent":{"callFrames":[{"url":"ext:c"},{"url":"x"}]}}}}"#;
        let seen: Value = serde_json::from_str(&from_isolate(paused.to_string()).unwrap()).unwrap();
        let params = &seen["params"];
        assert_eq!(params["callFrames"], json!([{ "url": "file:///bundle.js" }]));
        assert_eq!(params["asyncStackTrace"]["callFrames"], json!([{ "url": "ext:b" }]));
        assert_eq!(params["asyncStackTrace"]["parent"]["callFrames"], json!([{ "url": "x" }]));
        assert!(is_pause(paused));
        assert!(!is_pause(r#"{"method":"Debugger.paused","params":{"reason":"instrumentation"}}"#));
    }

    #[test]
    fn stepping_passes_over_our_scripts() {
        let enable = r#"{"id":3,"method":"Debugger.enable"}"#.to_string();
        let sent = to_isolate(enable.clone());
        assert_eq!(sent[0], enable);
        assert!(sent[1].contains("setBlackboxPatterns") && sent[1].contains("ext:"), "{}", sent[1]);
        assert_eq!(from_isolate(format!("{{\"id\":{OWN_ID},\"result\":{{}}}}")), None);
        let set = r#"{"id":4,"method":"Debugger.setBlackboxPatterns","params":{"patterns":["a"]}}"#;
        let sent: Value = serde_json::from_str(&to_isolate(set.to_string())[0]).unwrap();
        assert_eq!(sent["params"]["patterns"], json!(["a", OWN_SCRIPTS]));
        // What is no message is V8's to refuse.
        for other in ["Debugger.enable", "{}", r#"{"method":"Runtime.enable","x":"Debugger.enable"}"#] {
            assert_eq!(to_isolate(other.to_string()), [other]);
        }
    }
}

//! What a debugger sees of an isolate: the project's code, without the runtime's scripts and frames.
//!
//! V8 tells of every script and frame. Ours are hidden here: the scripts are not announced, frames are taken from stacks, and
//! stepping passes over them. Only the few kinds of messages that carry them are read; a heap snapshot passes as it is.

use std::collections::HashSet;

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

/// One debugger's view of one isolate.
pub(crate) struct View {
    // The runtime's scripts by their ids: frames at a breakpoint have no URL.
    hidden: HashSet<String>,
    pauses_before_scripts: bool,
}

impl View {
    /// Of an isolate that pauses before each script that has a source map, if `pauses_before_scripts` says so. There a
    /// debugger sets its breakpoints and goes on by itself. VS Code understands that, and asks for it for browsers only: for
    /// a room's first event its breakpoints would come too late.
    pub(crate) fn new(pauses_before_scripts: bool) -> Self {
        Self { hidden: HashSet::new(), pauses_before_scripts }
    }

    /// The messages that go to the isolate in place of a debugger's.
    pub(crate) fn to_isolate(&self, message: String) -> Vec<String> {
        // Most messages are neither; the text may stand elsewhere in them.
        if !message.contains("Debugger.enable") && !message.contains("Debugger.setBlackbox") {
            return vec![message];
        }
        let Ok(mut parsed) = serde_json::from_str::<Value>(&message) else { return vec![message] };
        match parsed.get("method").and_then(Value::as_str) {
            Some("Debugger.enable") => {
                let mut messages = vec![message];
                messages.push(own("Debugger.setBlackboxPatterns", &json!({ "patterns": [OWN_SCRIPTS] })));
                if self.pauses_before_scripts {
                    let before = json!({ "instrumentation": "beforeScriptWithSourceMapExecution" });
                    messages.push(own("Debugger.setInstrumentationBreakpoint", &before));
                }
                messages
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
    pub(crate) fn seen_of(&mut self, message: String) -> Option<String> {
        if message.starts_with(&format!("{{\"id\":{OWN_ID},")) {
            return None;
        }
        if SCRIPT.iter().any(|start| message.starts_with(start)) {
            return (!self.hide_script(&message)).then_some(message);
        }
        if !WITH_STACKS.iter().any(|start| message.starts_with(start)) {
            return Some(message);
        }
        let Ok(mut parsed) = serde_json::from_str::<Value>(&message) else { return Some(message) };
        if let Some(params) = parsed.get_mut("params") {
            self.hide_frames(params);
            for place in ["stackTrace", "asyncStackTrace"] {
                params.get_mut(place).into_iter().for_each(|stack| self.hide_in_stack(stack));
            }
            let details = params.pointer_mut("/exceptionDetails/stackTrace");
            details.into_iter().for_each(|stack| self.hide_in_stack(stack));
        }
        Some(parsed.to_string())
    }

    // Whether a message tells of a script of ours.
    fn hide_script(&mut self, message: &str) -> bool {
        let Ok(parsed) = serde_json::from_str::<Value>(message) else { return false };
        if !parsed.pointer("/params/url").is_some_and(is_own) {
            return false;
        }
        if let Some(id) = parsed.pointer("/params/scriptId").and_then(Value::as_str) {
            self.hidden.insert(id.to_string());
        }
        true
    }

    // A stack, and those that it came from.
    fn hide_in_stack(&self, stack: &mut Value) {
        let mut stack = Some(stack);
        for _ in 0..PARENTS_MAX {
            let Some(one) = stack else { return };
            self.hide_frames(one);
            stack = one.get_mut("parent");
        }
    }

    // A stack of ours alone stays: a debugger shows a place for each message.
    fn hide_frames(&self, holder: &mut Value) {
        let Some(frames) = holder.get_mut("callFrames").and_then(Value::as_array_mut) else { return };
        if frames.iter().any(|frame| !self.is_hidden(frame)) {
            frames.retain(|frame| !self.is_hidden(frame));
        }
    }

    fn is_hidden(&self, frame: &Value) -> bool {
        let script = frame.get("scriptId").or_else(|| frame.pointer("/location/scriptId"));
        let is_known = script.and_then(Value::as_str).is_some_and(|id| self.hidden.contains(id));
        is_known || frame.get("url").is_some_and(is_own)
    }
}

// A request of our own.
fn own(method: &str, params: &Value) -> String {
    json!({ "id": OWN_ID, "method": method, "params": params }).to_string()
}

/// Whether a message tells that code waits until somebody lets it go on: not before a script, where debuggers set their
/// breakpoints and go on at once.
pub(crate) fn is_pause(message: &str) -> bool {
    message.starts_with(PAUSED) && !message.contains(r#""reason":"instrumentation""#)
}

fn is_own(url: &Value) -> bool {
    url.as_str().is_some_and(|url| url.starts_with("ext:") || url == "warm.js")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_scripts_and_frames_are_hidden() {
        let mut view = View::new(false);
        let script = |url: &str, id: &str| {
            format!(r#"{{"method":"Debugger.scriptParsed","params":{{"scriptId":"{id}","url":"{url}"}}}}"#)
        };
        assert_eq!(view.seen_of(script("ext:partyrun/70_room.js", "7")), None);
        assert_eq!(view.seen_of(script("warm.js", "8")), None);
        let bundle = script("file:///bundle.js", "9");
        assert_eq!(view.seen_of(bundle.clone()), Some(bundle));
        let paused = [
            r#"{"method":"Debugger.paused","params":{"callFrames":[{"url":"","location":{"scriptId":"9"}},"#,
            r#"{"url":"","location":{"scriptId":"7"}}],"asyncStackTrace":{"callFrames":[{"url":"ext:b"}],"#,
            r#""parent":{"callFrames":[{"url":"ext:c"},{"url":"x"}]}}}}"#,
        ]
        .concat();
        let seen: Value = serde_json::from_str(&view.seen_of(paused.clone()).unwrap()).unwrap();
        let params = &seen["params"];
        assert_eq!(params["callFrames"], json!([{ "url": "", "location": { "scriptId": "9" } }]));
        assert_eq!(params["asyncStackTrace"]["callFrames"], json!([{ "url": "ext:b" }]));
        assert_eq!(params["asyncStackTrace"]["parent"]["callFrames"], json!([{ "url": "x" }]));
        assert!(is_pause(&paused));
        assert!(!is_pause(r#"{"method":"Debugger.paused","params":{"reason":"instrumentation"}}"#));
    }

    #[test]
    fn stepping_passes_over_our_scripts() {
        let mut view = View::new(false);
        let enable = r#"{"id":3,"method":"Debugger.enable"}"#.to_string();
        let sent = view.to_isolate(enable.clone());
        assert_eq!((sent.len(), &sent[0]), (2, &enable));
        assert!(sent[1].contains("setBlackboxPatterns") && sent[1].contains("ext:"), "{}", sent[1]);
        assert_eq!(view.seen_of(format!("{{\"id\":{OWN_ID},\"result\":{{}}}}")), None);
        let set = r#"{"id":4,"method":"Debugger.setBlackboxPatterns","params":{"patterns":["a"]}}"#;
        let sent: Value = serde_json::from_str(&view.to_isolate(set.to_string())[0]).unwrap();
        assert_eq!(sent["params"]["patterns"], json!(["a", OWN_SCRIPTS]));
        // What is no message is V8's to refuse.
        for other in ["Debugger.enable", "{}", r#"{"method":"Runtime.enable","x":"Debugger.enable"}"#] {
            assert_eq!(view.to_isolate(other.to_string()), [other]);
        }
        assert!(View::new(true).to_isolate(enable)[2].contains("beforeScriptWithSourceMapExecution"));
    }
}

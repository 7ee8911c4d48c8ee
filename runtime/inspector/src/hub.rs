//! The target of the whole server: a debugger attaches to it once and gets every room, those to come included.
//!
//! It is no isolate. It answers what debuggers ask of a process, runs what is typed into its console in the edge isolate, and
//! carries sessions of rooms within its own connection, as Node does for its worker threads: in the domain `NodeWorker`, which
//! VS Code speaks, or `Target`, which DevTools speaks, with or without flat sessions. It outlives every isolate, so
//! that a debugger stays attached over saves. A room that starts waits until the debugger has set its breakpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use partyrun_engine::{Arrival, Follow, Inspector, Target};
use partyrun_limits::Limits;
use partyrun_net::Upgrade;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::Paused;
use crate::client::{self, Client};
use crate::session::Line;

/// The name of the edge's target.
const EDGE: &str = "edge";
/// The number under which what the console asks of the edge is answered; those of children follow.
const CONSOLE: u64 = 0;
/// The id of the only context, which stands for the edge's. Debuggers that take the server for Node ask things of context 1 that
/// concern its process, such as to pass on variables; they hear that there is none.
const CONTEXT: i64 = 1000;
/// The id of an isolate's only context, in its own sessions.
const EDGE_CONTEXT: i64 = 1;
/// The error of a method that does not exist, and of all others (JSON-RPC).
const NO_METHOD: i64 = -32601;
const FAILED: i64 = -32000;

/// What the console needs. Nothing of this depends on what was enabled before.
const CONSOLE_METHODS: [&str; 11] = [
    "Runtime.awaitPromise",
    "Runtime.callFunctionOn",
    "Runtime.compileScript",
    "Runtime.evaluate",
    "Runtime.getHeapUsage",
    "Runtime.getIsolateId",
    "Runtime.getProperties",
    "Runtime.globalLexicalScopeNames",
    "Runtime.queryObjects",
    "Runtime.releaseObject",
    "Runtime.releaseObjectGroup",
];

/// Serves a debugger; must be called on a front's thread.
pub(crate) fn start(upgrade: Upgrade, inspector: Arc<Inspector>, limits: &Limits, paused: Paused) {
    client::start(upgrade, limits, async move |client| {
        let (said, hears) = unbounded_channel();
        let hub = Hub { inspector, client, paused, said, children: BTreeMap::new(), console: None, next: 1 };
        hub.serve(hears).await;
    });
}

// What a session of a child, or the console's, says; none at its end.
type Said = (u64, Option<String>);

struct Hub {
    inspector: Arc<Inspector>,
    client: Client,
    paused: Paused,
    said: UnboundedSender<Said>,
    children: BTreeMap<u64, Child>,
    console: Option<UnboundedSender<String>>,
    next: u64,
}

// A target that the debugger is attached to.
struct Child {
    target: Target,
    // How the debugger speaks to it.
    way: Way,
    messages: UnboundedSender<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    NodeWorker,
    Flat,
    Nested,
}

// What a message of the debugger leads to.
enum Reply {
    Result(Value),
    Error(i64, String),
    // Somebody else answers.
    None,
}

// A message of the debugger.
struct Asked {
    id: Value,
    method: String,
    params: Value,
}

impl Asked {
    fn text(&self, name: &str) -> &str {
        self.params.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn flag(&self, name: &str) -> bool {
        self.params.get(name).and_then(Value::as_bool).unwrap_or_default()
    }
}

impl Hub {
    async fn serve(mut self, mut hears: UnboundedReceiver<Said>) {
        let mut follow: Option<(Follow, Way)> = None;
        loop {
            let arrival = async {
                match &mut follow {
                    Some((follow, way)) => (follow.next().await, *way),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = self.client.next() => match message {
                    Some(message) => self.take(&message, &mut follow),
                    None => return self.client.close(1000, ""),
                },
                (arrival, way) = arrival => {
                    if let Some(arrival) = arrival {
                        self.attach(arrival, way);
                    }
                }
                Some((number, message)) = hears.recv() => self.hear(number, message),
            }
        }
    }

    fn take(&mut self, message: &str, follow: &mut Option<(Follow, Way)>) {
        let Ok(mut parsed) = serde_json::from_str::<Value>(message) else {
            return self.say(&json!({ "error": { "code": -32700, "message": "JSON: invalid message" } }));
        };
        let id = parsed.get("id").cloned().unwrap_or(Value::Null);
        if let Some(session) = parsed.get("sessionId").and_then(Value::as_str).map(str::to_owned) {
            if let Some(fields) = parsed.as_object_mut() {
                fields.remove("sessionId");
            }
            if !self.to_child(&session, parsed.to_string()) {
                self.say(&json!({
                    "id": id, "sessionId": session,
                    "error": { "code": FAILED, "message": "Session with given id not found." },
                }));
            }
            return;
        }
        let method = parsed.get("method").and_then(Value::as_str).unwrap_or_default().to_string();
        let params = parsed.get_mut("params").map(Value::take).unwrap_or_default();
        let asked = Asked { id, method, params };
        let reply = match asked.method.split('.').next().unwrap_or_default() {
            "NodeWorker" => self.node_worker(&asked, follow),
            "Target" => self.target(&asked, follow),
            _ => self.process(&asked),
        };
        match reply {
            Reply::Result(result) => self.say(&json!({ "id": asked.id, "result": result })),
            Reply::Error(code, message) => {
                self.say(&json!({ "id": asked.id, "error": { "code": code, "message": message } }));
            }
            Reply::None => {}
        }
    }

    fn node_worker(&mut self, asked: &Asked, follow: &mut Option<(Follow, Way)>) -> Reply {
        match asked.method.as_str() {
            "NodeWorker.enable" => {
                self.follow(follow, Way::NodeWorker, asked.flag("waitForDebuggerOnStart"));
            }
            "NodeWorker.disable" => {
                *follow = None;
                self.children.clear();
            }
            "NodeWorker.sendMessageToWorker" => {
                if !self.to_child(asked.text("sessionId"), asked.text("message").to_string()) {
                    return Reply::Error(-32602, "Worker session not found.".to_string());
                }
            }
            "NodeWorker.detach" => self.detach(asked.text("sessionId")),
            _ => return unknown(asked),
        }
        Reply::Result(json!({}))
    }

    fn target(&mut self, asked: &Asked, follow: &mut Option<(Follow, Way)>) -> Reply {
        match asked.method.as_str() {
            "Target.setAutoAttach" if asked.flag("autoAttach") => {
                let way = if asked.flag("flatten") { Way::Flat } else { Way::Nested };
                self.follow(follow, way, asked.flag("waitForDebuggerOnStart"));
            }
            "Target.setAutoAttach" => *follow = None,
            "Target.sendMessageToTarget" => {
                if !self.to_child(asked.text("sessionId"), asked.text("message").to_string()) {
                    return Reply::Error(FAILED, "No session with given id".to_string());
                }
            }
            "Target.detachFromTarget" => self.detach(asked.text("sessionId")),
            "Target.getTargets" => {
                let targets = self.inspector.targets();
                let infos: Vec<Value> =
                    targets.iter().map(|target| info(target, target.sessions > 0)).collect();
                return Reply::Result(json!({ "targetInfos": infos }));
            }
            "Target.attachToTarget" => return self.attach_to(asked),
            "Target.setDiscoverTargets" | "Target.setRemoteLocations" => {}
            _ => return unknown(asked),
        }
        Reply::Result(json!({}))
    }

    fn attach_to(&mut self, asked: &Asked) -> Reply {
        let id = asked.text("targetId");
        let found = self.inspector.targets().into_iter().find(|target| target.id == id);
        match found.zip(self.inspector.connect(id)) {
            Some((target, session)) => {
                let way = if asked.flag("flatten") { Way::Flat } else { Way::Nested };
                let number = self.attach(Arrival { target, session, waits: false }, way);
                Reply::Result(json!({ "sessionId": number.to_string() }))
            }
            None => Reply::Error(-32602, "No target with given id found".to_string()),
        }
    }

    // What is asked of the process itself.
    fn process(&mut self, asked: &Asked) -> Reply {
        match asked.method.as_str() {
            "Runtime.enable" => {
                self.say(&json!({ "method": "Runtime.executionContextCreated", "params": { "context": {
                    "id": CONTEXT, "origin": "", "name": "partyrun", "uniqueId": CONTEXT.to_string(),
                    "auxData": { "isDefault": true, "type": "default" },
                }}}));
                Reply::Result(json!({}))
            }
            "Debugger.enable" => Reply::Result(json!({ "debuggerId": format!("{CONTEXT}.0") })),
            "Debugger.setBreakpointByUrl" | "Debugger.setInstrumentationBreakpoint" => {
                let id = format!("partyrun:{}", self.number());
                Reply::Result(json!({ "breakpointId": id, "locations": [] }))
            }
            method if CONSOLE_METHODS.contains(&method) => self.ask_edge(asked),
            method if is_setting(method) => Reply::Result(json!({})),
            _ => unknown(asked),
        }
    }

    // Runs it in the edge as it is now: after a save that is another isolate.
    fn ask_edge(&mut self, asked: &Asked) -> Reply {
        let mut params = asked.params.clone();
        if let Some(fields) = params.as_object_mut() {
            let number = fields.remove("contextId").or_else(|| fields.remove("executionContextId"));
            let unique = fields.remove("uniqueContextId");
            let is_ours = number.is_none_or(|id| id.as_i64() == Some(CONTEXT))
                && unique.is_none_or(|id| id.as_str() == Some(CONTEXT.to_string().as_str()));
            if !is_ours {
                return Reply::Error(FAILED, "Cannot find context with specified id".to_string());
            }
            // A function that is called on nothing is called in a context.
            if asked.method == "Runtime.callFunctionOn" && !fields.contains_key("objectId") {
                fields.insert("executionContextId".to_string(), EDGE_CONTEXT.into());
            }
        }
        let message = json!({ "id": asked.id, "method": asked.method, "params": params }).to_string();
        let unsent = match &self.console {
            Some(console) => console.send(message).err().map(|error| error.0),
            None => Some(message),
        };
        let Some(message) = unsent else { return Reply::None };
        let Some(session) = self.inspector.connect(EDGE) else {
            return Reply::Error(FAILED, "The edge is not running: see the terminal.".to_string());
        };
        let console = self.carry(CONSOLE, Line::new(session, self.paused.clone(), false));
        let _gone = console.send(message);
        self.console = Some(console);
        Reply::None
    }

    // Attaches to all that is there and all that comes.
    fn follow(&self, follow: &mut Option<(Follow, Way)>, way: Way, waits: bool) {
        if follow.is_none() {
            *follow = Some((self.inspector.follow(waits), way));
        }
    }

    fn attach(&mut self, arrival: Arrival, way: Way) -> u64 {
        let Arrival { target, session, waits } = arrival;
        let number = self.number();
        let line = Line::new(session, self.paused.clone(), way == Way::NodeWorker);
        let messages = self.carry(number, line);
        let event = match way {
            Way::NodeWorker => json!({ "method": "NodeWorker.attachedToWorker", "params": {
                "sessionId": number.to_string(),
                "workerInfo": {
                    "workerId": target.id, "type": "worker", "title": target.title, "url": url(&target.title),
                },
                "waitingForDebugger": waits,
            }}),
            Way::Flat | Way::Nested => json!({ "method": "Target.attachedToTarget", "params": {
                "sessionId": number.to_string(),
                "targetInfo": info(&target, true),
                "waitingForDebugger": waits,
            }}),
        };
        self.children.insert(number, Child { target, way, messages });
        self.say(&event);
        number
    }

    // A task carries a session, so that none waits for another.
    fn carry(&self, number: u64, mut line: Line) -> UnboundedSender<String> {
        let (messages, mut asked) = unbounded_channel::<String>();
        let said = self.said.clone();
        tokio::task::spawn_local(async move {
            loop {
                tokio::select! {
                    message = asked.recv() => match message {
                        Some(message) => {
                            if !line.send(message) {
                                break;
                            }
                        }
                        None => return,
                    },
                    message = line.next() => match message {
                        Some(message) => {
                            if said.send((number, Some(message))).is_err() {
                                return;
                            }
                        }
                        None => break,
                    },
                }
            }
            let _gone = said.send((number, None));
        });
        messages
    }

    fn hear(&mut self, number: u64, message: Option<String>) {
        if number == CONSOLE {
            match message {
                // Events of the edge are told to whoever is attached to it.
                Some(message) if message.starts_with("{\"id\":") => self.send(&message),
                Some(_) => {}
                None => self.console = None,
            }
            return;
        }
        let Some(child) = self.children.get(&number) else { return };
        let (way, session) = (child.way, number.to_string());
        let Some(message) = message else {
            let target = child.target.id.clone();
            self.children.remove(&number);
            return self.say_detached(way, &session, &target);
        };
        match way {
            Way::Flat => match message.strip_prefix('{') {
                Some(rest) => self.send(&format!("{{\"sessionId\":\"{session}\",{rest}")),
                None => self.send(&message),
            },
            Way::Nested => self.say(&json!({
                "method": "Target.receivedMessageFromTarget",
                "params": { "sessionId": session, "message": message },
            })),
            Way::NodeWorker => self.say(&json!({
                "method": "NodeWorker.receivedMessageFromWorker",
                "params": { "sessionId": session, "message": message },
            })),
        }
    }

    fn say_detached(&self, way: Way, session: &str, target: &str) {
        match way {
            Way::NodeWorker => self.say(&json!({
                "method": "NodeWorker.detachedFromWorker", "params": { "sessionId": session },
            })),
            Way::Flat | Way::Nested => self.say(&json!({
                "method": "Target.detachedFromTarget",
                "params": { "sessionId": session, "targetId": target },
            })),
        }
    }

    fn detach(&mut self, session: &str) {
        if let Ok(number) = session.parse()
            && let Some(child) = self.children.remove(&number)
        {
            self.say_detached(child.way, session, &child.target.id);
        }
    }

    fn to_child(&self, session: &str, message: String) -> bool {
        let child = session.parse().ok().and_then(|number: u64| self.children.get(&number));
        child.is_some_and(|child| child.messages.send(message).is_ok())
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    fn say(&self, message: &Value) {
        self.send(&message.to_string());
    }

    // One that has left is noticed when it is asked for its next message.
    fn send(&self, message: &str) {
        let _left = self.client.send(message);
    }
}

// Whether it only changes how a process is to behave, which has no code that could.
fn is_setting(method: &str) -> bool {
    let Some((_, name)) = method.split_once('.') else { return false };
    ["enable", "disable", "runIfWaitingForDebugger", "removeBreakpoint", "resume", "pause"].contains(&name)
        || name.starts_with("set")
}

fn unknown(asked: &Asked) -> Reply {
    Reply::Error(NO_METHOD, format!("'{}' wasn't found", asked.method))
}

// A target as the domain `Target` has it.
fn info(target: &Target, attached: bool) -> Value {
    json!({
        "targetId": target.id, "type": "worker", "title": target.title, "url": url(&target.title),
        "attached": attached, "canAccessOpener": false,
    })
}

// Debuggers show the last part of a path.
fn url(title: &str) -> String {
    format!("partyrun://{title}")
}

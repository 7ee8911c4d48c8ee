//! The steps of a case, read from data (`tests/FORMAT.md` shows each).
//!
//! A step is an object; the key that names its kind decides what else it may have. Everything is checked here, when the
//! file is read, so that executing a step meets no malformed data.

#![expect(missing_docs, reason = "the fields inside variants are the keys that tests/FORMAT.md describes")]

use crate::data::{DataError, Fields, Node, Place, Shape};
use crate::matcher::{JsonMatcher, TextMatcher};
use serde_json::Value;

/// A step and where it stands.
#[derive(Debug, Clone)]
pub struct Step {
    /// For the report of a failure.
    pub place: Place,
    /// How long each of its waits may last; the runner's default if not given.
    pub within_ms: Option<u64>,
    /// What to do.
    pub action: Action,
}

/// What a step does. Strings may hold variables.
#[derive(Debug, Clone)]
pub enum Action {
    /// One HTTP exchange.
    Http(HttpStep),
    /// Bytes over a bare TCP connection.
    Tcp { send: Payload, expect: TextMatcher },
    /// Something with a named WebSocket.
    Socket { name: String, action: SocketAction },
    /// Lists of steps that run at the same time.
    Parallel(Vec<Vec<Step>>),
    /// The same steps several times, with the turn's number in a variable.
    Repeat { times: u64, variable: String, steps: Vec<Step> },
    /// A step that is repeated until it holds.
    Eventually(Box<Step>),
    /// Stop (or kill) the server and start it again on the same folder and port.
    Restart { kill: bool },
    /// Let a room sleep: `party/room`.
    Hibernate(String),
    /// The point where a variant interrupts; nothing when the case runs fresh.
    Interrupt(String),
    /// Change a file of the project.
    Change { file: String, change: Change, wait_for_swap: bool },
    /// A line in the server's output since the case began, or its absence.
    Log { lines: PerRuntime<TextMatcher>, absent: bool },
    /// A Node program of the fixture.
    Run { program: String, args: Vec<String>, expect: ExitExpectation },
    /// A command of the runtime itself, in the project's folder.
    Cli { args: Vec<String>, env: Vec<(String, String)>, expect: ExitExpectation },
    /// A file of the project: its text, or that it is absent.
    File { path: String, expect: Option<TextMatcher> },
}

/// A value that may differ between the runtimes where a wording legitimately does.
#[derive(Debug, Clone)]
pub struct PerRuntime<T> {
    /// For partyrun.
    pub partyrun: T,
    /// For the original.
    pub original: T,
}

/// What a program must do.
#[derive(Debug, Clone)]
pub struct ExitExpectation {
    /// The exit code.
    pub exit: u64,
    /// What must stand in what it prints on stdout and stderr, each.
    pub output: Vec<PerRuntime<TextMatcher>>,
}

/// How a file changes.
#[derive(Debug, Clone)]
pub enum Change {
    /// A part that stands there once.
    Replace { old: String, new: String },
    /// The whole text.
    Write(String),
    /// Gone.
    Remove,
}

/// Bytes to send.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Text with variables.
    Text(String),
    /// JSON with variables, compact.
    Json(Value),
    /// Given bytes.
    Bytes(Vec<u8>),
    /// A number of equal characters: for limits.
    Filled { byte: u8, count: usize },
}

/// An HTTP request and what must come back.
#[derive(Debug, Clone)]
pub struct HttpStep {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Option<Payload>,
    /// The answer.
    pub expect: AnswerExpectation,
}

/// What an answer must be.
#[derive(Debug, Clone)]
pub struct AnswerExpectation {
    /// Where it stands.
    pub place: Place,
    /// The status.
    pub status: u64,
    /// Headers: a matcher for their value (several lines joined by `, `), or `None` for absence.
    pub headers: Vec<(String, Option<TextMatcher>)>,
    /// The body.
    pub body: Option<BodyMatcher>,
    /// How long it may or must take.
    pub took_ms: Option<(u64, u64)>,
}

/// What a body or message must be.
#[derive(Debug, Clone)]
pub enum BodyMatcher {
    /// Text.
    Text(TextMatcher),
    /// JSON.
    Json(JsonMatcher),
    /// Exactly these bytes (a binary message, when it is one).
    Bytes(Payload),
    /// This many bytes.
    Length(u64),
}

/// What can be done with a WebSocket.
#[derive(Debug, Clone)]
pub enum SocketAction {
    /// Open it.
    Open { target: String, headers: Vec<(String, String)>, protocols: Vec<String>, expect: AnswerExpectation },
    /// Send one message.
    Send { payload: Payload, binary: bool },
    /// Send bytes that need not be frames.
    Raw(Vec<u8>),
    /// The next messages, in order.
    Expect(Vec<FrameExpectation>),
    /// The next messages, in any order.
    ExpectAnyOrder(Vec<FrameExpectation>),
    /// Nothing came: shown by the answer to a probe being next, or for a bounded time.
    Silence(Silence),
    /// Send a ping and get its pong.
    Ping(String),
    /// Send a close frame; code 1005 is one without a body.
    Close { code: u16, reason: String },
    /// The close that the client sees; 1006 when the stream ends without a close frame.
    ExpectClose { code: u64, reason: Option<TextMatcher>, ended: bool },
    /// Drop the connection without a word.
    Drop,
}

/// How silence is shown.
#[derive(Debug, Clone)]
pub enum Silence {
    /// Send this; the next message must be the answer.
    Probe { send: Payload, expect: FrameExpectation },
    /// Wait this long.
    Bounded { ms: u64 },
}

/// One message that must come.
#[derive(Debug, Clone)]
pub struct FrameExpectation {
    /// Where it stands.
    pub place: Place,
    /// What it must be.
    pub kind: FrameKind,
}

/// The kinds of expected messages.
#[derive(Debug, Clone)]
pub enum FrameKind {
    /// A message.
    Body(BodyMatcher),
    /// Something forbidden by the RFC, described by the client.
    Violation(TextMatcher),
}

/// Reads a list of steps.
pub fn read_steps(node: &Node) -> Result<Vec<Step>, DataError> {
    let items = node.list()?;
    if items.is_empty() {
        return Err(node.error("no steps"));
    }
    items.iter().map(read_step).collect()
}

fn read_step(node: &Node) -> Result<Step, DataError> {
    let mut fields = node.fields()?;
    let within_ms = fields.take("within_ms").map(Node::count).transpose()?;
    let action = read_action(&mut fields)?;
    fields.finish()?;
    Ok(Step { place: node.place.clone(), within_ms, action })
}

fn read_action(fields: &mut Fields<'_>) -> Result<Action, DataError> {
    if let Some(line) = fields.take("http") {
        return read_http(line, fields).map(Action::Http);
    }
    if let Some(name) = fields.take("ws") {
        let name = name.text()?.to_owned();
        return Ok(Action::Socket { name, action: read_socket_action(fields)? });
    }
    if let Some(send) = fields.take("tcp") {
        let expect = TextMatcher::read(fields.need("expect")?)?;
        return Ok(Action::Tcp { send: read_payload(send)?, expect });
    }
    if let Some(groups) = fields.take("parallel") {
        return groups.list()?.iter().map(read_steps).collect::<Result<_, _>>().map(Action::Parallel);
    }
    if let Some(times) = fields.take("repeat") {
        let variable = fields.need("as")?.text()?.to_owned();
        let steps = read_steps(fields.need("steps")?)?;
        return Ok(Action::Repeat { times: times.count()?, variable, steps });
    }
    if let Some(step) = fields.take("eventually") {
        return read_step(step).map(|step| Action::Eventually(Box::new(step)));
    }
    read_control(fields)
}

fn read_control(fields: &mut Fields<'_>) -> Result<Action, DataError> {
    if let Some(how) = fields.take("restart") {
        return match how.text()? {
            "stop" => Ok(Action::Restart { kill: false }),
            "kill" => Ok(Action::Restart { kill: true }),
            other => Err(how.error(format!("`restart` is \"stop\" or \"kill\", not `{other}`"))),
        };
    }
    if let Some(room) = fields.take("hibernate") {
        return read_room(room).map(Action::Hibernate);
    }
    if let Some(room) = fields.take("interrupt") {
        return read_room(room).map(Action::Interrupt);
    }
    if let Some(file) = fields.take("edit") {
        let old = fields.need("replace")?.text()?.to_owned();
        let new = fields.need("with")?.text()?.to_owned();
        return read_change(file, Change::Replace { old, new }, fields);
    }
    if let Some(file) = fields.take("write") {
        let text = read_file_text(fields.need("text")?);
        return read_change(file, Change::Write(text), fields);
    }
    if let Some(file) = fields.take("remove") {
        return read_change(file, Change::Remove, fields);
    }
    for (key, absent) in [("log", false), ("no_log", true)] {
        if let Some(lines) = fields.take(key) {
            return Ok(Action::Log { lines: read_per_runtime(lines)?, absent });
        }
    }
    if let Some(program) = fields.take("run") {
        let args = texts(fields.take("args"))?;
        return Ok(Action::Run { program: program.text()?.to_owned(), args, expect: read_exit(fields)? });
    }
    if let Some(args) = fields.take("cli") {
        let env = fields.take("env").map(Node::text_map).transpose()?.unwrap_or_default();
        return Ok(Action::Cli { args: args.texts()?, env, expect: read_exit(fields)? });
    }
    if let Some(path) = fields.take("file") {
        let path = path.text()?.to_owned();
        let expect = fields.need("expect")?;
        let absent = matches!(expect.value, Shape::Null);
        let expect = if absent { None } else { Some(TextMatcher::read(expect)?) };
        return Ok(Action::File { path, expect });
    }
    Err(fields.place().error(
        "a step needs one of: http, ws, tcp, parallel, repeat, eventually, restart, hibernate, interrupt, edit, \
         write, remove, log, no_log, run, cli, file",
    ))
}

fn read_room(node: &Node) -> Result<String, DataError> {
    let text = node.text()?;
    if text.split('/').count() == 2 {
        return Ok(text.to_owned());
    }
    Err(node.error("a room is written `party/room`"))
}

fn read_change(file: &Node, change: Change, fields: &mut Fields<'_>) -> Result<Action, DataError> {
    let wait_for_swap = fields.take("wait_for_swap").map(Node::bool).transpose()?.unwrap_or(true);
    Ok(Action::Change { file: file.text()?.to_owned(), change, wait_for_swap })
}

/// The text of a file: a string as it is, anything else as JSON.
pub fn read_file_text(node: &Node) -> String {
    match &node.value {
        Shape::Text(text) => text.clone(),
        _ => node.json().to_string(),
    }
}

fn read_exit(fields: &mut Fields<'_>) -> Result<ExitExpectation, DataError> {
    let exit = fields.take("exit").map(Node::count).transpose()?.unwrap_or(0);
    let output = match fields.take("output") {
        None => Vec::new(),
        Some(node) => match &node.value {
            Shape::List(items) => items.iter().map(read_per_runtime).collect::<Result<_, _>>()?,
            _ => vec![read_per_runtime(node)?],
        },
    };
    Ok(ExitExpectation { exit, output })
}

/// A line matcher: a bare string is a part of the line; `{partyrun, original}` names one for each.
fn read_per_runtime(node: &Node) -> Result<PerRuntime<TextMatcher>, DataError> {
    if let Shape::Object(entries) = &node.value
        && entries.iter().any(|(key, _)| key == "partyrun")
    {
        let mut fields = node.fields()?;
        let partyrun = read_line_matcher(fields.need("partyrun")?)?;
        let original = read_line_matcher(fields.need("original")?)?;
        fields.finish()?;
        return Ok(PerRuntime { partyrun, original });
    }
    let matcher = read_line_matcher(node)?;
    Ok(PerRuntime { partyrun: matcher.clone(), original: matcher })
}

fn read_line_matcher(node: &Node) -> Result<TextMatcher, DataError> {
    match &node.value {
        Shape::Text(text) => Ok(TextMatcher::Contains(text.clone())),
        _ => TextMatcher::read(node),
    }
}

fn texts(node: Option<&Node>) -> Result<Vec<String>, DataError> {
    node.map(Node::texts).transpose().map(Option::unwrap_or_default)
}

fn headers(fields: &mut Fields<'_>) -> Result<Vec<(String, String)>, DataError> {
    fields.take("headers").map(Node::text_map).transpose().map(Option::unwrap_or_default)
}

fn read_http(line: &Node, fields: &mut Fields<'_>) -> Result<HttpStep, DataError> {
    let text = line.text()?;
    let (method, target) =
        if text.starts_with('/') { ("GET", text) } else { text.split_once(' ').unwrap_or_default() };
    if method.is_empty() || !target.starts_with('/') {
        return Err(line.error("a request is written `METHOD /path`, or `/path` for GET"));
    }
    let headers = headers(fields)?;
    let body = fields.take("body").map(read_payload).transpose()?;
    let expect = read_answer(fields.need("expect")?, 200)?;
    Ok(HttpStep { method: method.to_owned(), target: target.to_owned(), headers, body, expect })
}

fn read_answer(node: &Node, default_status: u64) -> Result<AnswerExpectation, DataError> {
    let mut fields = node.fields()?;
    let status = fields.take("status").map(Node::count).transpose()?.unwrap_or(default_status);
    let mut headers = Vec::new();
    if let Some(wanted) = fields.take("headers") {
        for (name, value) in wanted.entries()? {
            let matcher = match value.value {
                Shape::Null => None,
                _ => Some(TextMatcher::read(value)?),
            };
            headers.push((name.to_ascii_lowercase(), matcher));
        }
    }
    let took_ms = fields.take("took_ms").map(read_range).transpose()?;
    let body = read_body(&mut fields)?;
    fields.finish()?;
    Ok(AnswerExpectation { place: node.place.clone(), status, headers, body, took_ms })
}

fn read_range(node: &Node) -> Result<(u64, u64), DataError> {
    let mut fields = node.fields()?;
    let low = fields.take("at_least").map(Node::count).transpose()?.unwrap_or(0);
    let high = fields.take("at_most").map(Node::count).transpose()?.unwrap_or(u64::MAX);
    fields.finish()?;
    Ok((low, high))
}

fn read_body(fields: &mut Fields<'_>) -> Result<Option<BodyMatcher>, DataError> {
    let matcher = if let Some(text) = fields.take("text") {
        BodyMatcher::Text(TextMatcher::read(text)?)
    } else if let Some(pattern) = fields.take("pattern") {
        let place = pattern.place.clone();
        let entries = vec![("pattern".to_owned(), pattern.clone())];
        BodyMatcher::Text(TextMatcher::read(&Node { place, value: Shape::Object(entries) })?)
    } else if let Some(json) = fields.take("json") {
        BodyMatcher::Json(JsonMatcher::read(json, false)?)
    } else if let Some(subset) = fields.take("subset") {
        BodyMatcher::Json(JsonMatcher::read(subset, true)?)
    } else if let Some(hex) = fields.take("bytes") {
        BodyMatcher::Bytes(Payload::Bytes(read_hex(hex)?))
    } else if let Some(filled) = fields.take("fill") {
        BodyMatcher::Bytes(read_filled(filled)?)
    } else if let Some(length) = fields.take("length") {
        BodyMatcher::Length(length.count()?)
    } else {
        return Ok(None);
    };
    Ok(Some(matcher))
}

fn read_socket_action(fields: &mut Fields<'_>) -> Result<SocketAction, DataError> {
    if let Some(target) = fields.take("open") {
        let protocols = texts(fields.take("protocols"))?;
        let headers = headers(fields)?;
        let expect = match (fields.take("opened"), fields.take("refused")) {
            (Some(node), None) => read_answer(node, 101)?,
            (None, Some(node)) if !node.fields()?.has("status") => {
                return Err(node.error("`refused` needs the `status`"));
            }
            (None, Some(node)) => read_answer(node, 0)?,
            (None, None) => AnswerExpectation {
                place: target.place.clone(),
                status: 101,
                headers: Vec::new(),
                body: None,
                took_ms: None,
            },
            (Some(_), Some(node)) => return Err(node.error("either `opened` or `refused`")),
        };
        return Ok(SocketAction::Open { target: target.text()?.to_owned(), headers, protocols, expect });
    }
    if let Some(payload) = fields.take("send") {
        let payload = read_payload(payload)?;
        let binary = fields.take("binary").map(Node::bool).transpose()?;
        let binary = binary.unwrap_or(matches!(payload, Payload::Bytes(_)));
        return Ok(SocketAction::Send { payload, binary });
    }
    if let Some(bytes) = fields.take("raw") {
        return read_hex(bytes).map(SocketAction::Raw);
    }
    if let Some(frames) = fields.take("expect") {
        return read_frames(frames).map(SocketAction::Expect);
    }
    if let Some(frames) = fields.take("expect_any_order") {
        return read_frames(frames).map(SocketAction::ExpectAnyOrder);
    }
    if let Some(silence) = fields.take("silence") {
        return read_silence(silence).map(SocketAction::Silence);
    }
    if let Some(payload) = fields.take("ping") {
        return Ok(SocketAction::Ping(payload.text()?.to_owned()));
    }
    read_socket_end(fields)
}

fn read_socket_end(fields: &mut Fields<'_>) -> Result<SocketAction, DataError> {
    if let Some(close) = fields.take("close") {
        let (code, reason) = match &close.value {
            Shape::Number(_) => (close.count()?, String::new()),
            _ => {
                let mut inner = close.fields()?;
                let code = inner.need("code")?.count()?;
                let reason = inner.take("reason").map(Node::text).transpose()?.unwrap_or_default().to_owned();
                inner.finish()?;
                (code, reason)
            }
        };
        let code = u16::try_from(code).map_err(|_| close.error("a close code has two bytes"))?;
        return Ok(SocketAction::Close { code, reason });
    }
    if let Some(close) = fields.take("expect_close") {
        if let Shape::Number(_) = close.value {
            return Ok(SocketAction::ExpectClose { code: close.count()?, reason: None, ended: false });
        }
        let mut inner = close.fields()?;
        let code = inner.need("code")?.count()?;
        let reason = inner.take("reason").map(TextMatcher::read).transpose()?;
        let ended = inner.take("ended").map(Node::bool).transpose()?.unwrap_or(false);
        inner.finish()?;
        return Ok(SocketAction::ExpectClose { code, reason, ended });
    }
    if let Some(drop) = fields.take("drop") {
        drop.bool()?;
        return Ok(SocketAction::Drop);
    }
    Err(fields.place().error(
        "a `ws` step needs one of: open, send, raw, expect, expect_any_order, silence, ping, close, expect_close, drop",
    ))
}

fn read_silence(node: &Node) -> Result<Silence, DataError> {
    if let Shape::Number(_) = node.value {
        const BOUNDED_MS_MAX: u64 = 3_000;
        return match node.count()? {
            ms if ms <= BOUNDED_MS_MAX => Ok(Silence::Bounded { ms }),
            _ => Err(node.error(format!("a bounded silence lasts at most {BOUNDED_MS_MAX} ms; use a probe"))),
        };
    }
    let mut fields = node.fields()?;
    let send = read_payload(fields.need("send")?)?;
    let expect = read_frame(fields.need("expect")?)?;
    fields.finish()?;
    Ok(Silence::Probe { send, expect })
}

fn read_frames(node: &Node) -> Result<Vec<FrameExpectation>, DataError> {
    match &node.value {
        Shape::List(items) if items.is_empty() => {
            Err(node.error("no messages; to expect none use `silence`"))
        }
        Shape::List(items) => items.iter().map(read_frame).collect(),
        _ => Ok(vec![read_frame(node)?]),
    }
}

fn read_frame(node: &Node) -> Result<FrameExpectation, DataError> {
    let place = node.place.clone();
    if let Shape::Text(_) = node.value {
        let kind = FrameKind::Body(BodyMatcher::Text(TextMatcher::read(node)?));
        return Ok(FrameExpectation { place, kind });
    }
    let mut fields = node.fields()?;
    let kind = if let Some(text) = fields.take("violation") {
        FrameKind::Violation(read_line_matcher(text)?)
    } else {
        let body = read_body(&mut fields)?;
        FrameKind::Body(body.ok_or_else(|| {
            node.error("a message needs one of: text, pattern, json, subset, bytes, fill, length, violation")
        })?)
    };
    fields.finish()?;
    Ok(FrameExpectation { place, kind })
}

fn read_payload(node: &Node) -> Result<Payload, DataError> {
    if let Shape::Text(text) = &node.value {
        return Ok(Payload::Text(text.clone()));
    }
    let mut fields = node.fields()?;
    let payload = if let Some(json) = fields.take("json") {
        Payload::Json(json.json())
    } else if let Some(hex) = fields.take("bytes") {
        Payload::Bytes(read_hex(hex)?)
    } else if let Some(filled) = fields.take("fill") {
        read_filled(filled)?
    } else {
        return Err(node.error("a payload is a string, {json}, {bytes: \"hex\"} or {fill: {byte, count}}"));
    };
    fields.finish()?;
    Ok(payload)
}

fn read_filled(node: &Node) -> Result<Payload, DataError> {
    const FILLED_BYTES_MAX: u64 = 64 << 20;
    let mut fields = node.fields()?;
    let character = fields.need("byte")?;
    let count = fields.need("count")?;
    fields.finish()?;
    match (character.text()?.as_bytes(), count.count()?) {
        ([byte], amount) if amount <= FILLED_BYTES_MAX => {
            Ok(Payload::Filled { byte: *byte, count: amount as usize })
        }
        ([_], _) => Err(count.error("more than 64 MiB")),
        _ => Err(character.error("expected one ASCII character")),
    }
}

fn read_hex(node: &Node) -> Result<Vec<u8>, DataError> {
    let digits: Vec<u8> = node.text()?.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| {
        let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2)?;
        u8::from_str_radix(text, 16).ok()
    });
    pairs.collect::<Option<_>>().ok_or_else(|| node.error("expected bytes as pairs of hexadecimal digits"))
}

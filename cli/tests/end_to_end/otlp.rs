//! Export by OTLP, to a small receiver that reads what the protocol says: spans, metrics and lines of log. And that a log which
//! nobody reads, and a receiver that nobody started, hold nothing up.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::raw;
use crate::support::{Project, Server, free_port, get, partyrun, until};

const TRACED: &str = r#"
export default class Server {
  constructor(room) { this.room = room; }
  async onRequest(request) {
    const { searchParams } = new URL(request.url);
    const asked = searchParams.get("ask");
    if (asked !== null) await (await fetch(`http://127.0.0.1:${asked}/asked?token=secret`)).text();
    if (searchParams.has("stub")) await (await this.room.context.parties.other.get("b").fetch("/")).text();
    if (searchParams.has("alarm")) await this.room.storage.setAlarm(Date.now());
    console.log("said in a request");
    return new Response("ok");
  }
  async onMessage(message, connection) {
    await this.room.storage.put("a", message);
    connection.send("stored");
  }
  onAlarm() {}
  static onCron() {}
}
"#;

const OTHER: &str = "export default class { onRequest() { return new Response('other'); } }";

const CONFIG: &str = r#"{
  "name": "t", "main": "server.js", "parties": { "other": "other.js" }, "crons": { "often": "0 0 1 1 *" }
}"#;

#[derive(Default)]
struct Received {
    // By the path.
    exported: Vec<(String, Value)>,
    // The heads of other requests.
    asked: Vec<String>,
}

// A receiver of OTLP, which answers other requests as well.
struct Receiver {
    port: u16,
    received: Arc<Mutex<Received>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let received: Arc<Mutex<Received>> = Arc::default();
        let taking = received.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let taking = taking.clone();
                std::thread::spawn(move || take(stream, &taking));
            }
        });
        Self { port, received }
    }

    // What was exported of a signal: the things in the lists of these three names, within each other.
    fn all(&self, path: &str, [resources, scopes, things]: [&str; 3]) -> Vec<Value> {
        let received = self.received.lock().unwrap();
        let bodies = received.exported.iter().filter(|(to, _)| to == path).map(|(_, body)| body);
        let list = |value: &Value, name: &str| value[name].as_array().unwrap().clone();
        let resources = bodies.flat_map(|body| list(body, resources));
        resources.flat_map(|one| list(&one, scopes)).flat_map(|one| list(&one, things)).collect()
    }

    fn spans(&self) -> Vec<Value> {
        self.all("/v1/traces", ["resourceSpans", "scopeSpans", "spans"])
    }

    // Those of one trace.
    fn trace(&self, id: &str) -> Vec<Value> {
        self.spans().into_iter().filter(|span| span["traceId"] == id).collect()
    }

    fn lines(&self) -> Vec<Value> {
        self.all("/v1/logs", ["resourceLogs", "scopeLogs", "logRecords"])
    }

    fn metrics(&self) -> Vec<Value> {
        self.all("/v1/metrics", ["resourceMetrics", "scopeMetrics", "metrics"])
    }

    fn wait_for(&self, trace: &str, name: &str) -> Value {
        let mut found = None;
        until(&format!("a span `{name}` of {trace}"), || {
            found = self.trace(trace).into_iter().find(|span| span["name"] == name);
            found.is_some()
        });
        found.unwrap()
    }

    fn asked(&self) -> String {
        self.received.lock().unwrap().asked.concat()
    }
}

// A connection, request after request.
fn take(stream: TcpStream, received: &Mutex<Received>) {
    let mut answers = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let lower = head.to_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        let mut received = received.lock().unwrap();
        let path = lower.split(' ').nth(1).unwrap_or_default().to_string();
        match path.starts_with("/v1/") {
            true => received.exported.push((path, serde_json::from_slice(&body).unwrap())),
            false => received.asked.push(lower),
        }
        drop(received);
        if answers.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

fn attribute(of: &Value, key: &str) -> Option<String> {
    let found = of["attributes"].as_array()?.iter().find(|attribute| attribute["key"] == key)?;
    let value = &found["value"];
    value["stringValue"].as_str().or_else(|| value["intValue"].as_str()).map(str::to_owned)
}

struct Traced {
    server: Server,
    receiver: Receiver,
    metrics: u16,
    _project: Project,
}

impl Traced {
    fn start(variables: &[(&str, &str)]) -> Self {
        let receiver = Receiver::start();
        let endpoint = format!("http://127.0.0.1:{}", receiver.port);
        Self::exporting_to(&endpoint, receiver, variables)
    }

    fn exporting_to(endpoint: &str, receiver: Receiver, variables: &[(&str, &str)]) -> Self {
        let project = Project::new(&[("server.js", TRACED), ("other.js", OTHER), ("partykit.json", CONFIG)]);
        let (port, metrics) = (free_port(), free_port());
        let mut command = partyrun();
        command
            .args([
                "dev",
                "--json",
                "--no-hotkeys",
                "--port",
                &port.to_string(),
                "--metrics",
                &metrics.to_string(),
            ])
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("OTEL_SERVICE_NAME", "chat")
            // So that nothing is waited for.
            .envs([("OTEL_BSP_SCHEDULE_DELAY", "50"), ("OTEL_BLRP_SCHEDULE_DELAY", "50")])
            .env("OTEL_METRIC_EXPORT_INTERVAL", "100")
            .envs(variables.iter().copied())
            .current_dir(project.path());
        let server = Server::start(command, port);
        server.wait_for("\"type\":\"ready\"");
        Self { server, receiver, metrics, _project: project }
    }

    // A request that belongs to a trace.
    fn ask(&self, path: &str, parent: &str) {
        let mut stream = raw::ask(self.server.port, path, &format!("traceparent: {parent}\r\n"));
        let head = raw::head(&mut stream);
        assert!(head.starts_with("http/1.1 200"), "{head}\n{}", self.server.output());
    }
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_request_is_traced_from_whoever_asked_to_whoever_is_asked() {
    let traced = Traced::start(&[]);
    let receiver = &traced.receiver;
    traced.ask(&format!("/party/a?ask={}&stub", receiver.port), PARENT);
    const INTERNAL: u8 = 1;
    const SERVER: u8 = 2;
    const CLIENT: u8 = 3;
    let server = receiver.wait_for(TRACE, "GET /party/:room");
    assert_eq!((&server["parentSpanId"], &server["kind"]), (&"b7ad6b7169203331".into(), &SERVER.into()));
    assert_eq!(attribute(&server, "http.response.status_code").as_deref(), Some("200"));
    assert_eq!(attribute(&server, "url.path").as_deref(), Some("/party/a"));
    assert_eq!(attribute(&server, "network.protocol.version").as_deref(), Some("1.1"));
    let children = |of: &Value, name: &str| -> Vec<Value> {
        let all = receiver.trace(TRACE).into_iter();
        all.filter(|span| span["name"] == name && span["parentSpanId"] == of["spanId"]).collect()
    };
    let mut handlers = Vec::new();
    until("the handler's span", || {
        handlers = children(&server, "onRequest");
        !handlers.is_empty()
    });
    let handler = &handlers[0];
    assert_eq!(attribute(handler, "partyrun.room").as_deref(), Some("a"));
    assert_eq!(handler["kind"], INTERNAL);
    // One request to the receiver, one through a stub.
    until("both requests' spans", || children(handler, "GET").len() == 2);
    let calls = children(handler, "GET");
    let url = |span: &Value| attribute(span, "url.full").unwrap();
    let outside = calls.iter().find(|span| url(span).ends_with("/asked")).unwrap();
    let stub = calls.iter().find(|span| url(span).contains("/parties/other/b")).unwrap();
    assert!(!url(outside).contains("secret"), "queries are not exported");
    assert!(calls.iter().all(|span| span["kind"] == CLIENT));
    until("the other room's span", || children(stub, "onRequest").len() == 1);
    let told = format!("traceparent: 00-{TRACE}-{}-01", outside["spanId"].as_str().unwrap());
    assert!(receiver.asked().contains(&told), "{told}\n{}", receiver.asked());
    // The line of log belongs to the handler, in the file and in the export.
    let line = traced.server.wait_for("said in a request");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["trace_id"], &line["span_id"]), (&TRACE.into(), &handler["spanId"]));
    until("the line is exported", || {
        receiver.lines().iter().any(|line| line["traceId"] == TRACE && line["spanId"] == handler["spanId"])
    });
    let line = traced.server.wait_for("\"type\":\"request\"");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["trace_id"], &line["span_id"]), (&TRACE.into(), &server["spanId"]));
}

#[test]
fn every_event_begins_a_trace_and_what_it_writes_is_a_part_of_it() {
    let traced = Traced::start(&[]);
    let receiver = &traced.receiver;
    let mut socket = raw::socket(&traced.server, "/party/a");
    raw::say(&mut socket, "hello");
    assert_eq!(raw::frame(&mut socket), Some((1, b"stored".to_vec())));
    traced.server.get("/party/a?alarm");
    traced.server.get("/__scheduled__?cron=often");
    let named = |name: &str| receiver.spans().into_iter().find(|span| span["name"] == name);
    for name in ["onMessage", "onConnect", "onAlarm", "onCron"] {
        until(name, || named(name).is_some());
    }
    let message = named("onMessage").unwrap();
    assert_eq!(message["parentSpanId"], "", "a message begins a trace");
    until("the commit's span", || {
        let all = receiver.trace(message["traceId"].as_str().unwrap());
        all.iter().any(|span| span["name"] == "commit" && span["parentSpanId"] == message["spanId"])
    });
    // The same numbers as those that are scraped, from the service that the environment names.
    until("metrics come", || {
        receiver.metrics().iter().any(|metric| {
            metric["name"] == "partyrun_request_duration_seconds"
                && metric["unit"] == "s"
                && metric["histogram"]["dataPoints"][0]["bucketCounts"]
                    .as_array()
                    .is_some_and(|all| all.len() > 10)
        })
    });
    let received = receiver.received.lock().unwrap();
    for (path, body) in &received.exported {
        let resource =
            ["resourceSpans", "resourceMetrics", "resourceLogs"].iter().find_map(|name| body[name].get(0));
        let name = attribute(&resource.unwrap()["resource"], "service.name");
        assert_eq!(name.as_deref(), Some("chat"), "{path}");
    }
}

#[test]
fn names_of_spans_are_few_whatever_clients_ask() {
    let traced = Traced::start(&[]);
    let ask = |method: &str, path: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", traced.server.port)).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\ntraceparent: {PARENT}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        raw::head(&mut stream)
    };
    for (method, path) in [
        ("GET", "/parties/made-up-1/a"),
        ("GET", "/made/up/2"),
        ("BREW", "/parties/made-up-3/a"),
        ("GET", "/parties/other/a"),
    ] {
        ask(method, path);
    }
    traced.receiver.wait_for(TRACE, "GET /parties/other/:room");
    let of_server: Vec<Value> =
        traced.receiver.trace(TRACE).into_iter().filter(|span| span["kind"] == 2).collect();
    let names: BTreeSet<&str> = of_server.iter().filter_map(|span| span["name"].as_str()).collect();
    assert_eq!(names, BTreeSet::from(["GET", "GET /parties/other/:room", "HTTP"]));
    let strange = of_server.iter().find(|span| span["name"] == "HTTP").unwrap();
    let method = |key: &str| attribute(strange, key);
    assert_eq!(method("http.request.method").as_deref(), Some("_OTHER"));
    assert_eq!(method("http.request.method_original").as_deref(), Some("BREW"));
}

#[test]
fn what_is_not_sampled_is_not_exported_and_others_are_told() {
    let traced = Traced::start(&[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]);
    let receiver = &traced.receiver;
    let path = format!("/party/a?ask={}", receiver.port);
    traced.ask(&path, &PARENT.replace("-01", "-00"));
    let asked = receiver.asked();
    assert!(asked.contains(&format!("traceparent: 00-{TRACE}-b7ad6b7169203331-00")), "{asked}");
    // A request of no trace, which the sampler does not choose: whoever is asked must not begin one.
    traced.server.get(&path);
    let asked = receiver.received.lock().unwrap().asked.pop().unwrap();
    assert!(
        asked.contains("traceparent: 00-") && asked.contains("-00\r\n") && !asked.contains(TRACE),
        "{asked}"
    );
    // A sampled one is exported, and all before it would be, too.
    traced.ask(&path, PARENT);
    receiver.wait_for(TRACE, "onRequest");
    assert!(receiver.spans().iter().all(|span| span["traceId"] == TRACE));
    assert_eq!(receiver.spans().iter().filter(|span| span["name"] == "onRequest").count(), 1);
}

#[test]
fn a_receiver_that_is_not_there_costs_a_count() {
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let traced = Traced::exporting_to(&nobody, Receiver::start(), &[]);
    for _ in 0..20 {
        traced.server.get("/party/a");
    }
    until("failures are counted", || {
        let (_, text) = get(traced.metrics, "/metrics", "localhost").unwrap();
        text.lines().any(|line| line.starts_with("partyrun_export_failures_total ") && !line.ends_with(" 0"))
    });
    assert_eq!(traced.server.get("/party/a").1, "ok");
    traced.server.stop();
}

#[test]
fn variables_that_ask_for_nothing_export_nothing() {
    let receiver = Receiver::start();
    let endpoint = format!("http://127.0.0.1:{}", receiver.port);
    let none =
        [("OTEL_TRACES_EXPORTER", "none"), ("OTEL_LOGS_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none")];
    let traced = Traced::exporting_to(&endpoint, receiver, &none);
    traced.ask(&format!("/party/a?ask={}", traced.receiver.port), PARENT);
    let received = traced.receiver.received.lock().unwrap();
    assert!(received.exported.is_empty(), "{:?}", received.exported);
    assert!(!received.asked.concat().contains("traceparent"), "without traces nothing is added to a request");
}

// A server whose output nobody reads, killed when dropped.
struct Unread(Child);

impl Drop for Unread {
    fn drop(&mut self) {
        // SAFETY: killpg takes two integers; the group is the child's own.
        unsafe { libc::killpg(i32::try_from(self.0.id()).unwrap(), libc::SIGKILL) };
        let _ended = self.0.wait();
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    const MIB_OF_LOG: usize = 1024;
    let chatty = r#"
        const line = "x".repeat(1 << 20);
        export default class {
          onRequest() {
            for (let i = 0; i < 64; i++) console.log(line);
            return new Response("said");
          }
        }"#;
    let project = Project::new(&[("server.js", chatty)]);
    let (port, metrics) = (free_port(), free_port());
    let mut command = partyrun();
    command
        .args(["start", "server.js", "--port", &port.to_string(), "--metrics", &metrics.to_string()])
        .current_dir(project.path());
    // Its output is a pipe that nobody empties.
    let mut unread =
        Unread(command.stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).spawn().unwrap());
    until("it listens", || {
        get(metrics, "/metrics", "localhost").is_ok() && TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    for _ in 0..MIB_OF_LOG / 64 {
        assert_eq!(get(port, "/party/a", "localhost").unwrap().1, "said");
    }
    let (_, text) = get(metrics, "/metrics", "localhost").unwrap();
    let value = |name: &str| -> f64 {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap()
    };
    // `console_bytes_max` is 16 MiB; the rest is counted and gone.
    assert!(value("partyrun_log_lines_dropped_total ") > 900.0, "{text}");
    assert!(value("process_resident_memory_bytes ") < 400e6, "{text}");
    // SAFETY: kill takes two integers; the process is the test's own child.
    assert_eq!(unsafe { libc::kill(i32::try_from(unread.0.id()).unwrap(), libc::SIGTERM) }, 0);
    let mut ended = None;
    until("it ends although nobody reads", || {
        ended = unread.0.try_wait().unwrap();
        ended.is_some()
    });
    assert!(ended.unwrap().success());
}

//! `--metrics`: what is served is counted, passes Prometheus' own check, and a real Prometheus scrapes it.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::raw;
use crate::support::{Project, Server, free_port, get, partyrun, skip, until};

const COUNTED: &str = r#"
export default class Server {
  constructor(room) { this.room = room; }
  async onRequest(request) {
    const { pathname, searchParams } = new URL(request.url);
    if (searchParams.has("alarm")) await this.room.storage.setAlarm(Date.now());
    if (searchParams.has("fail")) throw new Error("it failed");
    if (searchParams.has("spin")) for (;;);
    await this.room.storage.put("a", 1);
    return new Response(pathname);
  }
  onMessage(message, connection) { connection.send(message + message); }
  onAlarm() {}
}
"#;

struct Counted {
    server: Server,
    metrics: u16,
    _project: Project,
}

impl Counted {
    fn start(flags: &[&str]) -> Self {
        let project = Project::new(&[
            ("server.js", COUNTED),
            ("partykit.json", r#"{ "name": "c", "main": "server.js" }"#),
        ]);
        let metrics = free_port();
        let address = format!("127.0.0.1:{metrics}");
        let args = [&["start", "--metrics", &address][..], flags].concat();
        let server = project.serve(&args);
        Self { server, metrics, _project: project }
    }

    fn text(&self) -> String {
        let (status, text) = get(self.metrics, "/metrics", "localhost").unwrap();
        assert_eq!(status, 200, "{text}");
        text
    }

    // The value of a series.
    fn value(&self, series: &str) -> Option<f64> {
        self.text().lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    fn wait_for(&self, series: &str, value: f64) {
        until(&format!("{series} is {value}"), || self.value(series) == Some(value));
    }
}

#[test]
fn what_happens_is_counted() {
    let counted = Counted::start(&["--limit", "turn_cpu_max=300ms", "--limit", "room_idle_max=200ms"]);
    for path in [
        "/party/a",
        "/party/b",
        "/party/a?fail",
        "/party/a?alarm",
        "/party/slow?spin",
        "/nothing",
        "/parties/no/room",
    ] {
        counted.server.get(path);
    }
    let mut socket = raw::socket(&counted.server, "/party/sockets");
    raw::say(&mut socket, "12345");
    assert_eq!(raw::frame(&mut socket), Some((1, b"1234512345".to_vec())));
    for (series, value) in [
        ("partyrun_requests_total{party=\"main\",status=\"1xx\"}", 1.0),
        ("partyrun_requests_total{party=\"main\",status=\"2xx\"}", 3.0),
        ("partyrun_requests_total{party=\"main\",status=\"5xx\"}", 2.0),
        // A party that there is not has no label of its own.
        ("partyrun_requests_total{party=\"\",status=\"4xx\"}", 2.0),
        ("partyrun_request_duration_seconds_count{party=\"main\"}", 6.0),
        ("partyrun_messages_received_total{party=\"main\"}", 1.0),
        ("partyrun_received_bytes_total{party=\"main\"}", 5.0),
        ("partyrun_messages_sent_total{party=\"main\"}", 1.0),
        ("partyrun_sent_bytes_total{party=\"main\"}", 10.0),
        ("partyrun_sockets{party=\"main\"}", 1.0),
        ("partyrun_sockets_opened_total{party=\"main\"}", 1.0),
        ("partyrun_alarms_total{party=\"main\",outcome=\"succeeded\"}", 1.0),
        ("partyrun_room_resets_total{party=\"main\",reason=\"cpu\"}", 1.0),
        ("partyrun_limit_hits_total{limit=\"turn_cpu_max\"}", 1.0),
        // Those without a socket leave; the one with a socket stays, because it does not hibernate.
        ("partyrun_rooms{party=\"main\",state=\"live\"}", 1.0),
        ("partyrun_rooms{party=\"main\",state=\"hibernated\"}", 0.0),
        ("partyrun_build_info{version=\"0.1.0\"}", 1.0),
    ] {
        counted.wait_for(series, value);
    }
    let text = counted.text();
    assert!(
        !text.contains("parties/no") && !text.contains("\"no\"") && !text.contains("sockets\"}"),
        "{text}"
    );
    for at_least in [
        "partyrun_evictions_total{party=\"main\",reason=\"idle\"}",
        "partyrun_commit_duration_seconds_count",
        "partyrun_commit_batches_total{outcome=\"succeeded\"}",
        "partyrun_store_bytes{file=\"database\"}",
        "partyrun_room_start_duration_seconds_count{party=\"main\",kind=\"new\"}",
        "partyrun_console_lines_total{party=\"main\",level=\"error\"}",
        "partyrun_memory_bytes{kind=\"heap\"}",
        "partyrun_event_loop_delay_seconds_count{worker=\"edge\"}",
        "process_cpu_seconds_total",
    ] {
        until(&format!("{at_least} is more than nothing"), || {
            counted.value(at_least).is_some_and(|value| value > 0.0)
        });
    }
    drop(socket);
    counted.wait_for("partyrun_sockets{party=\"main\"}", 0.0);
    the_board_shows_what_is_served(&counted.text());
}

// All queries of a Grafana board, wherever in it they stand.
fn queries(board: &Value) -> Vec<&str> {
    match board {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match value.as_str() {
                Some(text) if name == "expr" || name == "query" => vec![text],
                _ => queries(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(queries).collect(),
        _ => Vec::new(),
    }
}

fn the_board_shows_what_is_served(text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana.json");
    let board: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let served = |name: &str| text.lines().any(|line| line.split(['{', ' ']).next() == Some(name));
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut seen = std::collections::BTreeSet::new();
    for query in queries(&board) {
        for name in query.split(|c: char| !is_part(c)) {
            if name.starts_with("partyrun_") || name.starts_with("process_") {
                assert!(served(name), "deploy/grafana.json asks for `{name}`, which is not served: {query}");
                seen.insert(name);
            }
        }
    }
    assert!(seen.len() > 25, "{seen:?}");
}

#[test]
fn the_listener_serves_metrics_and_nothing_else() {
    let counted = Counted::start(&[]);
    assert_eq!(get(counted.metrics, "/party/a", "localhost").unwrap().0, 404);
    assert_eq!(counted.server.get("/metrics").0, 404, "the public port has no metrics");
    let project = Project::new(&[("server.js", COUNTED)]);
    let taken = format!("127.0.0.1:{}", counted.metrics);
    let (code, text) = project.run(&["start", "server.js", "--port", "0", "--metrics", &taken]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("of the metrics is in use"), "{text}");
}

#[test]
fn the_administrative_listener_has_them_for_whoever_has_its_token() {
    let project = Project::new(&[("server.js", COUNTED)]);
    let (port, admin) = (free_port(), free_port());
    let mut command = partyrun();
    command.args([
        "start",
        "server.js",
        "--port",
        &port.to_string(),
        "--admin",
        &format!("127.0.0.1:{admin}"),
    ]);
    command.env("PARTYRUN_ADMIN_TOKEN", "secret-of-the-operator").current_dir(project.path());
    let server = Server::start(command, port);
    server.wait_for("Ready on");
    let mut stream = raw::ask(admin, "/metrics", "connection: close\r\n");
    assert!(raw::head(&mut stream).starts_with("http/1.1 401"));
    let fields = "authorization: Bearer secret-of-the-operator\r\nconnection: close\r\n";
    let mut stream = raw::ask(admin, "/metrics", fields);
    let head = raw::head(&mut stream);
    assert!(head.starts_with("http/1.1 200") && head.contains("application/openmetrics-text"), "{head}");
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("partyrun_build_info"), "{text}");
}

// Runs a program with a text as its input: whether it ended well, and what it said. None if it is not there.
fn check(program: &str, args: &[&str], input: &str) -> Option<(bool, String)> {
    let command = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = command else {
        skip(&format!("there is no {program}: Debian's package `prometheus` has it"));
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Some((output.status.success(), text))
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let counted = Counted::start(&[]);
    counted.server.get("/party/a");
    let Some((passed, text)) = check("promtool", &["check", "metrics"], &counted.text()) else { return };
    assert!(passed && text.is_empty(), "{text}");
    // It does see what is wrong.
    let (passed, _) = check("promtool", &["check", "metrics"], "# TYPE a counter\na 1\n").unwrap();
    assert!(!passed);
}

struct Prometheus(Child, u16);

impl Prometheus {
    fn start(folder: &Path, scraped: u16) -> Option<Self> {
        let config = format!(
            "global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\nscrape_configs:\n  - job_name: partyrun\n    \
             static_configs:\n      - targets: ['127.0.0.1:{scraped}']\n"
        );
        std::fs::write(folder.join("prometheus.yml"), config).unwrap();
        let port = free_port();
        let child = Command::new("prometheus")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Some(Self(child, port)),
            Err(_) => {
                skip("there is no prometheus: Debian's package `prometheus` has it");
                None
            }
        }
    }

    fn ask(&self, path: &str) -> Option<Value> {
        let (_, text) = get(self.1, path, "localhost").ok()?;
        // The answer may come in chunks.
        let (from, to) = (text.find('{')?, text.rfind('}')?);
        serde_json::from_str(&text[from..=to]).ok()
    }

    fn value(&self, query: &str) -> Option<String> {
        let answer = self.ask(&format!("/api/v1/query?query={query}"))?;
        answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[test]
fn a_real_prometheus_scrapes_it() {
    let counted = Counted::start(&[]);
    let folder = Project::new(&[]);
    let Some(prometheus) = Prometheus::start(folder.path(), counted.metrics) else { return };
    for _ in 0..7 {
        counted.server.get("/party/a");
    }
    let series = "partyrun_requests_total%7Bparty%3D%22main%22%2Cstatus%3D%222xx%22%7D";
    until("Prometheus has counted seven requests", || prometheus.value(series).as_deref() == Some("7"));
    assert_eq!(prometheus.value("up").as_deref(), Some("1"));
    // It asked for OpenMetrics, and knows what each metric is.
    let known = prometheus.ask("/api/v1/targets/metadata?metric=partyrun_commit_duration_seconds").unwrap();
    assert_eq!(known["data"][0]["type"], "histogram", "{known}");
    let known = prometheus.ask("/api/v1/targets/metadata?metric=partyrun_requests").unwrap();
    assert_eq!(known["data"][0]["type"], "counter", "{known}");
}

//! What `docs/proxies.md` says, with the proxies themselves: each configuration of the page runs as it stands there, but for
//! names, ports and certificates. Debian's nginx, Caddy and HAProxy; a test whose proxy is missing is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{PATIENCE, Project, Server, free_port, skip, until};

const ROOM: &str = r#"
const bytes = (text) => new TextEncoder().encode(text);
export default class Server {
  async onRequest(request) {
    const { searchParams } = new URL(request.url);
    if (searchParams.has("stream")) {
      const { readable, writable } = new TransformStream();
      this.writer = writable.getWriter();
      this.writer.write(bytes("data: first\n\n"));
      return new Response(readable, { headers: { "content-type": "text/event-stream" } });
    }
    if (searchParams.has("finish")) {
      this.writer.write(bytes("data: last\n\n"));
      this.writer.close();
      return new Response("ok");
    }
    if (request.method === "POST") {
      let length = 0;
      for await (const part of request.body) length += part.byteLength;
      return new Response(`${length} bytes`);
    }
    return new Response(`${request.headers.get("x-real-ip")} at ${request.url}`);
  }
  onMessage(message, connection) { connection.send(`echo ${message}`); }
}
"#;

// The block of code on the page below the heading of this name that begins with these words.
fn block(heading: &str, first: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/proxies.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, part) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let part = part.split("\n## ").next().unwrap();
    let mut blocks = part.split("\n```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap().1);
    blocks
        .find(|block| block.starts_with(first))
        .unwrap_or_else(|| panic!("{heading} has no {first}"))
        .to_string()
        // HAProxy wants the last line to end.
        + "\n"
}

// The configuration with what differs here; each of these must be in it.
fn adapted(mut text: String, changes: &[(&str, String)]) -> String {
    for (from, to) in changes {
        assert!(text.contains(from), "docs/proxies.md has no longer `{from}`:\n{text}");
        text = text.replace(from, to);
    }
    text
}

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tls/certs").join(name).canonicalize().unwrap()
}

// A proxy in a folder with its configuration, in front of a server that trusts it.
struct Proxied {
    project: Project,
    server: Server,
    port: u16,
}

impl Proxied {
    fn new() -> Self {
        let project = Project::new(&[("server.js", ROOM)]);
        let server = project.serve(&SERVE);
        Self { project, server, port: free_port() }
    }

    fn path(&self, name: &str) -> String {
        self.project.file(name).to_string_lossy().into_owned()
    }

    fn upstream(&self) -> String {
        format!("127.0.0.1:{}", self.server.port)
    }

    // Starts the proxy, and waits until it takes connections.
    fn run(&self, program: &str, args: &[&str]) -> Server {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.project.path()).env("HOME", self.project.path());
        command.env("XDG_DATA_HOME", self.project.path()).env("XDG_CONFIG_HOME", self.project.path());
        let proxy = Server::start(command, self.port);
        until("the proxy listens", || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        proxy
    }

    // What a client sees before and after the proxy was given its configuration again.
    fn seen(&self, proxy: &Server, reload: &[&str]) -> Option<String> {
        let reload = serde_json::to_string(reload).unwrap();
        let seen = self.server.client("proxied.mjs", &[&self.port.to_string(), &reload, &sockets()])?;
        assert!(!seen.is_empty(), "{}", proxy.output());
        Some(seen)
    }

    // The status that a client gets.
    fn asked(&self) -> impl FnOnce() -> String + Send + 'static {
        let url = format!("https://chat.example.com:{}/party/lobby", self.port);
        let resolve = format!("chat.example.com:{}:127.0.0.1", self.port);
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--insecure",
            "--http1.1",
            "--noproxy",
            "*",
            "--resolve",
            &resolve,
            "--max-time",
        ]);
        curl.args([
            &PATIENCE.as_secs().to_string(),
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            &url,
        ]);
        move || String::from_utf8(curl.output().unwrap().stdout).unwrap()
    }

    // The status of a request that comes while the server is down for a restart.
    fn asked_during_a_restart(self) -> String {
        let (upstream, asked) = (self.server.port, self.asked());
        self.server.stop();
        let asked = std::thread::spawn(asked);
        // The client's half of its connection: it is established, and the proxy's port is the remote one.
        let established = format!(":{:04X} 01 ", self.port);
        let is_connected = || std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&established);
        until("the client reaches the proxy", || is_connected() || asked.is_finished());
        let mut next = crate::support::partyrun();
        next.args(SERVE).args(["--port", &upstream.to_string()]).current_dir(self.project.path());
        let next = Server::start(next, upstream);
        next.wait_for("Ready on");
        let status = asked.join().unwrap();
        next.stop();
        status
    }
}

// Pings come soon, so that silence need not last long to be one.
const SERVE: [&str; 8] = [
    "start",
    "server.js",
    "--host",
    "127.0.0.1",
    "--trusted-proxy",
    "127.0.0.1",
    "--limit",
    "socket_ping_after=1s",
];

// How many sockets there are at once. `PARTYRUN_PROXY_SOCKETS=10000` asks for as many; that takes a machine that gives a proxy
// 20,000 descriptors and more.
fn sockets() -> String {
    std::env::var("PARTYRUN_PROXY_SOCKETS").unwrap_or_else(|_| "500".to_string())
}

fn is_missing(program: &str) -> bool {
    let found = Command::new(program).arg("-v").output().is_ok();
    if !found {
        skip(&format!("there is no {program}: install Debian's package of that name"));
    }
    !found
}

fn expected(reloaded: &str) -> String {
    let seen = "seen as 127.0.0.2 at https://chat.example.com/party/lobby";
    format!(
        "{seen}\necho hello\nstreamed data: first\nstreamed data: last\nover h2: 200 data: first; 20 answers, 200\n\
         echo after a silence\ncrowd {}\nuploaded 104857600 bytes\necho after the reload\nwho was connected: {reloaded}\n{seen}\n",
        sockets()
    )
}

#[test]
fn nginx_does_what_the_page_says() {
    if is_missing("nginx") {
        return;
    }
    let at = Proxied::new();
    let text = adapted(
        block("nginx", "map "),
        &[
            ("listen 443 ssl", format!("listen 127.0.0.1:{} ssl", at.port)),
            ("/etc/ssl/chat.pem", certificate("host.pem").display().to_string()),
            ("/etc/ssl/chat.key", certificate("key.pem").display().to_string()),
            ("127.0.0.1:8080", at.upstream()),
        ],
    );
    outlives_pings(seconds(&text, "proxy_read_timeout "));
    let text = around(adapted(text, &[("proxy_read_timeout 1h", "proxy_read_timeout 4s".to_string())]));
    at.project.write("nginx.conf", &text);
    let folder = at.project.path().to_string_lossy().into_owned();
    let flags = ["-p", &folder, "-c", "nginx.conf", "-e", "stderr"];
    let proxy = at.run("nginx", &[&flags[..], &["-g", "daemon off;"]].concat());
    let Some(seen) = at.seen(&proxy, &[&["nginx"], &flags[..], &["-s", "reload"]].concat()) else { return };
    assert_eq!(seen, expected("echo stays"), "{}", proxy.output());
    let asked = at.asked();
    at.server.stop();
    assert_eq!(asked(), "502", "{}", proxy.output());
}

// What the main configuration of a distribution has around the page's block. Temporary files stay in the project's folder.
fn around(text: String) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {name};\n"))
        .concat();
    format!(
        "user root;\nworker_processes 2;\npid nginx.pid;\nerror_log stderr;\nworker_rlimit_nofile 65536;\nevents {{ worker_connections 20500; }}\n\
         http {{\naccess_log off;\n{temporary}{text}}}\n"
    )
}

#[test]
fn a_proxy_that_cuts_silent_sockets_is_noticed() {
    if is_missing("nginx") {
        return;
    }
    let project = Project::new(&[("server.js", ROOM)]);
    let server = project.serve(&SERVE[..6]);
    let at = Proxied { project, server, port: free_port() };
    let text = adapted(
        block("nginx", "map "),
        &[
            ("listen 443 ssl", format!("listen 127.0.0.1:{} ssl", at.port)),
            ("/etc/ssl/chat.pem", certificate("host.pem").display().to_string()),
            ("/etc/ssl/chat.key", certificate("key.pem").display().to_string()),
            ("127.0.0.1:8080", at.upstream()),
            ("proxy_read_timeout 1h", "proxy_read_timeout 4s".to_string()),
        ],
    );
    at.project.write("nginx.conf", &around(text));
    let folder = at.project.path().to_string_lossy().into_owned();
    let proxy = at.run("nginx", &["-p", &folder, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;"]);
    let Some(seen) = at.server.client("proxied.mjs", &[&at.port.to_string(), "cut", "16"]) else { return };
    assert_eq!(seen, "cut 1006\n", "{}", proxy.output());
    let line = at.server.wait_for("A proxy in front seems to cut WebSockets after ");
    assert!(line.contains("--limit socket_ping_after="), "{line}");
}

#[test]
fn caddy_does_what_the_page_says() {
    if is_missing("caddy") {
        return;
    }
    let at = Proxied::new();
    let admin = format!("127.0.0.1:{}", free_port());
    let (certificate, key) = (certificate("host.pem"), certificate("key.pem"));
    let text = adapted(
        block("Caddy", "chat.example.com {"),
        &[
            // In place of the certificate that Caddy would get for a public name.
            (
                "chat.example.com {",
                format!("chat.example.com:{} {{\n\ttls {} {}", at.port, certificate.display(), key.display()),
            ),
            ("127.0.0.1:8080", at.upstream()),
        ],
    );
    at.project.write("Caddyfile", &format!("{{\n\tadmin {admin}\n\tauto_https off\n}}\n{text}"));
    let file = at.path("Caddyfile");
    let proxy = at.run("caddy", &["run", "--config", &file, "--adapter", "caddyfile"]);
    let reload =
        ["caddy", "reload", "--force", "--config", &file, "--adapter", "caddyfile", "--address", &admin];
    let Some(seen) = at.seen(&proxy, &reload) else { return };
    assert_eq!(seen, expected("closed with 1001"), "{}", proxy.output());
    assert_eq!(at.asked_during_a_restart(), "200", "{}", proxy.output());
}

#[test]
fn haproxy_does_what_the_page_says() {
    if is_missing("haproxy") {
        return;
    }
    let at = Proxied::new();
    // HAProxy reads certificate and key from one file.
    let pem =
        ["host.pem", "key.pem"].map(|name| std::fs::read_to_string(certificate(name)).unwrap()).concat();
    at.project.write("chat.pem", &pem);
    let text = adapted(
        block("HAProxy", "defaults"),
        &[
            ("bind :443", format!("bind 127.0.0.1:{}", at.port)),
            ("/etc/haproxy/chat.pem", at.path("chat.pem")),
            ("127.0.0.1:8080", at.upstream()),
        ],
    );
    outlives_pings(seconds(&text, "timeout tunnel "));
    outlives_pings(seconds(&text, "timeout server "));
    let text = adapted(text, &[("timeout tunnel 1h", "timeout tunnel 4s".to_string())]);
    at.project.write("haproxy.cfg", &text);
    let proxy = at.run("haproxy", &["-W", "-f", &at.path("haproxy.cfg")]);
    let reload = format!("kill -USR2 {}", proxy.pid());
    let Some(seen) = at.seen(&proxy, &["sh", "-c", &reload]) else { return };
    assert_eq!(seen, expected("echo stays"), "{}", proxy.output());
    assert_eq!(at.asked_during_a_restart(), "200", "{}", proxy.output());
}

// The value of a setting as the proxies write times: `60s`, `1h`.
fn seconds(text: &str, setting: &str) -> u64 {
    let value = text.split_once(setting).unwrap().1.split([';', '\n']).next().unwrap().trim();
    let (number, unit) = value.split_at(value.len() - 1);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => panic!("{setting}{value}"),
    };
    number.parse::<u64>().unwrap() * unit
}

// A proxy that waits for less time than partyrun does until it pings would end silent connections.
fn outlives_pings(waits: u64) {
    let limits = partyrun_limits::Limits::default();
    assert!(waits > limits.socket_ping_after.as_secs(), "{waits} s");
}

//! `partyrun host` and the commands that talk to it: a real host on a free port, projects that are deployed to it by the
//! command, and clients that reach them by name.

mod access;
mod bad;
mod deploys;
mod lives;
mod page;
mod quotas;
mod secure;
mod tails;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::support::{PATIENCE, Project, Server, free_port, partyrun};

/// The host's domain. Nothing asks DNS for it: clients connect to loopback and say the name.
pub(crate) const DOMAIN: &str = "party.test";

/// A room that counts, tells its variables, and sets alarms.
pub(crate) const CHAT: &str = r#"
export default class Chat {
  static onFetch(request) { return new Response("edge VERSION"); }
  constructor(room) { this.room = room; }
  async onRequest(request) {
    const url = new URL(request.url);
    if (url.searchParams.has("alarm")) await this.room.storage.setAlarm(Date.now() + Number(url.searchParams.get("alarm")));
    if (url.searchParams.has("say")) console.log(url.searchParams.get("say"));
    const count = ((await this.room.storage.get("count")) ?? 0) + 1;
    await this.room.storage.put("count", count);
    return Response.json({ version: "VERSION", count, alarms: (await this.room.storage.get("alarms")) ?? 0,
      env: this.room.env, url: request.url, host: PARTYKIT_HOST, ip: request.headers.get("x-forwarded-for") });
  }
  async onAlarm() { await this.room.storage.put("alarms", ((await this.room.storage.get("alarms")) ?? 0) + 1); }
  onMessage(message, connection) { connection.send(`echo ${message}`); }
}
"#;

/// A project with this name, whose room says this version.
pub(crate) fn chat(name: &str, version: &str) -> Project {
    let project =
        Project::new(&[("partykit.json", &format!(r#"{{ "name": "{name}", "main": "server.js" }}"#))]);
    set_version(&project, version);
    project
}

/// Gives the project's room another version.
pub(crate) fn set_version(project: &Project, version: &str) {
    project.write("server.js", &CHAT.replace("VERSION", version));
}

/// A host, and what its users have.
pub(crate) struct Platform {
    pub(crate) server: Server,
    pub(crate) data: tempfile::TempDir,
    home: tempfile::TempDir,
    pub(crate) token: String,
    args: Vec<String>,
}

impl Platform {
    /// A host with a token that may do everything.
    pub(crate) fn start(args: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        // Others can reach it, so that projects can have users of their own where the tests run as root.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(data.path(), open).unwrap();
        let path = data.path().to_string_lossy().into_owned();
        let made = partyrun().args(["token", "generate", "--data", &path, "--name", "me"]).output().unwrap();
        let token = token_in(&String::from_utf8(made.stdout).unwrap());
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let server = start(&path, &args, free_port());
        Self { server, data, home: tempfile::tempdir().unwrap(), token, args }
    }

    /// Ends the host, and starts it again on the same port and data.
    pub(crate) fn restart(&mut self, signal: i32) {
        let pid = i32::try_from(self.server.pid()).unwrap();
        self.server.signal(pid, signal);
        self.server.wait_end();
        self.server = start(&self.data.path().to_string_lossy(), &self.args, self.server.port);
    }

    /// The host's URL, by its address.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }

    /// A command in a folder, with the host's URL and this token.
    pub(crate) fn command(&self, project: &Project, token: &str) -> Command {
        let mut command = partyrun();
        command.current_dir(project.path()).env("XDG_CONFIG_HOME", self.home.path());
        command.env("PARTYRUN_URL", self.url()).env("PARTYKIT_TOKEN", token);
        command
    }

    /// Runs a command to its end: its exit code, and all that it printed.
    pub(crate) fn run(&self, project: &Project, args: &[&str]) -> (Option<i32>, String) {
        self.run_as(project, &self.token, args, "")
    }

    /// The same with another token, and a text that it reads.
    pub(crate) fn run_as(
        &self,
        project: &Project,
        token: &str,
        args: &[&str],
        input: &str,
    ) -> (Option<i32>, String) {
        let mut command = self.command(project, token);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), text)
    }

    /// Runs a command that must succeed.
    pub(crate) fn done(&self, project: &Project, args: &[&str]) -> String {
        let (code, text) = self.run(project, args);
        assert_eq!(code, Some(0), "{args:?}: {text}\nthe host:\n{}", self.server.output());
        text
    }

    /// Makes a token.
    pub(crate) fn new_token(&self, project: &Project, args: &[&str]) -> String {
        token_in(&self.done(project, &[&["token", "generate"], args].concat()))
    }

    /// A request to a project: `name` is what stands before the domain.
    pub(crate) fn get(&self, name: &str, path: &str) -> (u16, String) {
        let (status, _, body) = self.ask("GET", &format!("{name}.{DOMAIN}"), path, "", b"");
        (status, body)
    }

    /// The JSON that a project answers.
    pub(crate) fn json(&self, name: &str, path: &str) -> serde_json::Value {
        let (status, text) = self.get(name, path);
        assert_eq!(status, 200, "{name} {path}: {text}\nthe host:\n{}", self.server.output());
        serde_json::from_str(&text).unwrap()
    }

    /// A request: status, head and body.
    pub(crate) fn ask(
        &self,
        method: &str,
        host: &str,
        path: &str,
        fields: &str,
        body: &[u8],
    ) -> (u16, String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.server.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{fields}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // A host that refuses does not read to the end.
        let _refused = stream.write_all(body);
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = if head.to_lowercase().contains("transfer-encoding: chunked") {
            unchunked(body)
        } else {
            body.to_string()
        };
        (status, head.to_string(), body)
    }

    /// A request to the API.
    pub(crate) fn api(&self, method: &str, path: &str, body: &[u8]) -> (u16, serde_json::Value) {
        let fields = format!("authorization: Bearer {}\r\n", self.token);
        let (status, _, body) = self.ask(method, DOMAIN, path, &fields, body);
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    /// A socket of a room of a project.
    pub(crate) fn socket(&self, name: &str, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.server.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let fields = crate::raw::HANDSHAKE;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {name}.{DOMAIN}\r\n{fields}\r\n").unwrap();
        let head = crate::raw::head(&mut stream);
        assert!(head.starts_with("http/1.1 101"), "{head}\nthe host:\n{}", self.server.output());
        stream
    }

    /// The process of a project, if it runs.
    pub(crate) fn process(&self, name: &str) -> Option<i32> {
        let (_, info) = self.api("GET", &format!("/v1/projects/{name}"), b"");
        info["process"].as_i64().map(|pid| i32::try_from(pid).unwrap())
    }
}

fn start(data: &str, args: &[String], port: u16) -> Server {
    let mut command = partyrun();
    command.args(["host", "--domain", DOMAIN, "--data", data, "--host", "127.0.0.1", "--json"]);
    command.args(["--port", &port.to_string()]).args(args);
    let server = Server::start(command, port);
    server.wait_for("\"type\":\"ready\"");
    server
}

/// The token in what `partyrun token generate` prints.
pub(crate) fn token_in(text: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix("PARTYKIT_TOKEN="));
    line.unwrap_or_else(|| panic!("no token in {text}")).to_string()
}

fn unchunked(body: &str) -> String {
    let (mut rest, mut whole) = (body, String::new());
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap_or(0);
        if length == 0 || after.len() < length {
            break;
        }
        whole.push_str(&after[..length]);
        rest = after[length..].trim_start_matches("\r\n");
    }
    whole
}

//! A project in a temporary folder, a server in it, and requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Long, because the machines of tests are slow; nothing waits for it in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A room that counts, greets, waits for a [`Hold`] and fails.
pub(crate) const SERVER: &str = r#"
export default class Server {
  constructor(room) { this.room = room; }
  async onRequest(request) {
    const url = new URL(request.url);
    if (url.searchParams.has("held")) await fetch(`http://127.0.0.1:${url.searchParams.get("held")}/`);
    if (url.searchParams.has("fail")) throw new Error("it failed", { cause: new TypeError("the reason") });
    const count = ((await this.room.storage.get("count")) ?? 0) + 1;
    await this.room.storage.put("count", count);
    return Response.json({ count, env: this.room.env, secret: process.env.SECRET ?? null });
  }
  onMessage(message, connection) { connection.send(`echo ${message}`); }
}
"#;

pub(crate) fn partyrun() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_partyrun"));
    command.env("NO_COLOR", "1").env_remove("PARTYKIT_LOG").stdin(Stdio::null());
    // What is kept for a user stays out of the one's who runs the tests; a test that looks at it has a folder of its own.
    command.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

/// A temporary folder with files, or a folder within one.
pub(crate) struct Project {
    path: PathBuf,
    _whole: Option<tempfile::TempDir>,
}

impl Project {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = Self { path: folder.path().canonicalize().unwrap(), _whole: Some(folder) };
        files.iter().for_each(|(path, text)| project.write(path, text));
        project
    }

    pub(crate) fn within(project: &Self, folder: &str) -> Self {
        Self { path: project.file(folder), _whole: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.file(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Runs a command of partyrun to its end; its exit code and all that it printed.
    pub(crate) fn run(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = partyrun().args(args).current_dir(self.path()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    /// Starts a server and waits until it is ready.
    pub(crate) fn serve(&self, args: &[&str]) -> Server {
        let port = free_port();
        let mut command = partyrun();
        command.args(args).args(["--port", &port.to_string()]).current_dir(self.path());
        let server = Server::start(command, port);
        server.wait_for("Ready on");
        server
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A running server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    lines: Arc<Mutex<Vec<String>>>,
    news: Receiver<()>,
}

impl Server {
    pub(crate) fn start(mut command: Command, port: u16) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (sender, news) = channel();
        let pipes: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for pipe in pipes {
            let (lines, sender) = (lines.clone(), sender.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    lines.lock().unwrap().push(line);
                    let _gone = sender.send(());
                }
            });
        }
        Self { child, port, lines, news }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process that serves, below its supervisor.
    pub(crate) fn served_by(&self) -> i32 {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        std::fs::read_to_string(path).unwrap().split_whitespace().next().unwrap().parse().unwrap()
    }

    pub(crate) fn output(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits for a line and answers it.
    pub(crate) fn wait_for(&self, part: &str) -> String {
        self.wait_for_times(part, 1)
    }

    /// Waits until a line with `part` has come so many times.
    pub(crate) fn wait_for_times(&self, part: &str, times: usize) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found =
                self.lines.lock().unwrap().iter().filter(|line| line.contains(part)).nth(times - 1).cloned();
            if let Some(line) = found {
                return line;
            }
            assert!(Instant::now() < deadline, "no `{part}` in:\n{}", self.output());
            let _more = self.news.recv_timeout(Duration::from_millis(200));
        }
    }

    /// The answer to `GET path`: its status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.output()))
    }

    pub(crate) fn try_get(&self, path: &str) -> std::io::Result<(u16, String)> {
        get(self.port, path, "localhost")
    }

    pub(crate) fn signal(&self, pid: i32, signal: i32) {
        // SAFETY: kill takes two integers; the process is one of this test.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    pub(crate) fn terminate(&self) {
        self.signal(i32::try_from(self.pid()).unwrap(), libc::SIGTERM);
    }

    pub(crate) fn wait_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(10)); // Polls.
        }
    }

    /// Ends it as a terminal does and checks that it goes in peace.
    pub(crate) fn stop(mut self) -> String {
        self.terminate();
        let status = self.wait_end();
        assert_eq!((status.code(), status.signal()), (Some(0), None), "{}", self.output());
        self.output()
    }

    /// Runs a Node program of `clients/`. None if Node or its packages are not there.
    pub(crate) fn client(&self, name: &str, args: &[&str]) -> Option<String> {
        let address = format!("127.0.0.1:{}", self.port);
        let args: Vec<&str> = [address.as_str()].into_iter().chain(args.iter().copied()).collect();
        node(name, &args).map(|(ended, text)| {
            assert!(ended, "{name}:\n{text}\nthe server:\n{}", self.output());
            text
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SAFETY: killpg takes two integers; the group is the child's own.
        unsafe { libc::killpg(i32::try_from(self.child.id()).unwrap(), libc::SIGKILL) };
        let _ended = self.child.wait();
    }
}

/// A web server that a room asks in the middle of an event, so that the event lasts until the test lets it go.
pub(crate) struct Hold {
    listener: TcpListener,
    pub(crate) port: u16,
}

impl Hold {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port }
    }

    /// Waits until a room has asked: from then on its event is in progress.
    pub(crate) fn held(&self) -> Held {
        let mut asked = None;
        until("a room asks", || {
            asked = self.listener.accept().ok();
            asked.is_some()
        });
        Held(asked.unwrap().0)
    }
}

/// A room that waits. Dropping it without [`Held::let_go`] fails the room's request.
pub(crate) struct Held(TcpStream);

impl Held {
    pub(crate) fn let_go(mut self) {
        self.0.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    }
}

/// Waits for what nothing announces, by asking again and again.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10)); // Polls.
    }
}

/// The answer to `GET path` on a port of this machine, with the name that the client uses for it.
pub(crate) fn get(port: u16, path: &str, host: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, body.to_string()))
}

/// What a test does where something that it needs is missing: it says so and returns, unless `PARTYRUN_TESTS=all`, which
/// CI sets: then nothing may be skipped, and the test fails.
pub(crate) fn skip(reason: &str) {
    let all = std::env::var("PARTYRUN_TESTS").is_ok_and(|tests| tests == "all");
    assert!(!all, "PARTYRUN_TESTS=all, but {reason}");
    eprintln!("skipped: {reason}");
}

/// Runs a Node program with the packages of `tests/`: whether it ended well, and what it printed.
pub(crate) fn node(name: &str, args: &[&str]) -> Option<(bool, String)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = here.join("../tests/node_modules");
    if !packages.join("ws").is_dir() {
        skip(&format!("{name} needs the packages of tests/: run `npm ci` there"));
        return None;
    }
    let program = here.join("tests/clients").join(name);
    let output = Command::new("node").arg(program).args(args).env("PACKAGES", packages).output();
    let Ok(output) = output else {
        skip(&format!("there is no node for {name}"));
        return None;
    };
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Some((output.status.success(), text))
}

//! Another process takes over from a server that runs, and another release takes the place of the one that is served: nothing that
//! was acknowledged is lost, nobody who connects is refused, and sockets of rooms that hibernate go on.

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::admin::Api;
use crate::raw::{ask, close_code, frame, head, say, socket};
use crate::support::{Hold, Project, Server, free_port, get, until};

/// A room that hibernates and tells what it knows, one that does not, and a module that takes its time where `HOLD` is set.
const SERVER: &str = r#"
if (process.env.HOLD) await fetch(`http://127.0.0.1:${process.env.HOLD}/`).catch(() => {});
export default class Server {
  constructor(room) {
    this.room = room;
    this.options = { hibernate: room.id !== "awake" };
  }
  onConnect(connection) { connection.setState({ since: connection.id.length }); }
  async count() {
    const count = ((await this.room.storage.get("count")) ?? 0) + 1;
    await this.room.storage.put("count", count);
    return count;
  }
  async onMessage(message, connection) {
    const sockets = [...this.room.getConnections()].length;
    connection.send(JSON.stringify({ message, sockets, state: connection.state, count: await this.count() }));
  }
  async onAlarm() {
    await this.room.storage.put("fired", ((await this.room.storage.get("fired")) ?? 0) + 1);
  }
  async onRequest(request) {
    const { searchParams } = new URL(request.url);
    if (searchParams.has("alarm")) {
      await this.room.storage.setAlarm(Date.now() + Number(searchParams.get("alarm")));
      return Response.json("set");
    }
    if (searchParams.has("fired")) return Response.json((await this.room.storage.get("fired")) ?? 0);
    if (request.method === "POST") return Response.json(await this.count());
    return Response.json((await this.room.storage.get("count")) ?? 0);
  }
}
"#;

const ROOMS: usize = 40;
const SOCKETS_PER_ROOM: usize = 50;

/// A project whose program is a file of its own, so that it can be replaced.
struct Upgraded {
    project: Project,
    server: Server,
}

impl Upgraded {
    fn start(args: &[&str]) -> Self {
        let project = Project::new(&[("server.js", SERVER)]);
        place_program(&project);
        let port = free_port();
        let mut command = Command::new(project.file("bin/partyrun"));
        command.env("NO_COLOR", "1").env_remove("PARTYKIT_LOG").stdin(Stdio::null());
        command.args(["start", "server.js", "--persist", "data", "--port", &port.to_string()]);
        let server = Server::start(command.args(args).current_dir(project.path()).take(), port);
        server.wait_for("Ready on");
        Self { project, server }
    }

    /// Has the server replaced, and waits until `line` is said for the `times`th time.
    fn upgrade(&self, line: &str, times: usize) {
        self.server.signal(i32::try_from(self.server.pid()).unwrap(), libc::SIGUSR2);
        self.server.wait_for_times(line, times);
    }

    /// Waits until this process's program is the one that is at its path.
    fn wait_for_program(&self) {
        let own = format!("/proc/{}/exe", self.server.pid());
        let wanted = self.project.file("bin/partyrun");
        until("the supervisor is the new program", || {
            std::fs::read_link(&own).is_ok_and(|exe| exe == wanted)
        });
    }
}

trait Take {
    fn take(&mut self) -> Command;
}

impl Take for Command {
    fn take(&mut self) -> Command {
        std::mem::replace(self, Command::new("true"))
    }
}

// Puts a copy of the program to its path, in place of what is there.
fn place_program(project: &Project) {
    let draft = project.file("bin/draft");
    std::fs::create_dir_all(project.file("bin")).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_partyrun"), &draft).unwrap();
    std::fs::rename(draft, project.file("bin/partyrun")).unwrap();
}

fn place_script(project: &Project, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    project.write("bin/draft", text);
    let draft = project.file("bin/draft");
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(draft, project.file("bin/partyrun")).unwrap();
}

/// What a room answers to a message.
fn answer_of(stream: &mut TcpStream, message: &str) -> serde_json::Value {
    say(stream, message);
    let (opcode, payload) =
        frame(stream).unwrap_or_else(|| panic!("the socket has ended before `{message}`"));
    assert_eq!(opcode, 1, "{message}: {}", String::from_utf8_lossy(&payload));
    serde_json::from_slice(&payload).unwrap()
}

fn raise_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through both calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
}

/// Clients that store, each on a connection of its own, until they are stopped: how many writes were acknowledged, by room.
struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<[AtomicUsize; 4]>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Writers {
    fn start(port: u16) -> Self {
        let (stop, acknowledged) =
            (Arc::new(AtomicBool::new(false)), Arc::new([const { AtomicUsize::new(0) }; 4]));
        let write = |room: usize| {
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("nobody is refused");
                    let request = format!(
                        "POST /party/writes-{room} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    );
                    stream.write_all(request.as_bytes()).unwrap();
                    let answer = head(&mut stream);
                    assert!(answer.starts_with("http/1.1 200"), "room {room}: {answer}");
                    acknowledged[room].fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let threads = (0..4).map(write).collect();
        Self { stop, acknowledged, threads }
    }

    fn total(&self) -> usize {
        self.acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Every acknowledged write is there.
    fn check(self, port: u16) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        for (room, acknowledged) in self.acknowledged.iter().enumerate() {
            let stored = get(port, &format!("/party/writes-{room}"), "localhost").unwrap().1;
            assert_eq!(stored, acknowledged.load(Ordering::Relaxed).to_string(), "room {room}");
        }
    }
}

#[test]
fn two_thousand_sockets_survive_two_upgrades_while_others_write() {
    raise_descriptors();
    let upgraded = Upgraded::start(&[]);
    let Upgraded { project, server } = &upgraded;
    let mut sockets: Vec<(usize, TcpStream)> = (0..ROOMS * SOCKETS_PER_ROOM)
        .map(|number| (number, socket(server, &format!("/party/{}?_pk=id-{number}", number % ROOMS))))
        .collect();
    let mut awake = socket(server, "/party/awake");
    assert_eq!(answer_of(&mut awake, "hello")["count"], 1);
    let supervisor = server.pid();
    let writers = Writers::start(server.port);
    for round in 1..=2 {
        place_program(project);
        let before = (server.served_by(), writers.total());
        upgraded.upgrade("Took over from the server before", round);
        until("others write after it", || writers.total() > before.1 + 50);
        upgraded.wait_for_program();
        assert_ne!(server.served_by(), before.0, "{}", server.output());
        assert_eq!(server.pid(), supervisor);
    }
    assert_eq!(close_code(&mut awake), Some(1012), "a room that does not hibernate");
    for (number, stream) in &mut sockets {
        let answer = answer_of(stream, &format!("after {number}"));
        assert_eq!(answer["message"], format!("after {number}"));
        assert_eq!(answer["sockets"], SOCKETS_PER_ROOM, "{number}");
        assert_eq!(answer["state"]["since"], format!("id-{number}").len(), "{number}");
    }
    writers.check(server.port);
    let line = server.wait_for_times("Took over from the server before", 2);
    assert!(line.contains(&format!("{} connections", ROOMS * SOCKETS_PER_ROOM)), "{line}");
    upgraded.server.stop();
}

#[test]
fn a_program_that_does_not_work_changes_nothing() {
    let upgraded = Upgraded::start(&["--limit", "upgrade_time_max=2s"]);
    let Upgraded { project, server } = &upgraded;
    let mut one = socket(server, "/party/a?_pk=one");
    assert_eq!(answer_of(&mut one, "before")["count"], 1);
    let serving = server.served_by();
    place_script(project, "#!/bin/sh\nexit 1\n");
    upgraded.upgrade("This server goes on.", 1);
    server.wait_for("The new server ended with exit code 1");
    place_script(project, "#!/bin/sh\nsleep 1000\n");
    upgraded.upgrade("This server goes on.", 2);
    assert!(server.output().contains("limit `upgrade_time_max`"), "{}", server.output());
    std::fs::remove_file(project.file("bin/partyrun")).unwrap();
    upgraded.upgrade("cannot be started", 1);
    place_program(project);
    project.write("server.js", "throw new Error('it does not load')");
    upgraded.upgrade("This server goes on.", 3);
    assert!(server.output().contains("it does not load"), "{}", server.output());
    assert_eq!((server.served_by(), &answer_of(&mut one, "meanwhile")["count"]), (serving, &2.into()));
    project.write("server.js", SERVER);
    upgraded.upgrade("Took over from the server before", 1);
    assert_eq!(answer_of(&mut one, "after")["count"], 3);
    upgraded.server.stop();
}

#[test]
fn either_process_may_be_killed_in_between() {
    let upgraded = Upgraded::start(&["--close-code", "1001"]);
    let Upgraded { project, server } = &upgraded;
    let mut one = socket(server, "/party/a?_pk=one");
    let mut awake = socket(server, "/party/awake");
    assert_eq!(answer_of(&mut one, "before")["count"], 1);
    let hold = Hold::new();
    project.write(".env", &format!("HOLD={}", hold.port));
    let old = server.served_by();
    // The new one is loading the project.
    server.signal(i32::try_from(server.pid()).unwrap(), libc::SIGUSR2);
    let held = hold.held();
    let new = children(server).into_iter().find(|child| *child != old).unwrap();
    server.signal(new, libc::SIGKILL);
    server.wait_for("This server goes on.");
    drop(held);
    assert_eq!(answer_of(&mut one, "after the new one")["count"], 2);
    server.signal(i32::try_from(server.pid()).unwrap(), libc::SIGUSR2);
    let held = hold.held();
    server.signal(old, libc::SIGKILL);
    held.let_go();
    // It is evaluated again to be served, and nobody holds it then.
    drop(hold);
    server.wait_for("Took over from the server before");
    assert_eq!((close_code(&mut one), close_code(&mut awake)), (None, None), "they ended with their process");
    let mut two = socket(server, "/party/a?_pk=two");
    assert_eq!(answer_of(&mut two, "later")["count"], 3);
    std::fs::remove_file(project.file(".env")).unwrap();
    let mut awake = socket(server, "/party/awake");
    upgraded.upgrade("Took over from the server before", 2);
    assert_eq!(close_code(&mut awake), Some(1001));
    assert_eq!(answer_of(&mut two, "at last")["count"], 4);
    upgraded.server.stop();
}

#[test]
fn a_socket_in_the_middle_of_a_message_is_waited_for_and_no_longer_than_the_limit() {
    let upgraded = Upgraded::start(&["--limit", "upgrade_drain_max=300ms"]);
    let server = &upgraded.server;
    let [mut half, mut two] = ["half", "two"].map(|id| socket(server, &format!("/party/a?_pk={id}")));
    assert_eq!(answer_of(&mut two, "before")["sockets"], 2);
    half.write_all(&crate::raw::frame_head(1, 10)).unwrap();
    half.write_all(b"half").unwrap();
    upgraded.upgrade("Took over from the server before", 1);
    assert_eq!(close_code(&mut half), Some(1012));
    assert_eq!(answer_of(&mut two, "after")["sockets"], 1);
    upgraded.server.stop();
}

#[test]
fn alarms_that_come_due_meanwhile_run_once() {
    let upgraded = Upgraded::start(&[]);
    let server = &upgraded.server;
    // Some of them before, some during, and some after.
    for room in 0..60 {
        assert_eq!(server.get(&format!("/party/alarm-{room}?alarm={}", room * 25)).1, "\"set\"");
    }
    // Until the supervisor is the new program, nothing else takes over.
    place_program(&upgraded.project);
    upgraded.upgrade("Took over from the server before", 1);
    upgraded.wait_for_program();
    upgraded.upgrade("Took over from the server before", 2);
    for room in 0..60 {
        let path = format!("/party/alarm-{room}?fired");
        until("the alarm has run", || server.get(&path).1 != "0");
    }
    for room in 0..60 {
        assert_eq!(server.get(&format!("/party/alarm-{room}?fired")).1, "1", "room {room}");
    }
    upgraded.server.stop();
}

#[test]
fn a_backup_goes_on_while_another_process_takes_over() {
    let upgraded = Upgraded::start(&[]);
    let Upgraded { project, server } = &upgraded;
    let writers = Writers::start(server.port);
    until("there is something to copy", || writers.total() > 100);
    let taking = std::thread::scope(|scope| {
        let taking = scope.spawn(|| project.run(&["backup", "copy", "--persist", "data"]));
        upgraded.upgrade("Took over from the server before", 1);
        taking.join().unwrap()
    });
    assert_eq!(taking.0, Some(0), "{}", taking.1);
    let (code, text) = project.run(&["restore", "copy", "--check", "--persist", "data"]);
    assert_eq!(code, Some(0), "{text}");
    writers.check(server.port);
    upgraded.server.stop();
}

fn children(server: &Server) -> Vec<i32> {
    let path = format!("/proc/{0}/task/{0}/children", server.pid());
    std::fs::read_to_string(path).unwrap().split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// A room that says which release it is of.
fn release(project: &Project, word: &str) -> PathBuf {
    let server = format!(
        "export default class Server {{
          options = {{ hibernate: true }};
          onMessage(message, connection) {{ connection.send(JSON.stringify('{word} ' + message)); }}
          onRequest() {{ return new Response('{word}'); }}
        }}"
    );
    project.write("server.js", &server);
    project.write("public/word.txt", word);
    project.write("partykit.json", r#"{ "main": "server.js", "serve": "public" }"#);
    let (code, text) = project.run(&["build", "--out", "next.partyrun"]);
    assert_eq!(code, Some(0), "{text}");
    std::fs::rename(project.file("next.partyrun"), project.file("chat.partyrun")).unwrap();
    project.file("chat.partyrun")
}

#[test]
fn another_release_takes_the_place_of_the_one_that_is_served() {
    let project = Project::new(&[]);
    release(&project, "one");
    let server = project.serve(&["start", "chat.partyrun", "--admin", "0"]);
    let reload = || server.signal(i32::try_from(server.pid()).unwrap(), libc::SIGHUP);
    let mut stream = socket(&server, "/party/a");
    assert_eq!(answer_of(&mut stream, "hello"), "one hello");
    release(&project, "two");
    reload();
    server.wait_for("Updated and ready on the same port");
    assert_eq!(answer_of(&mut stream, "again"), "two again");
    assert_eq!(server.get("/party/b").1, "two");
    assert_eq!(server.get("/word.txt").1, "two");
    // One that does not work, or is no release at all, changes nothing.
    std::fs::write(project.file("chat.partyrun"), "nothing").unwrap();
    reload();
    server.wait_for_times("The last working version keeps running.", 1);
    release(&project, "three");
    reload();
    server.wait_for_times("Updated and ready on the same port", 2);
    assert_eq!(
        (answer_of(&mut stream, "still"), server.get("/word.txt").1),
        ("three still".into(), "three".to_string())
    );
    reload();
    server.wait_for("Nothing has changed.");
    // The API answers what came of it.
    let api = Api::of(&project);
    release(&project, "four");
    let answer = api.ask("POST", "/v1/release", "");
    assert_eq!((answer.status, answer.body.contains("true")), (200, true), "{}", answer.body);
    std::fs::write(project.file("chat.partyrun"), "nothing").unwrap();
    let answer = api.ask("POST", "/v1/release", "");
    assert!(answer.status == 409 && answer.body.contains("chat.partyrun"), "{}", answer.body);
    assert_eq!(answer_of(&mut stream, "at last"), "four at last");
    release(&project, "five");
    assert_eq!(api.ask("POST", "/v1/upgrade", "").status, 202);
    server.wait_for("Took over from the server before, with 1 connection of 1 room");
    assert_eq!(answer_of(&mut stream, "and on"), "five and on");
    server.stop();
}

#[test]
fn a_request_that_was_begun_ends_with_the_release_it_began_with() {
    let project = Project::new(&[("partykit.json", r#"{ "main": "server.js" }"#)]);
    let word = |word: &str| {
        let server = crate::support::SERVER.replace("env: this.room.env", &format!("env: '{word}'"));
        project.write("server.js", &server);
    };
    word("one");
    let server = project.serve(&["start"]);
    let hold = Hold::new();
    let path = format!("/party/a?held={}", hold.port);
    let mut stream = ask(server.port, &path, "connection: close\r\n");
    let held = hold.held();
    word("two");
    server.signal(i32::try_from(server.pid()).unwrap(), libc::SIGHUP);
    server.wait_for("Updated and ready on the same port");
    held.let_go();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    assert!(text.contains(r#""env":"one""#), "{text}");
    until("the room is of the new release", || server.get("/party/a").1.contains(r#""env":"two""#));
    server.stop();
}

//! What one project may use: it is held to its memory, its CPU time, its descriptors, its disk and its log, and its neighbour
//! notices nothing of that.

use super::{Platform, chat};
use crate::support::{Project, until};

fn with_server(name: &str, server: &str) -> Project {
    let project = chat(name, "one");
    project.write("server.js", server);
    project
}

fn neighbour(platform: &Platform) -> Project {
    let project = chat("neighbour", "one");
    platform.done(&project, &["deploy"]);
    project
}

#[test]
fn a_project_that_takes_too_much_memory_is_ended() {
    let platform = Platform::start(&["--limit", "host_memory_bytes_max=300MiB"]);
    neighbour(&platform);
    let leaks = "const kept = []; export default class { onRequest() {
      for (let i = 0; i < 6; i++) kept.push(new Uint8Array(16 << 20).fill(1)); return new Response('took'); } }";
    platform.done(&with_server("leaky", leaks), &["deploy"]);
    let first = platform.process("leaky").unwrap();
    for room in 0..8 {
        let _ended_meanwhile = platform.get("leaky", &format!("/party/{room}"));
    }
    platform.server.wait_for("leaky: The project's process was ended: it used more memory than it may (limit `host_memory_bytes_max`");
    until("another process serves", || platform.process("leaky").is_some_and(|process| process != first));
    assert_eq!(platform.get("neighbour", "/").0, 200);
}

#[test]
fn a_project_that_loops_gets_the_lowest_priority() {
    let platform = Platform::start(&["--limit", "host_cpu_share_max=0.05"]);
    neighbour(&platform);
    let loops = "export default class { onRequest() { for (const end = Date.now() + 20000; Date.now() < end;); return new Response(); }
      static onFetch() { return new Response('edge'); } }";
    platform.done(&with_server("busy", loops), &["deploy"]);
    let process = platform.process("busy").unwrap();
    let port = platform.server.port;
    let asked = std::thread::spawn(move || crate::support::get(port, "/party/a", "busy.party.test").unwrap());
    let nice = || {
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let of = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("stat")).ok();
        let field = |stat: String| stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse::<i32>().ok();
        tasks.flatten().filter_map(of).filter_map(field).max().unwrap()
    };
    let grouped = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    until("it is held", || grouped || nice() == 19);
    assert_eq!(platform.get("neighbour", "/").0, 200);
    platform.server.signal(process, libc::SIGKILL);
    let asked = asked.join().unwrap();
    assert_eq!(asked.0, 502, "{}", asked.1);
    assert!(asked.1.contains("The project's process ended while it answered"));
}

#[test]
fn a_project_has_so_many_descriptors() {
    let platform = Platform::start(&["--limit", "host_descriptors_max=256"]);
    neighbour(&platform);
    platform.done(&chat("chat", "one"), &["deploy"]);
    let process = platform.process("chat").unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("256"), "{line}");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"));
    let mut sockets = Vec::new();
    let full = (0..300).find(|_| {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", platform.server.port)).unwrap();
        stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        write!(stream, "GET /party/a HTTP/1.1\r\nHost: chat.party.test\r\n{}\r\n", crate::raw::HANDSHAKE)
            .unwrap();
        let head = crate::raw::head(&mut stream);
        sockets.push(stream);
        !head.starts_with("http/1.1 101")
    });
    assert!(full.is_some_and(|full| full > 50), "{full:?}");
    assert_eq!(platform.get("neighbour", "/").0, 200);
    assert_eq!(platform.json("neighbour", "/party/a")["count"], 1);
}

#[test]
fn a_project_cannot_fill_the_disk() {
    let platform = Platform::start(&["--limit", "host_storage_bytes_max=4MiB"]);
    neighbour(&platform);
    let fills = "export default class { constructor(room) { this.room = room; }
      async onRequest(request) {
        const url = new URL(request.url);
        if (request.method === 'POST') {
          await this.room.storage.put(url.searchParams.get('key'), 'x'.repeat(100000));
          return new Response('stored');
        }
        return new Response(String((await this.room.storage.list()).size)); } }";
    let project = with_server("greedy", fills);
    platform.done(&project, &["deploy"]);
    let put =
        |number: u32| platform.ask("POST", "greedy.party.test", &format!("/party/a?key={number}"), "", b"").0;
    let full = (0..200).find(|number| put(*number) != 200).unwrap();
    assert!((10..60).contains(&full), "{full}");
    let database = platform.data.path().join("sites/greedy/data/partyrun.sqlite");
    assert!(database.metadata().unwrap().len() <= 4 << 20);
    // What was acknowledged is there, and its neighbour writes.
    until("it answers", || platform.get("greedy", "/party/a") == (200, full.to_string()));
    assert_eq!(platform.json("neighbour", "/party/a")["count"], 1);
}

#[test]
fn a_project_that_floods_its_log_is_read_no_faster_than_it_may_be() {
    let platform = Platform::start(&[
        "--limit",
        "host_log_bytes_per_second_max=64KiB",
        "--limit",
        "host_log_bytes_max=128KiB",
    ]);
    neighbour(&platform);
    let floods = "export default class { onRequest() {
      for (let i = 0; i < 20000; i++) console.log(i, 'x'.repeat(500)); return new Response('said'); } }";
    let project = with_server("loud", floods);
    platform.done(&project, &["deploy"]);
    assert_eq!(platform.get("loud", "/party/a").1, "said");
    assert_eq!(platform.get("neighbour", "/").0, 200);
    let kept = || {
        let bytes = |name: &str| {
            platform.data.path().join("sites/loud").join(name).metadata().map_or(0, |file| file.len())
        };
        bytes("log") + bytes("log.old").max(bytes("old"))
    };
    until("some of it is kept", || kept() > 10_000);
    assert!(kept() <= 128 << 10);
}

#[test]
fn projects_have_users_of_their_own_and_cannot_read_each_other() {
    // SAFETY: it takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        crate::support::skip("only root can give projects users of their own");
        return;
    }
    let platform = Platform::start(&[]);
    if platform.server.output().contains("Projects run as this user") {
        crate::support::skip("the program lies where only its user can reach it");
        return;
    }
    neighbour(&platform);
    platform.done(&chat("chat", "one"), &["deploy"]);
    platform.json("chat", "/party/a");
    platform.json("neighbour", "/party/a");
    let user = |name: &str| {
        let process = platform.process(name).unwrap();
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(format!("/proc/{process}/stat")).unwrap())
    };
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", platform.process("chat").unwrap())).unwrap();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap().to_string();
    assert!(line("Uid:").contains("700"), "{status}");
    assert!(line("NoNewPrivs:").ends_with('1') && line("CapEff:").ends_with("0000000000000000"), "{status}");
    let owner = |name: &str| {
        let data = std::fs::metadata(platform.data.path().join("sites").join(name)).unwrap();
        (
            std::os::unix::fs::MetadataExt::uid(&data),
            std::os::unix::fs::PermissionsExt::mode(&data.permissions()) & 0o777,
        )
    };
    assert!(owner("chat").0 != owner("neighbour").0 && owner("chat").1 == 0o700);
    let _of_procfs = (user("chat"), user("neighbour"));
}

#[test]
fn usage_is_counted_by_day() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    for _ in 0..3 {
        platform.json("chat", "/party/a");
    }
    let mut socket = platform.socket("chat", "/party/a");
    crate::raw::say(&mut socket, "hello");
    crate::raw::frame(&mut socket).unwrap();
    until("it is counted", || {
        let (_, days) = platform.api("GET", "/v1/projects/chat/usage", b"");
        let day = &days[0];
        let number = |name: &str| day[name].as_i64().unwrap_or(0);
        number("requests") == 3
            && number("sockets") == 1
            && number("bytes_in") > 0
            && number("bytes_out") > 0
            && number("cpu_ms") > 0
    });
    let text = platform.done(&project, &["usage"]);
    assert!(text.contains("CPU SECONDS"), "{text}");
}

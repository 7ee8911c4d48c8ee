//! Where `start` listens: several addresses, paths, sockets that systemd passes, and behind proxies that speak the PROXY protocol;
//! and what it tells systemd.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::support::{PATIENCE, Project, Server, free_port, get, partyrun, until};

const SERVER: &str = r#"
export default class Server {
  onRequest(request) { return new Response(`${request.url} from ${request.headers.get("x-real-ip")}`); }
}
"#;

fn project() -> Project {
    Project::new(&[("server.js", SERVER)])
}

fn start(project: &Project, port: u16, args: &[&str]) -> Server {
    let mut command = partyrun();
    command.args(["start", "server.js", "--persist", "false"]).args(args).current_dir(project.path());
    let server = Server::start(command, port);
    server.wait_for("Ready on");
    server
}

// What a server says to these bytes.
fn ask(mut stream: impl Read + Write, bytes: &[u8]) -> String {
    let mut answer = String::new();
    if stream.write_all(bytes).is_ok() {
        // A connection that is reset has said what it says.
        let _reset = stream.read_to_string(&mut answer);
    }
    answer
}

const GET: &[u8] = b"GET /party/a HTTP/1.1\r\nhost: chat.test\r\nconnection: close\r\n\r\n";

#[test]
fn several_places_are_listened_at_and_paths_have_their_mode() {
    let project = project();
    let (first, second) = (free_port(), free_port());
    let path = project.file("chat.sock");
    let unix = format!("unix:{},mode=600", path.display());
    let args = [
        "--listen",
        &format!("127.0.0.1:{first}"),
        "--listen",
        &format!("127.0.0.1:{second}"),
        "--listen",
        &unix,
    ];
    let server = start(&project, first, &args);
    for port in [first, second] {
        assert_eq!(get(port, "/party/a", "localhost").unwrap().0, 200);
    }
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    let answer = ask(UnixStream::connect(&path).unwrap(), GET);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("http://chat.test/party/a"), "{answer}");
    // A second server takes none of it; what a killed one left is no hindrance.
    let refused = partyrun()
        .args(["start", "server.js", "--persist", "false", "--listen", &unix])
        .current_dir(project.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("another program listens there"), "{text}");
    drop(server);
    assert!(path.exists());
    // The process below its supervisor ends a moment later.
    until("nobody listens", || UnixStream::connect(&path).is_err());
    let server = start(&project, 0, &["--listen", &unix]);
    assert!(ask(UnixStream::connect(&path).unwrap(), GET).starts_with("HTTP/1.1 200"));
    // It has no port, and no address of a network.
    let told = server.output();
    assert!(told.contains("Ready on unix:") && !told.contains("localhost:0"), "{told}");
    assert!(!told.contains("  network"), "{told}");
    server.stop();
    assert!(!path.exists());
}

#[test]
fn a_trusted_proxy_says_whom_it_speaks_for() {
    let project = project();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let args = [
        "--listen",
        &address,
        "--proxy-protocol",
        "--trusted-proxy",
        "127.0.0.1",
        "--limit",
        "proxy_header_bytes_max=200",
    ];
    let server = start(&project, port, &args);
    let told = |header: &[u8]| ask(TcpStream::connect(("127.0.0.1", port)).unwrap(), &[header, GET].concat());
    let second = |length: u16, rest: &[u8]| {
        [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &length.to_be_bytes()[..], rest].concat()
    };
    let four = [203, 0, 113, 8, 127, 0, 0, 1, 0x9c, 0x40, 1, 0xbb];
    let answer = told(b"PROXY TCP4 203.0.113.7 127.0.0.1 40000 443\r\n");
    assert!(answer.contains("from 203.0.113.7"), "{answer}");
    let answer = told(&second(12, &four));
    assert!(answer.contains("from 203.0.113.8"), "{answer}");
    let answer = told(b"PROXY UNKNOWN\r\n");
    assert!(answer.contains("from 127.0.0.1"), "{answer}");
    // Nothing, nonsense and what is too long are closed without an answer.
    let long = second(500, &[four.as_slice(), &[0; 488]].concat());
    for header in [&b""[..], b"PROXY TCP4 a b c d\r\n", b"PROXY ", &long] {
        assert_eq!(told(header), "", "{header:?}");
    }
    server.stop();
    let (code, text) = project.run(&["start", "server.js", "--proxy-protocol"]);
    assert!(code == Some(1) && text.contains("--trusted-proxy"), "{text}");
}

#[test]
fn whoever_is_not_trusted_is_not_believed() {
    let project = project();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let args = ["--listen", &address, "--proxy-protocol", "--trusted-proxy", "192.0.2.1"];
    let server = start(&project, port, &args);
    assert!(ask(TcpStream::connect(("127.0.0.1", port)).unwrap(), GET).contains("from 127.0.0.1"));
    let header = b"PROXY TCP4 203.0.113.7 127.0.0.1 40000 443\r\n";
    let answer = ask(TcpStream::connect(("127.0.0.1", port)).unwrap(), &[header, GET].concat());
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    server.stop();
}

/// A server as systemd starts it, with these sockets.
fn as_systemd(project: &Project, sockets: &[(i32, &str)], notify: &UnixDatagram, args: &[&str]) -> Server {
    let mut command = Command::new("sh");
    let program = partyrun();
    let names: Vec<&str> = sockets.iter().map(|(_, name)| *name).collect();
    command.args(["-c", "LISTEN_PID=$$ WATCHDOG_PID=$$ exec \"$@\"", "sh"]).arg(program.get_program());
    command.args(["start", "server.js", "--persist", "false"]).args(args).current_dir(project.path());
    command
        .env("NO_COLOR", "1")
        .env("LISTEN_FDS", sockets.len().to_string())
        .env("LISTEN_FDNAMES", names.join(":"));
    command.env("WATCHDOG_USEC", "300000");
    command.env("NOTIFY_SOCKET", notify.local_addr().unwrap().as_pathname().unwrap());
    command.stdin(std::process::Stdio::null());
    let descriptors: Vec<i32> = sockets.iter().map(|(fd, _)| *fd).collect();
    // SAFETY: only fcntl and dup2 are called between fork and exec.
    unsafe {
        command.pre_exec(move || {
            // Out of the way of the numbers that they get.
            let mut apart = [0; 4];
            for (place, fd) in apart.iter_mut().zip(&descriptors) {
                *place = libc::fcntl(*fd, libc::F_DUPFD, 20);
            }
            for (number, fd) in (3..).zip(apart.iter().take(descriptors.len())) {
                if libc::dup2(*fd, number) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                libc::close(*fd);
            }
            Ok(())
        });
    }
    Server::start(command, 0)
}

// Reads what systemd is told until a datagram has this line.
fn told(notify: &UnixDatagram, line: &str) -> String {
    let mut bytes = [0; 4096];
    loop {
        let length = notify.recv(&mut bytes).unwrap_or_else(|error| panic!("no {line}: {error}"));
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if text.lines().any(|told| told == line) {
            return text;
        }
    }
}

#[test]
fn systemd_passes_sockets_and_hears_how_the_server_is() {
    let project = project();
    let web = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = web.local_addr().unwrap().port();
    let path = project.file("passed.sock");
    let local = UnixListener::bind(&path).unwrap();
    let notify = UnixDatagram::bind(project.file("notify.sock")).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let sockets = [(web.as_raw_fd(), "web"), (local.as_raw_fd(), "local")];
    let server =
        as_systemd(&project, &sockets, &notify, &["--listen", "systemd:web", "--listen", "systemd:local"]);
    server.wait_for("Ready on");
    told(&notify, "READY=1");
    told(&notify, "WATCHDOG=1");
    assert_eq!(get(port, "/party/a", "localhost").unwrap().0, 200);
    assert!(ask(UnixStream::connect(&path).unwrap(), GET).starts_with("HTTP/1.1 200"));
    // A server that dies leaves the sockets to the next one.
    let process = server.served_by();
    server.signal(process, libc::SIGKILL);
    server.wait_for("it is started again");
    server.wait_for_times("Ready on", 2);
    until("the next server answers", || {
        get(port, "/party/a", "localhost").is_ok_and(|answer| answer.0 == 200)
    });
    assert!(ask(UnixStream::connect(&path).unwrap(), GET).starts_with("HTTP/1.1 200"));
    server.signal(i32::try_from(server.pid()).unwrap(), libc::SIGHUP);
    assert!(told(&notify, "RELOADING=1").contains("MONOTONIC_USEC="));
    told(&notify, "READY=1");
    let mut server = server;
    server.terminate();
    told(&notify, "STOPPING=1");
    assert_eq!(server.wait_end().code(), Some(0), "{}", server.output());
    assert!(path.exists(), "the socket is systemd's");
}

#[test]
fn a_server_that_hangs_does_not_say_that_it_works() {
    let project = project();
    let notify = UnixDatagram::bind(project.file("notify.sock")).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let server = as_systemd(&project, &[], &notify, &["--listen", "127.0.0.1:0"]);
    server.wait_for("Ready on");
    told(&notify, "WATCHDOG=1");
    let process = server.served_by();
    server.signal(process, libc::SIGSTOP);
    // What was on its way has come by then: the supervisor asks ten times in a second.
    notify.set_read_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
    let mut bytes = [0; 100];
    until("nothing more is said", || notify.recv(&mut bytes).is_err());
    server.signal(process, libc::SIGCONT);
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    told(&notify, "WATCHDOG=1");
}

#[test]
fn sockets_that_are_not_there_are_named() {
    let project = project();
    let (code, text) = project.run(&["start", "server.js", "--persist", "false", "--listen", "systemd"]);
    assert!(code == Some(1) && text.contains("systemd passed no socket"), "{text}");
    let notify = UnixDatagram::bind(project.file("notify.sock")).unwrap();
    let web = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut server =
        as_systemd(&project, &[(web.as_raw_fd(), "web")], &notify, &["--listen", "systemd:other"]);
    assert_eq!(server.wait_end().code(), Some(1));
    assert!(
        server.output().contains("of the name `other`; those that it passed are web"),
        "{}",
        server.output()
    );
    let file = std::fs::File::open(project.file("server.js")).unwrap();
    let mut server = as_systemd(&project, &[(file.as_raw_fd(), "file")], &notify, &["--listen", "systemd"]);
    assert_eq!(server.wait_end().code(), Some(1));
    assert!(
        server.output().contains("The socket `file` that systemd passed cannot be used"),
        "{}",
        server.output()
    );
}

//! `start` with certificates: by name, read again, none that cannot be used, and clients that never finish what they begin.

use std::io::{Read, Write};
use std::net::TcpStream;

use rcgen::{CertificateParams, KeyPair};

use crate::support::{PATIENCE, Project, Server, node, skip, until};

const SERVER: &str = r#"
export default class Server {
  constructor(room) { this.room = room; }
  onConnect(connection) { console.log(`came ${this.room.id}`); }
  onMessage(message, connection) { for (let i = 0; i < 12; i++) connection.send("x".repeat(1 << 20)); }
  onRequest(request) {
    this.room.broadcast("go");
    return new Response(`${request.url} from ${request.headers.get("x-real-ip")}`);
  }
}
"#;

// A certificate for these names, with its key. It is valid from some days ago on for so many days.
fn made(names: &[&str], since: i64, days: i64) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    let today = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let day = |days: i64| {
        let seconds = i64::try_from(today).unwrap() + days * 86_400;
        let date = chrono::DateTime::from_timestamp(seconds, 0).unwrap().date_naive();
        use chrono::Datelike;
        rcgen::date_time_ymd(date.year(), date.month() as u8, date.day() as u8)
    };
    params.not_before = day(-since);
    params.not_after = day(days - since);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn write(project: &Project, name: &str, (certificate, key): &(String, String)) {
    project.write(&format!("{name}.pem"), certificate);
    project.write(&format!("{name}.key"), key);
}

fn look(server: &Server, what: &[&str]) -> Option<String> {
    let address = format!("127.0.0.1:{}", server.port);
    let args: Vec<&str> =
        what.iter().take(1).copied().chain([address.as_str()]).chain(what.iter().skip(1).copied()).collect();
    node("tls.mjs", &args).map(|(ended, text)| {
        assert!(ended, "{text}\n{}", server.output());
        text
    })
}

fn two() -> (Project, [&'static str; 11]) {
    let project = Project::new(&[("server.js", SERVER)]);
    write(&project, "a", &made(&["a.test"], 1, 30));
    write(&project, "b", &made(&["*.b.test", "b.test"], 1, 30));
    let args = [
        "start",
        "server.js",
        "--persist",
        "false",
        "--tls-cert",
        "a.pem",
        "--tls-key",
        "a.key",
        "--tls-cert=b.pem",
        "--tls-key=b.key",
        "--json",
    ];
    (project, args)
}

#[test]
fn certificates_are_chosen_by_name_and_sessions_go_on() {
    let (project, args) = two();
    let server = project.serve(&args);
    server.wait_for(&format!("Ready on https://localhost:{}", server.port));
    let Some(text) =
        look(&server, &["names", "a.test", "x.b.test", "b.test", "x.y.b.test", "A.TEST", "other.test"])
    else {
        return;
    };
    let shown: Vec<&str> = text.lines().map(|line| line.split(" by ").next().unwrap()).collect();
    let wild = "DNS:*.b.test, DNS:b.test";
    assert_eq!(
        shown,
        [
            "a.test DNS:a.test",
            &format!("x.b.test {wild}"),
            &format!("b.test {wild}"),
            "x.y.b.test DNS:a.test",
            "A.TEST DNS:a.test",
            "other.test DNS:a.test"
        ]
    );
    assert_eq!(look(&server, &["resume"]).unwrap(), "TLSv1.2 true\nTLSv1.3 true\n");
    server.stop();
}

#[test]
fn certificates_are_read_again_and_connections_stay() {
    let (project, args) = two();
    let server = project.serve(&args);
    let names = |server: &Server| look(server, &["names", "a.test", "b.test"]);
    let Some(before) = names(&server) else { return };
    let address = format!("127.0.0.1:{}", server.port);
    let held = std::thread::spawn(move || node("tls.mjs", &["held", &address]).unwrap());
    server.wait_for("came held");
    // Replaced as programs do: the certificate first, its key a moment later.
    let new = made(&["a.test"], 1, 40);
    project.write("a.new", &new.0);
    std::fs::rename(project.file("a.new"), project.file("a.pem")).unwrap();
    project.write("a.new", &new.1);
    std::fs::rename(project.file("a.new"), project.file("a.key")).unwrap();
    server.wait_for("The certificate in a.pem was read again.");
    let after = names(&server).unwrap();
    let lines = |text: &str| text.lines().map(str::to_string).collect::<Vec<_>>();
    assert_ne!(lines(&after)[0], lines(&before)[0]);
    assert_eq!(lines(&after)[1], lines(&before)[1]);
    // Garbage, a key of another one, one that has ended: the one from before stays, and that is told once.
    project.write("a.pem", "garbage");
    server.wait_for("The certificate from before is served.");
    let other = made(&["a.test"], 1, 50);
    project.write("a.pem", &other.0);
    server.wait_for("the key belongs to another certificate");
    write(&project, "a", &made(&["a.test"], 90, 60));
    server.wait_for("it ended 30 days ago");
    assert_eq!(names(&server).unwrap(), after);
    // Whoever asks hears what is wrong, and then that it was mended.
    let process = i32::try_from(server.pid()).unwrap();
    server.signal(process, libc::SIGHUP);
    server.wait_for("The certificate in b.pem is as before.");
    write(&project, "a", &made(&["a.test"], 1, 60));
    server.wait_for_times("The certificate in a.pem was read again.", 2);
    let (_, text) = {
        let answer = node("secure.mjs", &[&format!("127.0.0.1:{}", server.port)]).unwrap();
        assert!(answer.1.starts_with("answer 200"), "{}", answer.1);
        let asked = node("tls.mjs", &["names", &format!("127.0.0.1:{}", server.port), "a.test"]).unwrap();
        assert_ne!(asked.1.lines().next(), after.lines().next());
        project.write("ask.mjs", ASK);
        let port = server.port.to_string();
        let asked =
            std::process::Command::new("node").arg(project.file("ask.mjs")).arg(&port).status().unwrap();
        assert!(asked.success());
        held.join().unwrap()
    };
    assert_eq!(text, "heard go\nclosed 1005\n");
    server.stop();
}

// Asks the room of the held socket, which then tells it to go.
const ASK: &str = r#"
import https from "node:https";
https.get({ port: process.argv[2], path: "/party/held", rejectUnauthorized: false }, (answer) => answer.resume());
"#;

#[test]
fn certificates_that_cannot_be_used_are_named() {
    let project = Project::new(&[("server.js", SERVER), ("text.pem", "hello")]);
    write(&project, "good", &made(&["a.test"], 1, 30));
    write(&project, "other", &made(&["a.test"], 1, 30));
    write(&project, "ended", &made(&["a.test"], 40, 30));
    write(&project, "early", &made(&["a.test"], -3, 30));
    project.write(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let rsa = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    project.write("older.key", rsa);
    let refused = |certificate: &str, key: &str, expected: &str| {
        let args = ["start", "server.js", "--persist", "false", "--tls-cert", certificate, "--tls-key", key];
        let (code, text) = project.run(&args);
        assert!(code == Some(1) && text.contains(expected), "{text}");
    };
    refused("missing.pem", "good.key", "missing.pem, named by `--tls-cert`, cannot be read");
    refused("good.pem", "missing.key", "missing.key, named by `--tls-key`, cannot be read");
    refused("text.pem", "good.key", "the certificate cannot be read");
    refused("good.pem", "text.pem", "the key cannot be read");
    refused("good.pem", "other.key", "the key belongs to another certificate");
    refused("good.pem", "locked.key", "the key is encrypted");
    refused("good.pem", "older.key", "the key is encrypted");
    refused("ended.pem", "ended.key", "it ended 10 days ago");
    refused("early.pem", "early.key", "Is the clock of this machine right?");
    let (code, text) = project.run(&["start", "server.js", "--tls-cert", "good.pem"]);
    assert!(code == Some(1) && text.contains("--tls-key"), "{text}");
    let args =
        ["start", "server.js", "--tls-cert", "good.pem", "--tls-cert", "other.pem", "--tls-key", "good.key"];
    let (code, text) = project.run(&args);
    assert!(code == Some(1) && text.contains("2 certificates, 1 keys"), "{text}");
}

// The first bytes of a handshake, cut off at each place.
const HELLO: [u8; 11] = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

#[test]
fn handshakes_that_never_finish_hold_up_nobody() {
    const CLIENTS: u64 = 2_000;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes into the struct that it is given.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    if limit.rlim_max < 2 * CLIENTS {
        return skip("too few descriptors may be open");
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the call reads the struct that it is given.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    let (project, args) = two();
    let args: Vec<&str> = args.into_iter().chain(["--limit", "handshakes_max=100"]).collect();
    let server = project.serve(&args);
    let clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|number| {
            let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
            let begun = usize::try_from(number).unwrap() % (HELLO.len() + 1);
            client.write_all(&HELLO[..begun]).unwrap();
            client
        })
        .collect();
    // Of the others, the oldest are closed.
    let mut oldest = &clients[0];
    oldest.set_read_timeout(Some(PATIENCE)).unwrap();
    let ended = oldest.read(&mut [0]);
    assert!(
        matches!(ended, Ok(0))
            || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
    );
    if let Some(text) = look(&server, &["names", "a.test"]) {
        assert!(text.starts_with("a.test DNS:a.test"), "{text}");
    }
    drop(clients);
    server.stop();
}

#[test]
fn a_client_that_does_not_read_for_a_while_gets_everything() {
    let (project, args) = two();
    let args: Vec<&str> = args.into_iter().chain(["--limit", "tls_unsent_bytes_max=1000"]).collect();
    let server = project.serve(&args);
    let Some(text) = look(&server, &["slow"]) else { return };
    assert_eq!(text, format!("read {}\n", (12 << 20) + 2));
    server.stop();
}

#[test]
fn a_handshake_has_its_time() {
    let (project, args) = two();
    let args: Vec<&str> = args.into_iter().chain(["--limit", "handshake_time_max=100ms"]).collect();
    let server = project.serve(&args);
    for begun in [0, 1, 5, HELLO.len()] {
        let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(&HELLO[..begun]).unwrap();
        let mut rest = Vec::new();
        // It is closed, and nobody was told that it waits.
        let _ended = client.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{rest:?}");
    }
    server.stop();
}

#[test]
fn plain_http_leads_to_https() {
    let (project, args) = two();
    let plain = crate::support::free_port();
    let port = plain.to_string();
    let args: Vec<&str> = args.into_iter().chain(["--http-port", &port]).collect();
    let server = project.serve(&args);
    let mut stream = TcpStream::connect(("127.0.0.1", plain)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /party/a?b=c HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    assert!(
        answer.contains(&format!("location: https://a.test:{}/party/a?b=c\r\n", server.port)),
        "{answer}"
    );
    server.stop();
    until("the plain port is given back", || std::net::TcpListener::bind(("127.0.0.1", plain)).is_ok());
}

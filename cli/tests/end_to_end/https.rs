//! `dev --https`: requests and sockets over TLS, certificates from files, and clients that do not speak TLS.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{PATIENCE, Project, Server, free_port, node, partyrun};

const SERVER: &str = r#"
export default class Server {
  onRequest(request) { return new Response(`${request.url} ${request.headers.get("x-forwarded-proto")}`); }
  onMessage(message, connection) { connection.send(`echo ${message}`); }
  onClose(connection) { console.log("gone"); }
}
"#;

// The address that clients use must be in the certificate.
fn visit(server: &Server, certificate: Option<&str>) -> Option<String> {
    let address = format!("localhost:{}", server.port);
    let args: Vec<&str> = [address.as_str()].into_iter().chain(certificate).collect();
    node("secure.mjs", &args).map(|(_, text)| text)
}

fn expected(port: u16) -> String {
    format!("answer 200 https://localhost:{port}/party/tls https\nmessage 700005\nclosed 4001\n")
}

#[test]
fn a_certificate_is_made_where_none_is_named() {
    let project = Project::new(&[("server.js", SERVER)]);
    let server = project.serve(&["dev", "server.js", "--https", "--persist", "false"]);
    server.wait_for(&format!("Ready on https://localhost:{}", server.port));
    if let Some(text) = visit(&server, None) {
        assert_eq!(text, expected(server.port), "{}", server.output());
        server.wait_for("gone");
    }
    // Who speaks plain HTTP is told; who says nothing, or nonsense, holds up nobody.
    let answer = server.get("/party/tls");
    assert_eq!(answer, (400, "This server speaks https: use an https:// URL.\n".to_string()));
    let _silent = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let mut garbage = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    garbage.set_read_timeout(Some(PATIENCE)).unwrap();
    garbage.write_all(&[0x16, 3, 1, 0, 4, 1, 2, 3, 4]).unwrap();
    let mut alert = Vec::new();
    // It is closed, with or without a TLS alert; a time-out is the only failure.
    let ended = garbage.read_to_end(&mut alert);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    if let Some(text) = visit(&server, None) {
        assert_eq!(text, expected(server.port));
    }
    server.stop();
}

#[test]
fn the_next_start_and_the_next_project_show_the_same_certificate() {
    let state = tempfile::tempdir().unwrap();
    let start = |project: &Project| {
        let port = free_port();
        let mut command = partyrun();
        command.args(["dev", "server.js", "--https", "--persist", "false", "--port", &port.to_string()]);
        command.current_dir(project.path()).env("XDG_STATE_HOME", state.path());
        let server = Server::start(command, port);
        server.wait_for("Ready on https://");
        server
    };
    let (first, second) = (Project::new(&[("server.js", SERVER)]), Project::new(&[("server.js", SERVER)]));
    start(&first).stop();
    let folder = state.path().join("partyrun/https");
    let mut files = std::fs::read_dir(&folder).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    let kept = std::fs::read(&file).unwrap();
    // Trusted by its file, which holds the key, too.
    for project in [&first, &second] {
        let server = start(project);
        if let Some(text) = visit(&server, Some(&file.to_string_lossy())) {
            assert_eq!(text, expected(server.port));
        }
        server.stop();
    }
    assert_eq!(std::fs::read(&file).unwrap(), kept);
    // A folder in its place is left alone, and said.
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir_all(file.join("inside")).unwrap();
    let server = start(&first);
    server.wait_for("The certificate for --https could not be saved in");
    if let Some(text) = visit(&server, None) {
        assert_eq!(text, expected(server.port));
    }
    server.stop();
}

#[test]
fn sockets_over_tls_hear_of_the_end() {
    let project = Project::new(&[("server.js", SERVER)]);
    let server = project.serve(&["dev", "server.js", "--https", "--persist", "false"]);
    let port = server.port.to_string();
    let waiting = std::thread::spawn(move || node("closes.mjs", &[&format!("localhost:{port}"), "wss"]));
    if node("closes.mjs", &["--probe"]).is_some() {
        server.wait_for("/party/socket");
        server.stop();
        let (_, text) = waiting.join().unwrap().unwrap();
        assert!(text.contains("closed 1012"), "{text}");
    }
}

#[test]
fn a_certificate_of_ones_own_is_used() {
    let project = Project::new(&[("server.js", SERVER)]);
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    project.write("cert.pem", &made.cert.pem());
    project.write("key.pem", &made.signing_key.serialize_pem());
    let args = ["dev", "server.js", "--https-cert-path", "cert.pem", "--https-key-path", "key.pem"];
    let server = project.serve(&args);
    let certificate = project.file("cert.pem").to_string_lossy().into_owned();
    if let Some(text) = visit(&server, Some(&certificate)) {
        assert_eq!(text, expected(server.port));
        // Another one is not: the client trusts only its own.
        let other = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        project.write("other.pem", &other.cert.pem());
        let other = project.file("other.pem").to_string_lossy().into_owned();
        let refused = visit(&server, Some(&other)).unwrap();
        assert!(refused.starts_with("request ") && refused.contains("certificate"), "{refused}");
    }
}

#[test]
fn certificates_that_cannot_be_used_are_named() {
    let project = Project::new(&[("server.js", SERVER), ("empty.pem", ""), ("text.pem", "hello")]);
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let other = rcgen::KeyPair::generate().unwrap();
    project.write("cert.pem", &made.cert.pem());
    project.write("other.pem", &other.serialize_pem());
    let refused = |certificate: &str, key: &str| {
        let args = ["dev", "server.js", "--https-cert-path", certificate, "--https-key-path", key];
        let (code, text) = project.run(&args);
        assert_eq!(code, Some(1), "{text}");
        text
    };
    assert!(refused("missing.pem", "other.pem").contains("missing.pem, named by `--https-cert-path`"));
    assert!(refused("cert.pem", "missing.pem").contains("missing.pem, named by `--https-key-path`"));
    assert!(refused("empty.pem", "other.pem").contains("the certificate cannot be read"));
    assert!(refused("text.pem", "other.pem").contains("the certificate cannot be read"));
    assert!(refused("cert.pem", "text.pem").contains("the key cannot be read"));
    let text = refused("cert.pem", "other.pem");
    assert!(text.contains("the certificate and the key cannot be used"), "{text}");
    let (code, text) = project.run(&["dev", "server.js", "--https-cert-path", "cert.pem"]);
    assert!(code != Some(0) && text.contains("--https-key-path"), "{text}");
}

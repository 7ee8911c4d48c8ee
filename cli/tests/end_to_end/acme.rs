//! Certificates from an authority: Debian's `pebble`, which looks whether names are ours, refuses every twentieth request for
//! exercise, and ends certificates as soon as it is told. Names lead to this machine by `pebble-challtestsrv`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::support::{PATIENCE, Project, Server, free_port, node, partyrun, skip, until};

const SERVER: &str = r#"
export default class Server {
  onRequest(request) { return new Response(`answer to ${new URL(request.url).pathname}`); }
}
"#;

/// A process that ends with this.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// An authority and its names.
pub(crate) struct Authority {
    _names: Process,
    pebble: Option<Process>,
    port: u16,
    pub(crate) folder: tempfile::TempDir,
    /// Where it looks.
    pub(crate) http: u16,
    pub(crate) tls: u16,
}

/// What is not usual about it.
#[derive(Default)]
pub(crate) struct Unusual {
    /// Seconds for which its certificates are valid.
    validity: Option<u64>,
    /// A name that it gives no certificates for.
    blocked: Option<&'static str>,
}

impl Authority {
    /// None if there is no pebble.
    pub(crate) fn start(unusual: &Unusual) -> Option<Self> {
        if !["/usr/bin/pebble", "/usr/bin/pebble-challtestsrv"]
            .iter()
            .all(|program| Path::new(program).exists())
        {
            skip("there is no pebble");
            return None;
        }
        let (dns, manage) = (free_port(), free_port());
        let names = Command::new("/usr/bin/pebble-challtestsrv")
            .args(["-dns01", &format!("127.0.0.1:{dns}"), "-management", &format!("127.0.0.1:{manage}")])
            .args([
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
                "-defaultIPv6",
                "",
                "-defaultIPv4",
                "127.0.0.1",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (port, http, tls) = (free_port(), free_port(), free_port());
        certificates(folder.path());
        let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{}", free_port()),
            "certificate": file("server.pem"),
            "privateKey": file("server.key"),
            "httpPort": http,
            "tlsPort": tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "domainBlocklist": unusual.blocked.iter().collect::<Vec<_>>(),
            "certificateValidityPeriod": unusual.validity.unwrap_or(90 * 86_400),
        } });
        std::fs::write(file("pebble.json"), config.to_string()).unwrap();
        std::fs::write(file("dns"), dns.to_string()).unwrap();
        let mut authority = Self { _names: Process(names), pebble: None, port, folder, http, tls };
        authority.come();
        Some(authority)
    }

    // It knows nothing of a life before.
    fn come(&mut self) {
        let file = |name: &str| self.folder.path().join(name).to_string_lossy().into_owned();
        let dns = std::fs::read_to_string(file("dns")).unwrap();
        let pebble = Command::new("/usr/bin/pebble")
            .args(["-strict", "-config", &file("pebble.json"), "-dnsserver", &format!("127.0.0.1:{dns}")])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.pebble = Some(Process(pebble));
        let port = self.port;
        until("the authority listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    fn go_away(&mut self) {
        self.pebble = None;
    }

    pub(crate) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// Starts a server whose ports the authority looks at.
    fn serve(&self, project: &Project, names: &[&str], more: &[&str]) -> Server {
        let mut command = partyrun();
        command.args([
            "start",
            "server.js",
            "--host",
            "127.0.0.1",
            "--acme",
            "--acme-directory",
            &self.directory(),
        ]);
        command.arg("--acme-ca").arg(self.folder.path().join("ca.pem"));
        for name in names {
            command.args(["--domain", name]);
        }
        command.args(["--limit", "acme_retry_after=200ms", "--limit", "acme_retry_max=400ms"]);
        if !more.contains(&"--port") {
            command.args(["--port", &self.tls.to_string()]);
        }
        if !more.contains(&"--http-port") {
            command.args(["--http-port", &self.http.to_string()]);
        }
        command.args(more).current_dir(project.path());
        let server = Server::start(command, self.tls);
        server.wait_for("Ready on");
        server
    }
}

// An authority's own certificate, and who signed it.
fn certificates(folder: &Path) {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::new([]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = ca.self_signed(&ca_key).unwrap();
    let server = CertificateParams::new(["localhost".to_string(), "127.0.0.1".to_string()]).unwrap();
    let server = server.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    std::fs::write(folder.join("ca.pem"), own.pem()).unwrap();
    std::fs::write(folder.join("server.pem"), server.pem()).unwrap();
    std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
}

fn project() -> Project {
    Project::new(&[("server.js", SERVER)])
}

fn names(server: &Server, asked: &[&str]) -> Option<String> {
    let address = format!("127.0.0.1:{}", server.port);
    let args: Vec<&str> = ["names", &address].into_iter().chain(asked.iter().copied()).collect();
    node("tls.mjs", &args).map(|(_, text)| text)
}

fn plain(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn certificates_are_obtained_and_kept_for_the_next_start() {
    let Some(mut authority) = Authority::start(&Unusual::default()) else { return };
    let project = project();
    let host = format!("localhost:{}", authority.port);
    let server = authority.serve(
        &project,
        &["a.test", "b.test"],
        &["--acme-email", "me@example.com", "--limit", "acme_orders_max=1"],
    );
    for name in ["a.test", "b.test"] {
        server.wait_for(&format!("{host} gave a certificate for {name}, valid for 89 days."));
    }
    let Some(shown) = names(&server, &["a.test", "b.test"]) else { return };
    for (line, name) in shown.lines().zip(["a.test", "b.test"]) {
        assert!(line.starts_with(&format!("{name} DNS:{name} by Pebble Intermediate")), "{shown}");
    }
    let answer = plain(authority.http, "/party/a");
    assert!(answer.contains(&format!("location: https://a.test:{}/party/a", server.port)), "{answer}");
    assert!(plain(authority.http, "/.well-known/acme-challenge/none").starts_with("HTTP/1.1 404"));
    server.stop();
    let folder = project.file(&format!(".partyrun/acme/localhost_{}", authority.port));
    for name in ["account.json", "a.test.pem", "b.test.pem"] {
        assert_eq!(folder.join(name).metadata().unwrap().mode() & 0o777, 0o600, "{name}");
    }
    // The next start needs no authority, and asks for nothing that it has.
    authority.go_away();
    let server = authority.serve(&project, &["a.test", "b.test"], &[]);
    assert_eq!(names(&server, &["a.test", "b.test"]).unwrap(), shown);
    server.stop();
}

#[test]
fn names_are_proved_by_http_where_tls_is_not_reached() {
    let Some(authority) = Authority::start(&Unusual::default()) else { return };
    let project = project();
    let port = free_port().to_string();
    let server = authority.serve(&project, &["a.test"], &["--port", &port]);
    server.wait_for("gave a certificate for a.test");
    server.stop();
}

#[test]
fn a_refusal_is_told_with_what_the_authority_said() {
    let Some(authority) = Authority::start(&Unusual { blocked: Some("blocked.test"), ..Unusual::default() })
    else {
        return;
    };
    let project = project();
    let port = free_port().to_string();
    let args = ["--port", &port, "--http-port", "off"];
    let server = authority.serve(&project, &["a.test", "blocked.test"], &args);
    let host = format!("localhost:{}", authority.port);
    let line = server.wait_for("No certificate for a.test");
    assert!(line.contains(&format!("from {host}: by TLS-ALPN-01: it said: ")), "{line}");
    assert!(line.contains("Check that the DNS of a.test leads to this machine"), "{line}");
    let line = server.wait_for("No certificate for blocked.test");
    assert!(
        line.contains("(rejectedIdentifier)") && line.contains("The next attempt is in 1 seconds"),
        "{line}"
    );
    server.stop();
    for (name, expected) in [
        ("*.a.test", "is a wildcard"),
        ("a_b", "is not a domain name"),
        ("192.0.2.1", "is not a domain name"),
    ] {
        let mut command = partyrun();
        command.args(["start", "server.js", "--port", "0", "--http-port", "off", "--acme", "--domain", name]);
        let output = command.current_dir(project.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && text.contains(expected), "{text}");
    }
    let (code, text) = project.run(&[
        "start",
        "server.js",
        "--persist",
        "false",
        "--acme",
        "--domain",
        "a.test",
        "--port",
        "0",
    ]);
    assert!(code == Some(1) && text.contains("--acme` needs a data folder"), "{text}");
    let (code, text) = project.run(&[
        "start",
        "server.js",
        "--acme",
        "--domain",
        "a.test",
        "--port",
        "0",
        "--acme-directory",
        "http://a",
    ]);
    assert!(code == Some(1) && text.contains("is not the https URL of an ACME directory"), "{text}");
}

#[test]
fn an_authority_that_does_not_decide_is_asked_again_later() {
    let Some(authority) = Authority::start(&Unusual::default()) else { return };
    // Whoever is looked at there says nothing, so that the authority goes on waiting.
    let _silent = std::net::TcpListener::bind(("127.0.0.1", authority.tls)).unwrap();
    let port = free_port().to_string();
    let args = ["--port", &port, "--http-port", "off", "--limit", "acme_order_time_max=300ms"];
    let project = project();
    let server = authority.serve(&project, &["a.test"], &args);
    let line = server.wait_for_times("No certificate for a.test", 2);
    assert!(line.contains("it did not decide in time") && line.contains("acme_order_time_max"), "{line}");
    server.stop();
}

#[test]
fn certificates_are_renewed_before_they_end_and_the_old_one_stays_meanwhile() {
    let Some(mut authority) = Authority::start(&Unusual { validity: Some(12), ..Unusual::default() }) else {
        return;
    };
    let project = project();
    let server = authority.serve(&project, &["a.test"], &[]);
    server.wait_for("gave a certificate for a.test");
    let Some(first) = names(&server, &["a.test"]) else { return };
    server.wait_for_times("gave a certificate for a.test", 2);
    assert_ne!(names(&server, &["a.test"]).unwrap(), first);
    // An authority that is away, and comes back without a memory: the account is opened anew.
    authority.go_away();
    let line = server.wait_for("No certificate for a.test");
    assert!(line.contains("more is served until then"), "{line}");
    assert!(names(&server, &["a.test"]).unwrap().starts_with("a.test DNS:a.test"));
    server.wait_for_times("No certificate for a.test", 3);
    authority.come();
    server.wait_for_times("gave a certificate for a.test", 3);
    server.stop();
}

const NONSENSE: &str = r#"
export default class Server {
  static onFetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/never") return new Promise(() => {});
    if (pathname === "/long") return new Response("[".repeat(100_000));
    return new Response("<h1>404</h1>");
  }
}
"#;

#[test]
fn an_authority_that_answers_nonsense_is_told_and_asked_again_later() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let project = Project::new(&[("server.js", SERVER), ("nonsense.js", NONSENSE)]);
    let args = [
        "start",
        "nonsense.js",
        "--persist",
        "false",
        "--tls-cert",
        &file("server.pem"),
        "--tls-key",
        &file("server.key"),
    ];
    let authority = project.serve(&args);
    for (path, expected) in [
        ("dir", "its answer is no ACME"),
        ("long", "acme_answer_bytes_max"),
        ("never", "acme_request_time_max"),
    ] {
        let port = free_port().to_string();
        let directory = format!("https://localhost:{}/{path}", authority.port);
        let mut command = partyrun();
        command.args([
            "start",
            "server.js",
            "--port",
            &port,
            "--http-port",
            "off",
            "--acme",
            "--domain",
            "a.test",
        ]);
        command.args([
            "--acme-directory",
            &directory,
            "--acme-ca",
            &file("ca.pem"),
            "--limit",
            "acme_retry_after=100ms",
        ]);
        command.args(["--limit", "acme_request_time_max=300ms"]);
        command.args(["--limit", "acme_answer_bytes_max=50000"]).current_dir(project.path());
        let server = Server::start(command, 0);
        let line = server.wait_for_times("No certificate for a.test", 2);
        assert!(line.contains(expected) && line.contains("Check `--acme-directory`"), "{line}");
        server.stop();
    }
}

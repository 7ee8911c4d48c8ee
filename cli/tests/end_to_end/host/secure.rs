//! A host with a certificate, and one behind a proxy.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::{DOMAIN, Platform, chat};
use crate::acme::{Authority, Unusual};
use crate::raw::{HANDSHAKE, frame_head};
use crate::support::{skip, until};

#[test]
fn a_host_with_a_certificate_speaks_https() {
    let certs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tls/certs").canonicalize().unwrap();
    let path = |name: &str| certs.join(name).to_string_lossy().into_owned();
    let platform = Platform::start(&["--tls-cert", &path("host.pem"), "--tls-key", &path("key.pem")]);
    let project = chat("chat", "one");
    let port = platform.server.port;
    let run = |args: &[&str], trusted: &str| {
        let mut command = platform.command(&project, &platform.token);
        command
            .args(args)
            .env("PARTYRUN_URL", format!("https://localhost:{port}"))
            .env("SSL_CERT_FILE", trusted);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, text) = run(&["list"], "/dev/null");
    assert!(code == Some(1) && text.contains("Nobody answers at https://localhost"), "{text}");
    let (code, text) = run(&["deploy"], &path("ca.pem"));
    assert!(code == Some(0) && text.contains(&format!("https://chat.{DOMAIN}:{port}")), "{text}");

    let connect = format!("127.0.0.1:{port}");
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-quiet", "-connect", &connect, "-servername", &format!("chat.{DOMAIN}")]);
    openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut client) = openssl.spawn() else { return skip("there is no openssl") };
    let mut input = client.stdin.take().unwrap();
    let ask = format!("GET /party/a HTTP/1.1\r\nHost: chat.{DOMAIN}\r\n{HANDSHAKE}\r\n");
    input.write_all(ask.as_bytes()).unwrap();
    input.write_all(&[frame_head(1, 5), b"hello".to_vec()].concat()).unwrap();
    let (mut output, mut read) = (client.stdout.take().unwrap(), Vec::new());
    let mut byte = [0];
    while !read.ends_with(b"echo hello") && output.read(&mut byte).unwrap() > 0 {
        read.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&read).into_owned();
    assert!(text.starts_with("HTTP/1.1 101") && text.ends_with("echo hello"), "{text}");
    drop(input);
    let _ended = client.kill();
    let _ended = client.wait();
}

#[test]
fn a_proxy_in_front_is_believed() {
    let platform = Platform::start(&["--public-port", "443", "--trusted-proxy", "127.0.0.1"]);
    let project = chat("chat", "one");
    let text = platform.done(&project, &["deploy"]);
    assert!(text.contains(&format!("https://chat.{DOMAIN}\n")), "{text}");
    let fields = "x-forwarded-for: 9.9.9.9, 6.6.6.6\r\nx-forwarded-proto: https\r\n";
    let (_, _, body) = platform.ask("GET", &format!("chat.{DOMAIN}"), "/party/a", fields, b"");
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["ip"], json!("6.6.6.6"));
    assert_eq!(answer["url"], json!(format!("https://chat.{DOMAIN}/party/a")));
    assert_eq!(answer["host"], json!(format!("chat.{DOMAIN}")));
}

#[test]
fn projects_get_certificates_when_they_are_first_asked_for() {
    let Some(authority) = Authority::start(&Unusual::default()) else { return };
    let mut platform = Platform::start(&[]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    let roots = authority.folder.path().join("ca.pem").to_string_lossy().into_owned();
    let (directory, http) = (authority.directory(), authority.http.to_string());
    let args = ["--acme", "--acme-directory", &directory, "--acme-ca", &roots, "--http-port", &http];
    platform.args = args.map(str::to_owned).to_vec();
    platform.server.port = authority.tls;
    platform.restart(libc::SIGTERM);
    let names = |name: &str| {
        let script = "openssl s_client -connect \"$1\" -servername \"$2\" < /dev/null | openssl x509 -noout -ext subjectAltName";
        let connect = format!("127.0.0.1:{}", authority.tls);
        let output = Command::new("sh").args(["-c", script, "sh", &connect, name]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    until("the host has one", || names(DOMAIN).contains(&format!("DNS:{DOMAIN}")));
    until("the project has one", || names("chat.party.test").contains("DNS:chat.party.test"));
    // Whoever asks for names that are none costs no order.
    for name in ["none.party.test", "pr-1.chat.party.test", "example.test"] {
        assert!(!names(name).contains(name), "{name}");
    }
    assert!(!platform.server.output().contains("none.party.test"), "{}", platform.server.output());
}

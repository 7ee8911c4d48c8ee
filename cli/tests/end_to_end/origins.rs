//! Who may connect: `allowedOrigins` for WebSockets, `cors` for what is answered, and pages of other sites at the endpoints that
//! are for this machine's own user.

use std::io::Read;

use crate::raw::{HANDSHAKE, head};
use crate::support::{PATIENCE, Project, Server, free_port};

const ROOM: &str = "export default class Server {
  static onFetch(request) {
    return new URL(request.url).pathname === '/nothing' ? undefined : new Response('fetched');
  }
  static onCron() {}
  onRequest(request) {
    const own = new URL(request.url).searchParams.get('own');
    return new Response(`${request.method} of the room`, own ? { headers: { 'access-control-allow-origin': own } } : {});
  }
}";

fn serve(command: &[&str], fields: &str) -> (Project, Server) {
    let config = format!("{{ \"name\": \"demo\", \"main\": \"server.js\"{fields} }}");
    let project = Project::new(&[("server.js", ROOM), ("partykit.json", &config)]);
    let server = project.serve(&[command, &["--persist", "false"]].concat());
    (project, server)
}

// The head and body of an answer.
fn send(port: u16, line: &str, fields: &[&str]) -> (String, String) {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let host = if fields.contains("Host: ") { String::new() } else { format!("Host: localhost:{port}\r\n") };
    std::io::Write::write_all(
        &mut stream,
        format!("{line} HTTP/1.1\r\n{host}Connection: close\r\n{fields}\r\n").as_bytes(),
    )
    .unwrap();
    let head = head(&mut stream);
    let mut body = String::new();
    stream.read_to_string(&mut body).unwrap();
    (head, body)
}

fn status(port: u16, line: &str, fields: &[&str]) -> u16 {
    send(port, line, fields).0.split(' ').nth(1).unwrap().parse().unwrap()
}

// The status of a handshake from a page.
fn shake(server: &Server, origin: Option<&str>) -> String {
    let origin = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
    let mut stream = crate::raw::ask(server.port, "/party/a", &format!("{HANDSHAKE}{origin}"));
    head(&mut stream).split(' ').nth(1).unwrap().to_string()
}

#[test]
fn only_pages_of_allowed_origins_open_sockets() {
    let allowed = r#", "allowedOrigins": ["https://example.com", "https://*.example.com", "same-host"]"#;
    let (_project, server) = serve(&["start"], allowed);
    for origin in ["https://example.com", "https://a.b.example.com", "http://localhost"] {
        assert_eq!(shake(&server, Some(origin)), "101", "{origin}");
    }
    assert_eq!(shake(&server, None), "101", "programs send no origin");
    for origin in ["https://evil.test", "http://example.com", "https://example.com.evil.test", "null"] {
        assert_eq!(shake(&server, Some(origin)), "403", "{origin}");
    }
    let line =
        server.wait_for("A WebSocket from a page of https://evil.test to localhost was refused with 403");
    assert!(line.contains("`allowedOrigins`") && line.contains("--allowed-origin"), "{line}");
    // Requests are another matter.
    assert_eq!(status(server.port, "GET /party/a", &["Origin: https://evil.test"]), 200);
    server.stop();
}

#[test]
fn without_a_list_everything_is_as_ever() {
    let (_project, server) = serve(&["start"], "");
    assert_eq!(shake(&server, Some("https://evil.test")), "101");
    let (head, body) = send(
        server.port,
        "OPTIONS /party/a",
        &["Origin: https://a.test", "Access-Control-Request-Method: PUT"],
    );
    assert!(head.starts_with("http/1.1 200") && body == "OPTIONS of the room", "{head}{body}");
    assert!(!head.contains("access-control"), "{head}");
    server.stop();
}

#[test]
fn a_flag_and_a_release_have_the_list_too() {
    let (project, server) = serve(&["start", "--allowed-origin", "https://flag.test"], "");
    assert_eq!(
        (shake(&server, Some("https://flag.test")), shake(&server, Some("https://evil.test"))),
        ("101".into(), "403".into())
    );
    server.stop();
    let config =
        r#"{ "name": "demo", "main": "server.js", "allowedOrigins": "https://file.test", "cors": true }"#;
    project.write("partykit.json", config);
    let (code, text) = project.run(&["build", "--out", "demo.partyrun"]);
    assert_eq!(code, Some(0), "{text}");
    project.write("partykit.json", "{}");
    let server = project.serve(&["start", "demo.partyrun", "--persist", "false"]);
    assert_eq!(
        (shake(&server, Some("https://file.test")), shake(&server, Some("https://evil.test"))),
        ("101".into(), "403".into())
    );
    let (head, _) = send(server.port, "GET /party/a", &["Origin: https://file.test"]);
    assert!(head.contains("access-control-allow-origin: https://file.test"), "{head}");
    server.stop();
}

#[test]
fn pages_of_other_origins_may_read_what_cors_allows() {
    let cors = r#", "cors": { "origins": ["https://a.test"], "credentials": true, "maxAge": 600, "exposeHeaders": ["X-Total"] }"#;
    let (_project, server) = serve(&["start"], cors);
    let ask = |line: &str, origin: &str| send(server.port, line, &[&format!("Origin: {origin}")]);
    for line in ["GET /party/a", "GET /fetched", "GET /nothing", "GET /parties/none/a"] {
        let (head, _) = ask(line, "https://a.test");
        for field in [
            "access-control-allow-origin: https://a.test",
            "access-control-allow-credentials: true",
            "access-control-expose-headers: x-total",
            "vary: origin",
        ] {
            assert!(head.contains(field), "{line}: {head}");
        }
        let (head, _) = ask(line, "https://b.test");
        assert!(!head.contains("access-control") && head.contains("vary: origin"), "{line}: {head}");
    }
    let (head, _) = ask("GET /party/a?own=https://own.test", "https://a.test");
    assert!(head.contains("access-control-allow-origin: https://own.test"), "{head}");
    assert!(!head.contains("credentials"), "what the project says wins: {head}");
    let preflight = [
        "Origin: https://a.test",
        "Access-Control-Request-Method: PUT",
        "Access-Control-Request-Headers: x-one",
    ];
    for path in ["/party/a", "/fetched"] {
        let (head, body) = send(server.port, &format!("OPTIONS {path}"), &preflight);
        assert!(head.starts_with("http/1.1 204") && body.is_empty(), "{head}{body}");
        for field in
            ["allow-methods: get, head, put, post, delete, patch", "allow-headers: x-one", "max-age: 600"]
        {
            assert!(head.contains(&format!("access-control-{field}")), "{head}");
        }
    }
    server.stop();
}

#[test]
fn wrong_values_get_a_guess() {
    let project = Project::new(&[("server.js", ROOM)]);
    for (fields, guess) in [
        (r#""allowedOrigins": ["example.com"]"#, "\"https://example.com\""),
        (r#""allowedOrigins": "wss://example.com""#, "\"https://example.com\""),
        (r#""allowedOrigin": "https://example.com""#, "`allowedOrigins`"),
        (r#""cors": { "origin": "https://example.com" }"#, "`origins`"),
        (r#""cors": { "allowMethods": ["GET"] }"#, "`methods`"),
        (r#""cors": { "credentials": true }"#, "name the origins"),
    ] {
        project.write("partykit.json", &format!("{{ \"main\": \"server.js\", {fields} }}"));
        let (code, text) = project.run(&["check"]);
        assert!(
            code != Some(0) && text.contains(guess) && text.contains("partykit.json:1:"),
            "{fields}: {text}"
        );
    }
    project.write("partykit.json", "{}");
    let (code, text) = project.run(&["start", "server.js", "--allowed-origin", "example.com"]);
    assert!(code != Some(0) && text.contains("https://example.com"), "{text}");
}

#[test]
fn pages_of_others_reach_no_endpoint_of_development() {
    let metrics = free_port();
    let (_project, server) =
        serve(&["dev", "--metrics", &metrics.to_string()], r#", "crons": { "c": "0 0 1 1 *" }"#);
    let pages = [
        "Host: evil.test",
        "Origin: https://evil.test",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ];
    for page in pages {
        assert_eq!(status(server.port, "GET /__scheduled__?cron=c", &[page]), 403, "{page}");
        assert_eq!(status(server.port, "POST /__partyrun__/rooms/main/a/hibernate", &[page]), 403, "{page}");
        assert_eq!(status(server.port, "GET /__partyrun__/reload", &[page]), 403, "{page}");
        assert_ne!(status(metrics, "GET /metrics", &[page]), 200, "{page}");
    }
    assert_eq!(status(server.port, "GET /__scheduled__?cron=c", &["Sec-Fetch-Site: same-origin"]), 200);
    assert_eq!(status(server.port, "GET /__scheduled__?cron=c", &[]), 200);
    assert_eq!(status(metrics, "GET /metrics", &[]), 200);
    server.stop();
}

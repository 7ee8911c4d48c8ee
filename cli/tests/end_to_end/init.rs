//! `init`: projects that run, files that stay.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Instant;

use crate::support::{Project, Server, partyrun, skip};

const WITHOUT_CLIENT_BUILD: [&str; 5] = ["typescript", "javascript", "chat", "ai", "game"];

// A project of a template, in the folder `my-party`, with the packages that `npm install` would bring where it needs any.
fn begun(project: &Project, template: &str) -> Option<Project> {
    let (code, text) = project.run(&["init", "my-party", "--template", template]);
    assert!(code == Some(0) && text.contains("cd my-party") && text.contains("partyrun dev"), "{text}");
    let inside = Project::within(project, "my-party");
    if WITHOUT_CLIENT_BUILD.contains(&template) {
        return Some(inside);
    }
    assert!(text.contains("npm install\n  partyrun dev"), "{text}");
    let packages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/node_modules");
    let Ok(packages) = packages.canonicalize() else {
        skip("the packages of tests/ are missing: run `npm ci` there");
        return None;
    };
    std::os::unix::fs::symlink(packages, inside.file("node_modules")).unwrap();
    Some(inside)
}

#[test]
fn every_template_without_a_client_build_runs_at_once() {
    for template in WITHOUT_CLIENT_BUILD {
        let begun_at = Instant::now();
        let project = Project::new(&[]);
        let Some(inside) = begun(&project, template) else { return };
        let server = inside.serve(&["dev"]);
        let (status, page) = server.get("/");
        assert!(status == 200 && page.contains("my-party"), "{template}: {page}");
        if ["typescript", "javascript"].contains(&template) {
            assert_eq!(server.get("/party/lobby").1, r#"{"room":"lobby","visits":1}"#);
        }
        eprintln!("{template}: from nothing to an answer in {:?}", begun_at.elapsed());
        server.stop();
        let ignored = std::fs::read_to_string(inside.file(".gitignore")).unwrap();
        assert!(ignored.lines().any(|line| line == ".partyrun"), "{ignored}");
    }
}

#[test]
fn every_template_is_in_the_list() {
    let project = Project::new(&[]);
    let (code, text) = project.run(&["init", "--list"]);
    assert!(code == Some(0) && !project.file("partykit.json").exists(), "{text}");
    let names: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["typescript", "javascript", "react", "chat", "editor", "ai", "game"]);
}

// Two users on the pages of a template; what they saw, without what is the same for all templates.
fn visited(server: &Server, template: &str) -> Option<String> {
    let text = server.client("templates.mjs", &[template]).filter(|text| !text.starts_with("skipped"))?;
    let looks = [
        "fits a phone, light true",
        "faint []",
        "fits a phone, dark true",
        "faint []",
        "without a name 0",
        "problems []\n",
    ];
    let own = text.strip_suffix(&looks.join("\n"));
    Some(own.unwrap_or_else(|| panic!("{template}: {text}")).trim_end().to_string())
}

#[test]
fn the_pages_of_the_other_templates_work_in_a_browser() {
    let expected = [
        ("typescript", r#"own ["You wave."]"#),
        ("javascript", r#"own ["You wave."]"#),
        (
            "chat",
            "own [[\"Good morning!\"],[\"<b>Hello</b>\"]]\nnames [\"Ada\",\"Grace\"]\nthe history came back",
        ),
        (
            "editor",
            "people [\"Grace (you)\",\"Ada\"]\nthe other's cursor \"Grace\"\n\
             undo takes back one's own: welcome.txt \"Tea\\nMilk\"\nthe text came back",
        ),
        (
            "ai",
            "both see the same true\nown [[\"Where is the tea?\"],[]]\nthe history came back 1\n\
             a stopped answer is shorter true",
        ),
        (
            "game",
            "who watches cannot play true\nthe line 4\na column is told in words \"Column 1: disc, ring\"",
        ),
    ];
    for (template, expected) in expected {
        let project = Project::new(&[]);
        let Some(inside) = begun(&project, template) else { return };
        let server = inside.serve(&["dev"]);
        let Some(seen) = visited(&server, template) else { return };
        assert_eq!(seen, expected, "{template}");
        server.stop();
    }
}

#[test]
fn the_assistant_asks_the_endpoint_that_is_configured() {
    let project = Project::new(&[]);
    let Some(inside) = begun(&project, "ai") else { return };
    // An endpoint that streams an answer in pieces of three bytes, and refuses the second question.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    inside.write(".env", &format!("AI_URL=http://127.0.0.1:{port}/v1/\nAI_MODEL=tea-1\nAI_KEY=secret\n"));
    let endpoint = std::thread::spawn(move || [true, false].map(|takes| asked(&listener, takes)));
    let server = inside.serve(&["dev"]);
    let Some(seen) = visited(&server, "endpoint") else { return };
    assert_eq!(
        seen,
        "the model \"in lobby · answers from tea-1\"\n\
         a failure is shown \"The model answers with status 429: slow down\""
    );
    let [first, second] = endpoint.join().unwrap();
    assert!(first.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{first}");
    assert!(first.to_lowercase().contains("authorization: bearer secret\r\n"), "{first}");
    let (_, body) = first.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert!(body["model"] == "tea-1" && body["stream"] == true, "{body}");
    assert!(second.contains(r#"{"role":"assistant","content":"In the kitchen."}"#), "{second}");
    server.stop();
}

// Takes one request to the model and answers it; what it said.
fn asked(listener: &TcpListener, takes: bool) -> String {
    let mut stream = listener.accept().unwrap().0;
    let mut request = Vec::new();
    let whole = |request: &[u8]| {
        let text = String::from_utf8_lossy(request).to_lowercase();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.split_once("content-length: ")?.1.split("\r\n").next()?.parse::<usize>().ok()?;
        (body.len() >= length).then_some(())
    };
    while whole(&request).is_none() {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&request));
        request.extend_from_slice(&part[..length]);
    }
    if takes {
        let lines = ["In ", "the ", "kitchen."].map(|content| {
            format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\n")
        });
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
            .unwrap();
        let all = lines.concat() + "data: [DONE]\n\n";
        for piece in all.as_bytes().chunks(3) {
            stream.write_all(piece).unwrap();
            stream.flush().unwrap();
        }
    } else {
        stream
            .write_all(
                b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 9\r\nconnection: close\r\n\r\nslow down",
            )
            .unwrap();
    }
    String::from_utf8_lossy(&request).into_owned()
}

#[test]
fn a_folder_with_spaces_is_named_as_a_shell_takes_it() {
    let project = Project::new(&[]);
    let (code, text) = project.run(&["init", "My App"]);
    assert!(code == Some(0) && text.contains("cd 'My App'"), "{text}");
    let manifest = std::fs::read_to_string(project.file("My App/package.json")).unwrap();
    assert!(manifest.contains(&format!("\"partyrun\": \"^{}\"", env!("CARGO_PKG_VERSION"))), "{manifest}");
}

#[test]
fn the_react_template_works_in_a_browser() {
    let project = Project::new(&[]);
    let Some(inside) = begun(&project, "react") else { return };
    let (code, text) = inside.run(&["check"]);
    assert!(code == Some(0) && text.contains("client of"), "{text}");
    let server = inside.serve(&["dev", "--live"]);
    let source = inside.file("src/room.tsx").to_string_lossy().into_owned();
    let Some(text) = server.client("react.mjs", &[&source]) else { return };
    if !text.starts_with("skipped") {
        let lines = [
            "each sees who is there",
            r#"own [["Good morning!"],["<b>Hello</b>"]]"#,
            "title tea room · my-party",
            "rooms apart 0 at /lobby",
            "an edit reloaded both, and the history came back",
            "a broken build is shown true",
            "and taken back",
            "problems []",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines, "{text}");
    }
    server.stop();
}

#[test]
fn nothing_is_overwritten() {
    let project = Project::new(&[
        ("src/server.ts", "mine"),
        (".gitignore", "mine\nnode_modules"),
        ("package.json", "{}"),
    ]);
    let (code, text) = project.run(&["init"]);
    assert!(code == Some(1) && text.contains("src/server.ts already exists,"), "{text}");
    assert!(!project.file("partykit.json").exists(), "all or nothing");
    std::fs::remove_file(project.file("src/server.ts")).unwrap();
    let (code, text) = project.run(&["init", "--dry-run"]);
    assert!(code == Some(0) && text.contains("Nothing was written"), "{text}");
    assert!(!project.file("partykit.json").exists());
    let (code, text) = project.run(&["init"]);
    assert!(code == Some(0) && text.contains("keep   package.json"), "{text}");
    assert_eq!(std::fs::read_to_string(project.file("package.json")).unwrap(), "{}");
    let ignored = std::fs::read_to_string(project.file(".gitignore")).unwrap();
    assert!(ignored.starts_with("mine\nnode_modules\n.partyrun\n"), "{ignored}");
}

#[test]
fn a_reader_that_goes_away_stops_nothing() {
    let project = Project::new(&[]);
    for args in [&["init", "made"][..], &["schema"], &["licenses"], &["completions", "man"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = partyrun().args(args).current_dir(project.path()).stdout(writer).output().unwrap();
        let complaint = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success() && complaint.is_empty(), "{args:?}: {} {complaint}", ended.status);
    }
    assert!(project.file("made/partykit.json").exists());
}

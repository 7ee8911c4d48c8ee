//! `init`: projects that run, files that stay.

use std::time::Instant;

use crate::support::{Project, skip};

#[test]
fn every_template_without_a_client_build_runs_at_once() {
    for template in ["typescript", "javascript", "chat"] {
        let begun = Instant::now();
        let project = Project::new(&[]);
        let (code, text) = project.run(&["init", "my-party", "--template", template]);
        assert!(code == Some(0) && text.contains("cd my-party") && text.contains("partyrun dev"), "{text}");
        let inside = Project::within(&project, "my-party");
        let server = inside.serve(&["dev"]);
        let (status, page) = server.get("/");
        assert!(status == 200 && page.contains("<h1>my-party</h1>"), "{template}: {page}");
        if template != "chat" {
            assert_eq!(server.get("/party/lobby").1, r#"{"room":"lobby","visits":1}"#);
        }
        eprintln!("{template}: from nothing to an answer in {:?}", begun.elapsed());
        server.stop();
        let ignored = std::fs::read_to_string(inside.file(".gitignore")).unwrap();
        assert!(ignored.lines().any(|line| line == ".partyrun"), "{ignored}");
    }
}

#[test]
fn the_pages_of_the_other_templates_work_in_a_browser() {
    for template in ["typescript", "javascript", "chat"] {
        let project = Project::new(&[]);
        let (code, text) = project.run(&["init", "my-party", "--template", template]);
        assert_eq!(code, Some(0), "{text}");
        let inside = Project::within(&project, "my-party");
        let server = inside.serve(&["dev"]);
        let Some(text) = server.client("templates.mjs", &[template]) else { return };
        if text.starts_with("skipped") {
            return;
        }
        let chat = [
            r#"own [["Good morning!"],["<b>Hello</b>"]]"#,
            r#"names ["Ada","Grace"]"#,
            "the history came back",
            "fits a phone true",
            "problems []",
        ];
        let wave = [r#"own ["You wave."]"#, "fits a phone true", "problems []"];
        let lines = if template == "chat" { chat.as_slice() } else { wave.as_slice() };
        assert_eq!(text.lines().collect::<Vec<_>>(), lines, "{template}: {text}");
        server.stop();
    }
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
    let packages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/node_modules");
    let Ok(packages) = packages.canonicalize() else {
        return skip("the packages of tests/ are missing: run `npm ci` there");
    };
    let project = Project::new(&[]);
    let (code, text) = project.run(&["init", "my-party", "--template", "react"]);
    assert!(code == Some(0) && text.contains("npm install"), "{text}");
    let inside = Project::within(&project, "my-party");
    // What `npm install` would bring.
    std::os::unix::fs::symlink(packages, inside.file("node_modules")).unwrap();
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

//! Which file is found, and what its paths are relative to (spec 4.1).

use super::{Overrides, Project};
use crate::{Persist, Request, Source, load};

#[test]
fn without_any_file_the_script_suffices() {
    let project = Project::new(&[("server.ts", "")]);
    let config = project
        .load_with(Overrides { main: Some("server.ts".into()), ..Overrides::default() })
        .expect("config");
    assert_eq!(config.source, Source::Nothing);
    assert_eq!(config.entry().expect("entry"), project.path("server.ts"));
    assert_eq!(config.root, project.path(""));
    assert!(config.vars.is_empty() && config.defines.is_empty() && config.process_env.is_empty());
    assert_eq!(config.persist, Persist::Default(project.path(".partyrun")));
    assert_eq!(config.port, None);
    assert_eq!(config.host, crate::Host::All);
}

#[test]
fn each_name_is_searched_to_the_root_before_the_next() {
    let files = [
        ("partykit.json", "{name: 'json'}"),
        ("a/partykit.json5", "{name: 'json5'}"),
        ("a/b/partykit.jsonc", "{name: 'jsonc'}"),
        ("a/b/package.json", r#"{"partykit": {"name": "package"}}"#),
    ];
    for skip in 0..files.len() {
        let project = Project::new(files.get(skip..).expect("files"));
        std::fs::create_dir_all(project.path("a/b/c")).expect("folder");
        let config = load(&Request { cwd: project.path("a/b/c"), ..Request::default() }).expect("config");
        let expected = ["json", "json5", "jsonc", "package"][skip];
        assert_eq!(config.name.as_deref(), Some(expected));
        let file = files.get(skip).expect("file").0;
        assert_eq!(config.source.path(), Some(project.path(file).as_path()));
    }
}

#[test]
fn a_package_json_without_the_key_counts_as_nothing() {
    for text in ["{}", r#"{"partykit": null}"#, r#"{"partykit": false}"#, r#"{"main": "index.js"}"#] {
        let project = Project::new(&[("package.json", text)]);
        let config = project.load().expect("config");
        assert_eq!((config.source, config.main), (Source::Nothing, None), "{text}");
    }
    let project = Project::new(&[("package.json", r#"{"partykit": {}}"#)]);
    assert_eq!(project.load().expect("config").source, Source::PackageJson(project.path("package.json")));
}

#[test]
fn folders_with_the_name_of_a_file_do_not_count() {
    let project = Project::new(&[("partykit.json/x", ""), (".env/x", ""), ("partykit.jsonc", "{name: 'c'}")]);
    let config = project.load().expect("config");
    assert_eq!(config.name.as_deref(), Some("c"));
    assert!(config.process_env.is_empty());
}

#[test]
fn entries_are_relative_to_their_file_and_other_paths_to_the_project() {
    let text = r#"{ main: "src/server.ts", parties: { chat: "../chat.ts" }, persist: "data",
        serve: { path: "public", build: { entry: ["client.tsx", "./x/y.ts"] } }, build: { command: "x" } }"#;
    let files =
        [("app/partykit.json", text), ("app/src/server.ts", ""), ("chat.ts", ""), ("app/in/.keep", "")];
    let project = Project::new(&files);

    let found = load(&Request { cwd: project.path("app/in"), ..Request::default() }).expect("config");
    assert_eq!(found.entry().expect("entry"), project.path("app/src/server.ts"));
    assert_eq!(found.parties, [("chat".to_owned(), project.path("chat.ts"))]);
    assert_eq!(found.root, project.path("app"));
    let serve = found.serve.expect("serve");
    assert_eq!(serve.path, project.path("app/public"));
    let build = serve.build.expect("build");
    assert_eq!(build.entries, [project.path("app/client.tsx"), project.path("app/x/y.ts")]);
    assert_eq!(build.outdir, project.path("app/public/dist"));
    assert!(build.bundle && build.splitting && build.sourcemap && !build.live);
    assert_eq!(found.persist, Persist::Path(project.path("app/data")));
    assert_eq!(found.build.cwd, project.path("app"));
    assert_eq!(found.build.watch, [project.path("app/src")]);

    let named =
        Request { cwd: project.path(""), config: Some("app/partykit.json".into()), ..Request::default() };
    let named = load(&named).expect("config");
    assert_eq!(named.entry().expect("entry"), project.path("app/src/server.ts"));
    assert_eq!(named.serve.expect("serve").path, project.path("public"));
    assert_eq!(named.build.cwd, project.path(""));
    assert_eq!(named.root, project.path("app"));
}

#[test]
fn environment_files_are_searched_from_the_working_folder() {
    let files = [(".env", "A=outer\nB=outer"), ("app/.env.local", "B=local"), ("app/partykit.json", "{}")];
    let project = Project::new(&files);
    let config =
        load(&Request { cwd: project.path("app"), env_local: true, ..Request::default() }).expect("config");
    assert_eq!(config.env_files, [project.path(".env"), project.path("app/.env.local")]);
    let notes = ["../.env", ".env.local"].map(|file| format!("Loading environment variables from {file}"));
    assert_eq!(config.notes, notes);
    assert_eq!(config.vars.get("A").and_then(|v| v.as_str()), Some("outer"));
    assert_eq!(config.vars.get("B").and_then(|v| v.as_str()), Some("local"));
}

//! Who wins: flags over environment files over the configuration file (spec 4.2).

use serde_json::json;

use super::{Overrides, Project, load_text, pair};
use crate::{Format, Persist, Request, load, parse_dotenv};

const FILE: &str = r#"{ name: "file", main: "file.ts", port: 1, minify: true, isolation: "worker",
  compatibilityDate: "2020-01-01",
    compatibilityFlags: ["a"], persist: false, serve: { path: "public", singlePageApp: true, browserTTL: 60.5 },
    vars: { F: { deep: [1] }, E: 1, L: 2, V: 3 }, define: { A: "1", D: "2" } }"#;

#[test]
fn room_env_is_merged_in_order() {
    let project = Project::new(&[
        ("partykit.json", FILE),
        (".env", "E=env\nL=env\nV=env"),
        (".env.local", "L=local\nV=local"),
    ]);
    let vars = vec![pair("V", "flag"), pair("N", "")];
    let config = project.load_with(Overrides { vars, ..Overrides::default() }).expect("config");
    let expected = json!({ "F": { "deep": [1] }, "E": "env", "L": "local", "V": "flag", "N": "" });
    assert_eq!(config.vars, *expected.as_object().expect("object"));
    let order: Vec<&str> = config.vars.keys().map(String::as_str).collect();
    assert_eq!(order, ["F", "E", "L", "V", "N"]);
    assert_eq!(config.process_env, parse_dotenv("E=env\nL=local\nV=local"));
}

#[test]
fn the_local_file_is_for_development_and_env_file_replaces_both() {
    let project =
        Project::new(&[(".env", "A=1"), (".env.local", "A=2"), ("x/a.env", "A=3\nB=3"), ("b.env", "B=4")]);
    let production = load(&Request { env_local: false, ..project.request() }).expect("config");
    assert_eq!(production.process_env, parse_dotenv("A=1"));
    let named = Request { env_files: vec!["x/a.env".into(), "b.env".into()], ..project.request() };
    assert_eq!(load(&named).expect("config").process_env, parse_dotenv("A=3\nB=4"));
}

#[test]
fn defines_come_from_the_environment_only_if_asked() {
    let env = "E=1\nD=env\nT=\"a\\nb\"\nQ='say \"x\"'\nBS='a\\nb'\nn-o=1\nA.B=x";
    let project = Project::new(&[("partykit.json", FILE), (".env", env), ("public/index.html", "")]);
    let defines = vec![pair("A", "flag"), pair("process.env.X", "1")];
    let plain =
        project.load_with(Overrides { defines: defines.clone(), ..Overrides::default() }).expect("config");
    let pairs: Vec<(&str, &str)> = plain.defines.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(pairs, [("A", "flag"), ("D", "2"), ("process.env.X", "1")]);

    let overrides = Overrides { defines, with_env: true, ..Overrides::default() };
    let config = project.load_with(overrides).expect("config");
    let pairs: Vec<(&str, &str)> = config.defines.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expected = [
        ("E", "\"1\""),
        ("D", "2"),
        ("T", r#""a\nb""#),
        ("Q", r#""say \"x\"""#),
        ("BS", r#""a\nb""#),
        ("A.B", "\"x\""),
        ("A", "flag"),
        ("process.env.X", "1"),
    ];
    assert_eq!(pairs, expected);
    assert_eq!(
        config.warnings,
        ["`n-o` in an environment file is not an identifier, so `--with-env` leaves it out"]
    );
}

#[test]
fn flags_win_over_the_file() {
    let project = Project::new(&[("partykit.json", FILE), ("sub/keep", "")]);
    let overrides = Overrides {
        main: Some("flag.ts".into()),
        name: Some("flag".into()),
        port: Some(2),
        host: Some(crate::Host::Address([127, 0, 0, 1].into())),
        serve: Some("static".into()),
        persist: Some("kept".into()),
        minify: Some(false),
        isolation: Some("room".into()),
        compatibility_date: Some("2024-01-01".into()),
        compatibility_flags: vec!["b".into()],
        ..Overrides::default()
    };
    let config =
        load(&Request { cwd: project.path("sub"), overrides, ..Request::default() }).expect("config");
    assert_eq!(config.name.as_deref(), Some("flag"));
    assert_eq!(config.main, Some(project.path("sub/flag.ts")));
    assert_eq!((config.port, config.host.to_string().as_str()), (Some(2), "127.0.0.1"));
    assert_eq!(config.compatibility_date.as_deref(), Some("2024-01-01"));
    assert_eq!(config.compatibility_flags, ["b"]);
    assert_eq!(config.persist, Persist::Path(project.path("sub/kept")));
    assert!(!config.minify && !config.shares_isolates);
    // `--serve` replaces the whole object.
    let serve = config.serve.expect("serve");
    assert_eq!((serve.path, serve.single_page_app), (project.path("sub/static"), false));
}

#[test]
fn the_file_counts_where_no_flag_is_given() {
    let project = Project::new(&[("partykit.json", FILE)]);
    let config = project.load().expect("config");
    assert_eq!((config.port, config.minify, config.shares_isolates), (Some(1), true, true));
    assert_eq!(config.persist, Persist::No);
    let serve = config.serve.expect("serve");
    assert_eq!((serve.browser_ttl_seconds, serve.single_page_app), (Some(60), true));
}

#[test]
fn persist_has_three_forms() {
    let kept = |text: &str, flag: Option<&str>| {
        let project = Project::new(&[("partykit.json", text)]);
        let overrides = Overrides { persist: flag.map(str::to_owned), ..Overrides::default() };
        let persist = project.load_with(overrides).expect("config").persist;
        persist.path().map(|path| path.strip_prefix(project.path("")).expect("inside").display().to_string())
    };
    let default = Some(".partyrun".to_owned());
    assert_eq!(kept("{}", None), default);
    assert_eq!(kept("{persist: true}", None), default);
    assert_eq!(kept("{persist: 'true'}", None), default);
    assert_eq!(kept("{persist: 'false'}", None), None);
    assert_eq!(kept("{persist: 'd'}", None), Some("d".to_owned()));
    assert_eq!(kept("{persist: 'd'}", Some("true")), default);
    assert_eq!(kept("{persist: 'd'}", Some("false")), None);
    assert_eq!(kept("{persist: false}", Some("e/../f")), Some("f".to_owned()));
}

#[test]
fn short_forms_mean_the_same_as_long_ones() {
    let build = |text: &str| load_text(text).expect("config").serve.and_then(|serve| serve.build);
    let short = build(r#"{serve: {path: "p", build: "c.ts"}}"#).expect("build");
    assert_eq!(short.entries.len(), 1);
    assert_eq!((short.format, short.minify), (Format::Esm, None));
    assert!(build(r#"{serve: {path: "p", build: {}}}"#).is_none());
    assert!(build(r#"{serve: {build: "c.ts"}}"#).is_none());
    let live = Project::new(&[("partykit.json", r#"{serve: {path: "p", build: "c.ts"}}"#)]);
    let live = live.load_with(Overrides { live: true, ..Overrides::default() }).expect("config");
    assert!(live.serve.and_then(|serve| serve.build).is_some_and(|build| build.live));
    let config = load_text(r#"{vectorize: {a: "x", b: {index_name: "y"}}, ai: true}"#).expect("config");
    assert_eq!(config.vectorize, [pair("a", "x"), pair("b", "y")]);
    assert!(config.ai.is_some() && load_text("{ai: false}").expect("config").ai.is_none());
}

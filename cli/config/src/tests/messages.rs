//! The whole text of each message, as it is printed.

use super::{Overrides, Project, load_text, message, pair};

#[test]
fn several_mistakes_are_reported_at_once() {
    let text = r#"{
  // a comment
  "prot": 1999,
  "port": "1999",
  "minify": "yes",
  "build": { "comand": "make", "zzz": 1 },
  "serve": 5,
  "parties": { "Chat": "a.ts", "b!": "b.ts", "main": "c.ts" },
  "crons": { "daily": "0 0 * *" }
}"#;
    let headline = [
        r#"Validation error: Unrecognized key(s) in object: 'prot'"#,
        r#"Expected number, received string at "port""#,
        r#"Expected boolean, received string at "minify""#,
        r#"Unrecognized key(s) in object: 'comand', 'zzz' at "build""#,
        r#"Expected string, received number at "serve", or Expected object, received number at "serve""#,
        r#"must satisfy /^[a-z0-9_-]+$/ at "parties""#,
        r#"Invalid cron expression '0 0 * *' at "crons.daily""#,
    ];
    let details = [
        r#"  partykit.json:3:3: `prot`: there is no such field; did you mean `port`?"#,
        r#"  partykit.json:4:11: `port`: write the number without quotes: `1999`"#,
        r#"  partykit.json:5:13: `minify`: write a boolean, for example `true`"#,
        r#"  partykit.json:6:14: `build.comand`: there is no such field; did you mean `command`?"#,
        r#"  partykit.json:6:32: `build.zzz`: there is no such field; remove it, or correct its name"#,
        r#"  partykit.json:7:12: `serve`: write a string or an object, for example `"public"`"#,
        r#"  partykit.json:8:16: `parties.Chat`: Party names must be lowercase: `chat`"#,
        r#"  partykit.json:8:32: `parties.b!`: a party's name may hold lower-case letters, digits, `-` and `_` only"#,
        r#"  partykit.json:9:23: `crons.daily`: a cron expression has five fields, as in `"0 * * * *"`; this has 4"#,
        r#"Could not find party: a.ts"#,
        r#"  partykit.json:8:24: `parties.Chat`: there is no file DIR/a.ts"#,
        r#"Could not find party: b.ts"#,
        r#"  partykit.json:8:38: `parties.b!`: there is no file DIR/b.ts"#,
        r#"Cannot have a party named "main""#,
        r#"  partykit.json:8:46: `parties.main`: the party `main` is the field `main`; move the file's name there"#,
    ];
    let expected = format!("{}\n{}", headline.join("; "), details.join("\n"));
    let project = Project::new(&[("partykit.json", text)]);
    let error = project.load().expect_err("mistakes").to_string();
    assert_eq!(error.replace(&*project.path("").to_string_lossy(), "DIR/"), expected);
}

#[test]
fn names_have_the_originals_words() {
    let expected = "Validation error: must satisfy /^[a-z0-9_-]+$/ at \"name\"\n  \
        partykit.json:1:8: `name`: `My Party` may hold lower-case letters, digits, `-` and `_` only";
    assert_eq!(message("{name: 'My Party'}"), expected);
    let expected = "Project name must be a valid url path\n  \
        partykit.json:1:8: `name`: write `\"my-party\"`: the name becomes part of a host name";
    assert_eq!(message("{name: 'my_party'}"), expected);
    let overrides =
        Overrides { name: Some("A B".into()), defines: vec![pair("a-b", "1")], ..Overrides::default() };
    let error = Project::new(&[]).load_with(overrides).expect_err("flags");
    let expected = "Validation error: must satisfy /^[a-z0-9_-]+$/ at \"name\"\n  \
        --name: `name`: `A B` may hold lower-case letters, digits, `-` and `_` only\n\
        The define key \"a-b\" must be a valid identifier\n  \
        --define: `a-b`: write `--define NAME=value`, where NAME may have dots";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_missing_entry_says_what_to_write() {
    let nothing = Project::new(&[]);
    let expected = "Missing entry point, please specify \"main\" in your config, or pass it in via the CLI\n  \
        name the file: `partyrun dev src/server.ts`, or write a partykit.json with `\"main\"`";
    assert_eq!(nothing.load().expect("config").entry().expect_err("none").to_string(), expected);

    let file = Project::new(&[("partykit.json", "{}")]);
    let expected = "Missing entry point, please specify \"main\" in your config, or pass it in via the CLI\n  \
        partykit.json: add `\"main\": \"src/server.ts\"`, or name the file: `partyrun dev src/server.ts`";
    assert_eq!(file.load().expect("config").entry().expect_err("none").to_string(), expected);

    let file = Project::new(&[("partykit.json", "{main: 'src/a.ts'}")]);
    let expected = format!(
        "Could not find main: ./src/a.ts\n  partykit.json: there is no file {}",
        file.path("src/a.ts").display()
    );
    assert_eq!(file.load().expect("config").entry().expect_err("none").to_string(), expected);

    let overrides = Overrides { main: Some("x.ts".into()), ..Overrides::default() };
    let error = file.load_with(overrides).expect("config").entry().expect_err("none").to_string();
    assert!(error.starts_with("Could not find main: ./x.ts\n  command line: there is no file "), "{error}");
}

#[test]
fn syntax_errors_are_the_same_in_every_kind_of_file() {
    for name in ["partykit.json", "partykit.json5", "partykit.jsonc", "package.json"] {
        let project = Project::new(&[(name, "{\n  \"name\": \"x\",\n  main: e\n}")]);
        let error = project.load().expect_err(name).to_string();
        assert_eq!(error, format!("JSON5: invalid character 'e' at 3:9\n  {name}:3:9: Unexpected word"));
    }
    let expected = "JSON5: invalid end of input at 1:2\n  partykit.json:1:2: Unterminated object";
    assert_eq!(message("{"), expected);
    let expected = "JSON5: invalid end of input at 1:1\n  \
        partykit.json:1:1: the file is empty; the least it may hold is `{}`";
    assert_eq!(message(""), expected);
}

#[test]
fn known_mistakes_have_their_own_advice() {
    let cases = [
        ("{assets: 'public'}", "1:2: `assets`: it is called `serve`"),
        ("{https: true}", "1:2: `https`: TLS is a matter of the command line: `--https`"),
        ("{env: {}}", "1:2: `env`: variables belong in `vars`, or in a `.env` file"),
        (
            "{singlePageApp: true}",
            "1:2: `singlePageApp`: there is no such field here; `singlePageApp` belongs in `serve`",
        ),
        (
            "{compatibility_date: '2024-01-01'}",
            "1:2: `compatibility_date`: there is no such field; did you mean `compatibilityDate`?",
        ),
        ("{Main: 'x'}", "1:2: `Main`: there is no such field; did you mean `main`?"),
        (
            "{serve: {build: {loader: {'.svg': 'dataURL'}}}}",
            "1:35: `serve.build.loader..svg`: did you mean `\"dataurl\"`?",
        ),
        ("{name: 5}", "1:8: `name`: write it in quotes: `\"5\"`"),
    ];
    for (text, expected) in cases {
        let message = message(text);
        assert_eq!(message.lines().nth(1), Some(format!("  partykit.json:{expected}").as_str()), "{text}");
    }
}

#[test]
fn what_is_accepted_but_doubtful_is_told() {
    let config = load_text(
        "{serve: {path: 'p', single_page_app: true, minify: true, edgeTTL: 1, build: {entri: 'x'}},\n\
         ai: true, team: 't',\nteam: 'u', logpush: true}",
    )
    .expect("config");
    let expected = [
        "partykit.json:1:21: `serve.single_page_app`: there is no such field; did you mean `singlePageApp`?",
        "partykit.json:1:44: `serve.minify`: it belongs in `serve.build`",
        "partykit.json:1:78: `serve.build.entri`: there is no such field; did you mean `entry`?",
        "The AI feature is experimental and may change in the future.",
        "`serve.build` has no `entry`: no client code is built",
        "partykit.json:2:11: `team`: it stands here twice; the last one counts",
    ];
    let (missing, others) = config.warnings.split_last().expect("warnings");
    assert_eq!(others, expected);
    assert!(missing.starts_with("`serve`: there is no folder "), "{missing}");
    let note = "`serve.edgeTTL`, `team`, `logpush` concern the hosted platform only and are not used here";
    assert_eq!(config.notes, [note]);
}

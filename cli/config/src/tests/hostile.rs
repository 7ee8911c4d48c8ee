//! Configuration files that are unreadable, huge, deep or full of mistakes.

use std::time::Duration;

use super::{Project, load_text, message};
use crate::{Request, load};

#[test]
fn unreadable_files_are_named() {
    let project = Project::new(&[("folder/x", "")]);
    let error = |config: Option<&str>, env: Option<&str>| {
        let request = Request {
            config: config.map(Into::into),
            env_files: env.map(Into::into).into_iter().collect(),
            ..project.request()
        };
        load(&request).map(|_| ()).expect_err("unreadable").to_string()
    };
    let missing = format!("Could not read {}: there is no such file", project.path("none.json").display());
    assert_eq!(error(Some("none.json"), None), missing);
    assert_eq!(error(None, Some("none.json")), missing);
    let folder = format!("Could not read {}: it is a folder; name a file", project.path("folder").display());
    assert_eq!(error(Some("folder"), None), folder);
    assert_eq!(error(None, Some("folder")), folder);
    if cfg!(target_os = "linux") {
        // Opening succeeds and reading fails.
        let broken = error(Some("/proc/self/mem"), None);
        assert!(broken.starts_with("Could not read /proc/self/mem: "), "{broken}");
        assert_eq!(error(Some("/dev/zero"), None), "Could not read /dev/zero: it is longer than 64 MiB");
    }
}

#[test]
fn a_long_file_is_read() {
    let vars: Vec<String> = (0..200_000).map(|n| format!("\"KEY_{n}\": \"{}\"", "v".repeat(40))).collect();
    let text = format!("{{ \"vars\": {{ {} }}, \"port\": 7 }}", vars.join(",\n"));
    assert!(text.len() > 10_000_000);
    let before = cpu();
    let config = load_text(&text).expect("config");
    let spent = cpu() - before;
    assert_eq!((config.vars.len(), config.port), (200_000, Some(7)));
    costs_at_most(6, spent, &text);
}

/// Compares CPU time, which other programs on the machine do not change, with that of a parser that only reads the text.
fn costs_at_most(times: u32, spent: Duration, text: &str) {
    let before = cpu();
    let read: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let unit = cpu() - before;
    assert!(read.as_object().is_some_and(|read| !read.is_empty()));
    assert!(
        spent < times * unit,
        "{spent:?}, which is {} times {unit:?}",
        spent.as_nanos() / unit.as_nanos()
    );
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    Duration::from_nanos(text.split(' ').next().and_then(|first| first.parse().ok()).expect("nanoseconds"))
}

#[test]
fn a_long_file_of_mistakes_gives_a_short_report_soon() {
    let before = cpu();
    let keys: Vec<String> =
        (0..200_000).map(|n| format!("\"unknown_key_number_{n}\": [1, 2, 3, 4, 5]")).collect();
    let flat = message(&format!("{{ {} }}", keys.join(",\n")));
    assert!(flat.contains("'unknown_key_number_19' and 199980 more\n"), "{flat}");
    let defines: Vec<String> = (0..200_000).map(|n| format!("\"K{n}\": {n}")).collect();
    let wrong = message(&format!("{{ \"define\": {{ {} }} }}", defines.join(",\n")));
    assert!(wrong.contains("; and 199980 more\n"), "{wrong}");
    let long =
        message(&format!("{{ \"{}\": 1, \"name\": \"{}\" }}", "k".repeat(5_000_000), "N".repeat(5_000_000)));
    for report in [flat, wrong, long] {
        assert!(report.len() < 5_000, "{} bytes", report.len());
    }
    let spent = cpu() - before;
    costs_at_most(12, spent, &format!("{{ {} }}", keys.join(",\n")));
}

#[test]
fn depth_is_bounded() {
    for open in ["[", "{a:", "{vars:"] {
        let message = message(&open.repeat(100_000));
        assert!(message.contains("depth"), "{message}");
    }
    let deep = format!("{{vars: {{a: {}1{}}}}}", "[".repeat(400), "]".repeat(400));
    assert!(load_text(&deep).is_ok());
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    for text in [
        "{'a\\x1b]0;x\\x07': 1}",
        "{name: '\\x1b[31m'}",
        "{crons: {a: '\\x1b[31m'}}",
        "{define: {'\\x1bx': 1}}",
    ] {
        let message = message(text);
        assert!(!message.contains(|c: char| c.is_control() && c != '\n'), "{message:?}");
    }
}

#[test]
fn bytes_that_are_not_text_are_a_mistake_not_a_crash() {
    let project = Project::new(&[]);
    for bytes in [&b"\xff\xfe{\x00}\x00"[..], b"{\"a\": \"\xc3\"}", b"\x00\x00", b"\x1f\x8b\x08"] {
        std::fs::write(project.path("partykit.json"), bytes).expect("file");
        assert!(project.load().is_err());
    }
    std::fs::write(project.path("partykit.json"), b"{\"vars\": {\"a\": \"\xc3\"}}").expect("file");
    let config = project.load().expect("config");
    assert_eq!(config.vars.get("a").and_then(|value| value.as_str()), Some("\u{fffd}"));
}

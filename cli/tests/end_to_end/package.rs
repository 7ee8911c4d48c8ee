//! The npm package: packed by its script, installed from the tarball, and run as `npx partyrun` would.

use std::path::Path;
use std::process::Command;

use crate::support::{Project, skip};

#[test]
fn the_packed_tarball_puts_the_command_on_the_path() {
    if Command::new("npm").arg("--version").output().is_err() {
        return skip("there is no npm");
    }
    let project = Project::new(&[("package.json", r#"{ "name": "user", "private": true }"#)]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("npm/pack.mjs");
    let run = |command: &mut Command| {
        let output = command.current_dir(project.path()).output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{command:?}: {text}");
        text
    };
    let binary = env!("CARGO_BIN_EXE_partyrun");
    let packed = run(Command::new("node").arg(script).args(["--binary", binary, "--out", "packed"]));
    let tarball = packed.lines().last().unwrap().trim().to_string();
    run(Command::new("npm").args(["install", "--offline", "--no-audit", "--no-fund", &tarball]));
    let shown = run(Command::new("node_modules/.bin/partyrun").arg("--version"));
    assert_eq!(shown.trim(), format!("partyrun {}", env!("CARGO_PKG_VERSION")));
    let shown = run(Command::new("npx").args(["--offline", "partyrun", "init", "made", "--dry-run"]));
    assert!(shown.contains("made/partykit.json"), "{shown}");
    let read =
        |name: &str| std::fs::read_to_string(project.file("node_modules/partyrun").join(name)).unwrap();
    let shown = run(Command::new("node_modules/.bin/partyrun").arg("licenses"));
    assert!(shown == format!("{}\n{}", read("LICENSE"), read("THIRD-PARTY")), "{} bytes", shown.len());
}

//! The npm packages: packed by their script, installed from the tarballs, run as `npx partyrun` would, and their types.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Project, skip};

fn run(project: &Project, command: &mut Command) -> (bool, String) {
    let output = command.current_dir(project.path()).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), text)
}

fn done(project: &Project, command: &mut Command) -> String {
    let (ended_well, text) = run(project, command);
    assert!(ended_well, "{command:?}: {text}");
    text
}

// The tarballs: the platform's, and the main one.
fn packed(project: &Project) -> [PathBuf; 2] {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("npm/pack.mjs");
    let binary = env!("CARGO_BIN_EXE_partyrun");
    let text = done(project, Command::new("node").arg(script).args(["--binary", binary, "--out", "packed"]));
    let mut lines = text.lines().rev();
    let [main, platform] = [lines.next(), lines.next()].map(|line| PathBuf::from(line.unwrap().trim()));
    [platform, main]
}

fn has_npm() -> bool {
    let found = Command::new("npm").arg("--version").output().is_ok();
    if !found {
        skip("there is no npm");
    }
    found
}

#[test]
fn the_packed_tarballs_put_the_command_on_the_path() {
    if !has_npm() {
        return;
    }
    let project = Project::new(&[("package.json", r#"{ "name": "user", "private": true }"#)]);
    let tarballs = packed(&project);
    let install = ["install", "--offline", "--no-audit", "--no-fund"];
    // Without the program's package the command says what to do.
    done(&project, Command::new("npm").args(install).arg("--omit=optional").arg(&tarballs[1]));
    let (ended_well, text) = run(&project, Command::new("node_modules/.bin/partyrun").arg("--version"));
    assert!(!ended_well && text.contains("The package @partyrun/") && text.contains("is missing"), "{text}");
    done(&project, Command::new("npm").args(install).args(&tarballs));
    let shown = done(&project, Command::new("node_modules/.bin/partyrun").arg("--version"));
    assert_eq!(shown.trim(), format!("partyrun {}", env!("CARGO_PKG_VERSION")));
    let shown =
        done(&project, Command::new("npx").args(["--offline", "partyrun", "init", "made", "--dry-run"]));
    assert!(shown.contains("made/partykit.json"), "{shown}");
    let shown = done(&project, Command::new("npx").args(["--offline", "partyrun", "init", "made"]));
    assert!(
        shown.contains("  cd made\n  npm install\n  npm run dev\n"),
        "npx puts nothing on the path: {shown}"
    );
    let read =
        |name: &str| std::fs::read_to_string(project.file("node_modules/partyrun").join(name)).unwrap();
    let shown = done(&project, Command::new("node_modules/.bin/partyrun").arg("licenses"));
    assert!(shown == format!("{}\n{}", read("LICENSE"), read("THIRD-PARTY")), "{} bytes", shown.len());
    let manifest: serde_json::Value = serde_json::from_str(&read("package.json")).unwrap();
    let versions: Vec<_> = manifest["optionalDependencies"].as_object().unwrap().values().collect();
    assert_eq!(versions, [&manifest["version"]], "the program's package has the same version");
    assert_eq!(read("schema.json"), project.run(&["schema"]).1);
}

// Where the compiler and the types of the platform are installed, links them into the project as `npm install` would.
fn with_types(project: &Project, packages: &[&str]) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = here.join("../tests/node_modules");
    if !installed.join("typescript/bin/tsc").is_file() {
        skip("the compiler of TypeScript is missing: run `npm ci` in tests/");
        return None;
    }
    let installed = installed.canonicalize().unwrap();
    for package in packages {
        let target = project.file("node_modules").join(package);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(installed.join(package), target).unwrap();
    }
    std::fs::create_dir_all(project.file("node_modules/partyrun")).unwrap();
    for name in ["package.json", "server.d.ts", "server.js", "test.d.ts", "test.js"] {
        std::fs::copy(here.join("npm").join(name), project.file("node_modules/partyrun").join(name)).unwrap();
    }
    Some(installed.join("typescript/bin/tsc"))
}

#[test]
fn the_types_know_what_servers_use() {
    let project = Project::new(&[]);
    let types = ["@cloudflare/workers-types", "@types/node", "undici-types"];
    let Some(tsc) = with_types(&project, &types) else { return };
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir(project.file("src")).unwrap();
    for name in ["server.ts", "testing.ts"] {
        std::fs::copy(here.join("npm/test").join(name), project.file("src").join(name)).unwrap();
    }
    std::fs::copy(here.join("templates/shared/tsconfig.json"), project.file("tsconfig.json")).unwrap();
    let flags = ["--noUncheckedIndexedAccess", "--project", "."];
    done(&project, Command::new("node").arg(&tsc).args(flags));
    // `@ts-expect-error` in it says that mistakes are found, and this that its types are not `any`.
    project.write(
        "src/server.ts",
        "import type * as Party from \"partyrun/server\"; export const x: Party.Room = 1;",
    );
    let (ended_well, text) = run(&project, Command::new("node").arg(&tsc).args(flags));
    assert!(!ended_well && text.contains("src/server.ts(1,"), "{text}");
}

#[test]
fn every_template_passes_the_compiler() {
    for template in ["typescript", "react", "chat", "editor", "ai", "game"] {
        let project = Project::new(&[]);
        let (code, text) = project.run(&["init", "--template", template]);
        assert_eq!(code, Some(0), "{text}");
        let react = [
            "@types/react",
            "@types/react-dom",
            "csstype",
            "@types/prop-types",
            "partysocket",
            "event-target-polyfill",
        ];
        let editor = ["@codemirror/commands", "@codemirror/state", "@codemirror/view", "y-codemirror.next"];
        let yjs = ["yjs", "y-partykit", "y-protocols", "lib0"];
        let types = ["@cloudflare/workers-types", "@types/node", "undici-types"];
        let types = [types.as_slice(), &react, &editor, &yjs].concat();
        let Some(tsc) = with_types(&project, &types) else { return };
        done(&project, Command::new("node").arg(&tsc));
    }
}

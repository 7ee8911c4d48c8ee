//! `partyrun init`: writes a project that runs at once. Files that exist are never overwritten.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::args::{InitArgs, Template};
use crate::stdout::note;

/// Why nothing, or not everything, was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitError {
    #[error("The working folder cannot be found: {0}")]
    NoFolder(std::io::Error),
    #[error(
        "{path} already exists, and `partyrun init` overwrites nothing. Choose another folder, or remove the file."
    )]
    Exists { path: String },
    #[error("{path} cannot be written: {error}")]
    Write { path: String, error: std::io::Error },
}

macro_rules! files {
    ($($path:literal: [$($source:literal),+]),+ $(,)?) => {
        &[$(($path, concat!($(include_str!(concat!("../templates/", $source))),+))),+]
    };
}

// The files of a template and their texts, in which `$NAME` stands for the project's name, and `$VERSION` for ours. What
// templates have in common is in `shared/`: a file may be made of several parts.
fn files(template: Template) -> &'static [(&'static str, &'static str)] {
    match template {
        Template::Typescript => files! {
            "partykit.json": ["typescript/partykit.json"],
            "package.json": ["shared/package.json"],
            "tsconfig.json": ["shared/tsconfig.json"],
            "src/server.ts": ["typescript/src/server.ts"],
            "public/index.html": ["shared/head.html", "typescript/public/index.html"],
            "public/client.js": ["typescript/public/client.js"],
            "public/style.css": ["shared/base.css", "shared/page.css"],
        },
        Template::Javascript => files! {
            "partykit.json": ["javascript/partykit.json"],
            "package.json": ["javascript/package.json"],
            "src/server.js": ["javascript/src/server.js"],
            "public/index.html": ["shared/head.html", "typescript/public/index.html"],
            "public/client.js": ["typescript/public/client.js"],
            "public/style.css": ["shared/base.css", "shared/page.css"],
        },
        Template::React => files! {
            "partykit.json": ["react/partykit.json"],
            "package.json": ["react/package.json"],
            "tsconfig.json": ["shared/tsconfig.client.json"],
            "src/server.ts": ["react/src/server.ts"],
            "src/messages.ts": ["react/src/messages.ts"],
            "src/client.tsx": ["react/src/client.tsx"],
            "src/room.tsx": ["react/src/room.tsx"],
            "src/rooms.ts": ["react/src/rooms.ts"],
            "src/style.css": ["shared/base.css", "react/src/style.css"],
            "public/index.html": ["shared/head.html", "react/public/index.html"],
        },
        Template::Chat => files! {
            "partykit.json": ["chat/partykit.json"],
            "package.json": ["shared/package.json"],
            "tsconfig.json": ["shared/tsconfig.json"],
            "src/server.ts": ["chat/src/server.ts"],
            "public/index.html": ["shared/head.html", "chat/public/index.html"],
            "public/client.js": ["chat/public/client.js"],
            "public/room.js": ["shared/room.js"],
            "public/style.css": ["shared/base.css", "shared/page.css"],
        },
        Template::Editor => files! {
            "partykit.json": ["editor/partykit.json"],
            "package.json": ["editor/package.json"],
            "tsconfig.json": ["shared/tsconfig.client.json"],
            "src/server.ts": ["editor/src/server.ts"],
            "src/client.ts": ["editor/src/client.ts"],
            "src/people.ts": ["editor/src/people.ts"],
            "src/style.css": ["shared/base.css", "editor/src/style.css"],
            "public/index.html": ["shared/head.html", "editor/public/index.html"],
        },
        Template::Ai => files! {
            "partykit.json": ["ai/partykit.json"],
            "package.json": ["shared/package.json"],
            "tsconfig.json": ["shared/tsconfig.json"],
            "src/server.ts": ["ai/src/server.ts"],
            "src/model.ts": ["ai/src/model.ts"],
            "src/mock.ts": ["ai/src/mock.ts"],
            "public/index.html": ["shared/head.html", "ai/public/index.html"],
            "public/client.js": ["ai/public/client.js"],
            "public/room.js": ["shared/room.js"],
            "public/style.css": ["shared/base.css", "shared/page.css", "ai/public/style.css"],
        },
        Template::Game => files! {
            "partykit.json": ["game/partykit.json"],
            "package.json": ["shared/package.json"],
            "tsconfig.json": ["shared/tsconfig.json"],
            "src/game.ts": ["game/src/game.ts"],
            "src/lobby.ts": ["game/src/lobby.ts"],
            "src/rules.ts": ["game/src/rules.ts"],
            "public/index.html": ["shared/head.html", "game/public/index.html"],
            "public/client.js": ["game/public/client.js"],
            "public/room.js": ["shared/room.js"],
            "public/style.css": ["shared/base.css", "shared/page.css", "game/public/style.css"],
        },
    }
}

// Whether the template's client is bundled, and of npm packages: then it runs after `npm install` only.
fn has_client_build(template: Template) -> bool {
    matches!(template, Template::React | Template::Editor)
}

const IGNORED: &str = include_str!("../templates/shared/gitignore");

/// Runs the command.
pub(crate) fn run(args: &InitArgs) -> Result<(), InitError> {
    if args.list {
        note!("{}", list().trim_end());
        return Ok(());
    }
    let cwd = std::env::current_dir().map_err(InitError::NoFolder)?;
    let folder = args.folder.as_ref().map_or_else(|| cwd.clone(), |folder| cwd.join(folder));
    let name = project_name(&folder);
    let files = files(args.template);
    for (path, _) in files {
        let path = folder.join(path);
        // A package.json is kept: the folder may be a project of another kind.
        if path.exists() && !path.ends_with("package.json") {
            return Err(InitError::Exists { path: shown(&cwd, &path) });
        }
    }
    let mut kept = false;
    for (path, text) in files {
        let path = folder.join(path);
        if path.exists() {
            note!("  keep   {}", shown(&cwd, &path));
            kept = true;
            continue;
        }
        note!("  write  {}", shown(&cwd, &path));
        if !args.dry_run {
            write_new(&path, &filled(text, &name))?;
        }
    }
    ignore(&cwd, &folder.join(".gitignore"), args)?;
    next_steps(args, &cwd, &folder);
    if kept && !args.dry_run {
        note!("Add to your package.json: \"scripts\": {{ \"dev\": \"partyrun dev\" }}, and the types:");
        note!("  npm install --save-dev partyrun @cloudflare/workers-types typescript");
    }
    Ok(())
}

// The templates with what they are, a line each.
fn list() -> String {
    let values = Template::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    values.fold(String::new(), |lines, value| {
        let what = value.get_help().map(ToString::to_string).unwrap_or_default();
        lines + &format!("{:<12}{what}\n", value.get_name())
    })
}

fn filled(text: &str, name: &str) -> String {
    text.replace("$NAME", name).replace("$VERSION", env!("CARGO_PKG_VERSION"))
}

/// Whether npm has started this process. Then `partyrun` is probably not on the user's path, but the project's own is there for
/// `npx` and `npm run`.
pub(crate) fn through_npm() -> bool {
    std::env::var_os("npm_execpath").is_some()
}

fn next_steps(args: &InitArgs, cwd: &Path, folder: &Path) {
    if args.dry_run {
        return note!("Nothing was written (--dry-run).");
    }
    note!("Run it:");
    if folder != cwd {
        note!("  cd {}", quoted(&shown(cwd, folder)));
    }
    let through_npm = through_npm();
    if has_client_build(args.template) || through_npm {
        note!("  npm install");
    }
    note!("  {}", if through_npm { "npm run dev" } else { "partyrun dev" });
    if !has_client_build(args.template) && !through_npm {
        note!("Types for your editor, and `npm run dev`: npm install");
    }
}

// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    if path.chars().all(is_plain) { path.to_string() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

// Adds what is missing; a file that is there keeps its lines.
fn ignore(cwd: &Path, path: &Path, args: &InitArgs) -> Result<(), InitError> {
    let failed = |error| InitError::Write { path: shown(cwd, path), error };
    let there = std::fs::read_to_string(path).unwrap_or_default();
    let built = has_client_build(args.template).then_some("public/dist");
    let missing: Vec<&str> = IGNORED
        .lines()
        .chain(built)
        .filter(|line| !there.lines().any(|known| known.trim() == *line))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    note!("  {}  {}", if path.exists() { "extend" } else { "write" }, shown(cwd, path));
    if args.dry_run {
        return Ok(());
    }
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
    let break_first = if there.is_empty() || there.ends_with('\n') { "" } else { "\n" };
    writeln!(file, "{break_first}{}", missing.join("\n")).map_err(failed)
}

// Fails where the file exists, even if it was made a moment ago.
fn write_new(path: &Path, text: &str) -> Result<(), InitError> {
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::OpenOptions::new().write(true).create_new(true).open(path))
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| InitError::Write { path: path.display().to_string(), error })
}

// The folder's name as a project may be called (spec 4.3).
fn project_name(folder: &Path) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "my-party".to_string() } else { name.to_string() }
}

fn shown(cwd: &Path, path: &Path) -> String {
    let relative: PathBuf = path.strip_prefix(cwd).unwrap_or(path).to_owned();
    if relative.as_os_str().is_empty() { ".".to_string() } else { relative.display().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ones_that_a_project_may_have() {
        let name = |folder: &str| project_name(Path::new(folder));
        assert_eq!(name("/x/My Party_1"), "my-party-1");
        assert_eq!(name("/x/__"), "my-party");
        assert_eq!(name("/"), "my-party");
        assert_eq!((quoted("my-party").as_str(), quoted("My 'App").as_str()), ("my-party", "'My '\\''App'"));
    }

    #[test]
    fn every_template_is_a_valid_project() {
        for &template in Template::value_variants() {
            let folder = tempfile::tempdir().unwrap();
            for (path, text) in files(template) {
                write_new(&folder.path().join(path), &filled(text, "demo")).unwrap();
            }
            let request = partyrun_config::Request { cwd: folder.path().to_path_buf(), ..Default::default() };
            let config = partyrun_config::load(&request).unwrap();
            assert!(
                config.entry().is_ok() && config.warnings.is_empty(),
                "{template:?}: {:?}",
                config.warnings
            );
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        for &template in Template::value_variants() {
            for (path, _) in files(template) {
                let folder = tempfile::tempdir().unwrap();
                let (path, target) = (folder.path().join("project").join(path), folder.path().join("target"));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                // No file is there when the command looks, and whoever opens the path to write makes one elsewhere.
                std::os::unix::fs::symlink(&target, &path).unwrap();
                let folder = Some(folder.path().join("project"));
                let refused = run(&InitArgs { folder, template, list: false, dry_run: false }).unwrap_err();
                assert!(matches!(refused, InitError::Write { .. }), "{refused}");
                assert!(!target.exists(), "{} was written through", path.display());
            }
        }
    }
}

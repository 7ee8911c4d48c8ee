//! What `deploy/` has: the unit of systemd, the Debian package and the container, as far as a machine without systemd as its
//! first process and without a container engine can run them.
//!
//! How: `systemd-analyze` reads the unit without a running systemd. Its command, and those of the container, are run as they
//! are written, with the variables that systemd would set. The package is installed by dpkg into a folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Project, SERVER, Server, free_port, skip};

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

fn unit() -> String {
    std::fs::read_to_string(deploy("systemd/partyrun@.service")).unwrap()
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

fn has(program: &str, flag: &str) -> bool {
    let found = Command::new(program).arg(flag).output().is_ok();
    if !found {
        skip(&format!("there is no {program}"));
    }
    found
}

/// A project, and the file that `partyrun build` makes of it.
fn built(folder: &str) -> Project {
    let project = Project::new(&[("server.js", SERVER)]);
    std::fs::create_dir_all(project.file(folder)).unwrap();
    let (code, text) = project.run(&["build", "server.js", "--out", &format!("{folder}/app.partyrun")]);
    assert_eq!(code, Some(0), "{text}");
    project
}

/// Runs a command line of a file in `deploy/` in place of the one that it names, and counts in a room.
fn serves(project: &Project, program: &[&str], args: &[String], port: u16) -> Server {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).args(args).current_dir(project.path());
    command.env("NO_COLOR", "1").env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR")).env("APP_NAME", "x");
    let server = Server::start(command, port);
    server.wait_for("\"type\":\"ready\"");
    let (status, text) = server.get("/party/a");
    assert!(status == 200 && text.contains(r#""count":1"#) && text.contains(r#""APP_NAME":"x""#), "{text}");
    server
}

/// The command of the unit, with the variables and the name filled in.
fn command_of_the_unit(project: &Project, port: u16) -> Vec<String> {
    let unit = unit();
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let line = line
        .replace("${PORT}", &port.to_string())
        .replace("${STATE_DIRECTORY}", &project.file("state").to_string_lossy())
        .replace("/srv/partyrun/%i", &project.file("srv/app").to_string_lossy());
    let mut words = line.split(' ').map(str::to_owned);
    assert_eq!(words.next().as_deref(), Some("/usr/bin/partyrun"));
    words.collect()
}

#[test]
fn the_unit_is_hardened_as_systemd_counts_it() {
    if !has("systemd-analyze", "--version") {
        return;
    }
    let unit = unit();
    assert!(unit.contains("@pkey") && !unit.contains("\nMemoryDenyWriteExecute"), "V8 needs both");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operate.md");
    assert!(
        std::fs::read_to_string(page).unwrap().contains(&unit),
        "docs/operate.md shows the unit as it is"
    );
    let project = Project::new(&[]);
    let here = project.file("partyrun@.service");
    std::fs::write(&here, unit.replace("/usr/bin/partyrun", env!("CARGO_BIN_EXE_partyrun"))).unwrap();
    let mistakes = done(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&here));
    assert!(!mistakes.contains("partyrun@"), "{mistakes}");
    let text = done(
        Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=30"]).arg(&here),
    );
    let level = text.lines().find(|line| line.contains("Overall exposure level")).unwrap();
    let number: f64 = level.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    assert!(number <= 3.0, "{level}");
}

/// The system calls of a set of systemd, with those of the sets inside it.
fn calls_of(sets: &[&str]) -> BTreeSet<String> {
    let mut calls = BTreeSet::new();
    for set in sets {
        let text = done(Command::new("systemd-analyze").args(["syscall-filter", set]));
        let names: Vec<&str> =
            text.lines().skip(1).map(str::trim).filter(|line| !line.starts_with('#')).collect();
        let (inner, own): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.starts_with('@'));
        calls.extend(own.into_iter().map(str::to_owned));
        if !inner.is_empty() {
            calls.extend(calls_of(&inner));
        }
    }
    calls
}

#[test]
fn a_server_gets_by_with_the_system_calls_of_the_unit() {
    if !has("systemd-analyze", "--version") || !has("strace", "-V") {
        return;
    }
    let unit = unit();
    let sets = unit.lines().find_map(|line| line.strip_prefix("SystemCallFilter=")).unwrap();
    let allowed = calls_of(&sets.split(' ').collect::<Vec<_>>());
    assert!(allowed.contains("pkey_mprotect") && allowed.contains("openat"), "{allowed:?}");
    let project = built("srv");
    let port = free_port();
    let traced = project.file("traced").to_string_lossy().into_owned();
    let program = ["strace", "-f", "-qq", "-o", &traced, env!("CARGO_BIN_EXE_partyrun")];
    let server = serves(&project, &program, &command_of_the_unit(&project, port), port);
    server.terminate();
    drop(server);
    let lines = std::fs::read_to_string(&traced).unwrap();
    let calls: BTreeSet<&str> = lines
        .lines()
        .filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('))
        .map(|(name, _)| name)
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .collect();
    assert!(calls.contains("fdatasync") && calls.contains("accept4"), "{calls:?}");
    let refused: Vec<_> = calls.iter().filter(|name| !allowed.contains(**name)).collect();
    assert!(refused.is_empty(), "the unit would refuse {refused:?}");
}

#[test]
fn the_command_of_the_unit_serves() {
    let project = built("srv");
    let port = free_port();
    serves(&project, &[env!("CARGO_BIN_EXE_partyrun")], &command_of_the_unit(&project, port), port).stop();
    assert!(project.file("state/partyrun.sqlite").exists());
}

#[test]
fn the_debian_package_is_installed_into_a_folder_and_serves() {
    if !has("dpkg-deb", "--version") {
        return;
    }
    let project = built("srv");
    let mut pack = Command::new("sh");
    pack.arg(deploy("debian/pack.sh")).arg(env!("CARGO_BIN_EXE_partyrun")).arg(project.file("deb"));
    let text = done(pack.env("COMPRESSION", "-Zgzip -z1"));
    let package = text.lines().last().unwrap().trim();
    let root = project.file("root");
    std::fs::create_dir_all(root.join("var/lib/dpkg/info")).unwrap();
    std::fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    let mut install = Command::new("dpkg");
    install.arg(format!("--root={}", root.display())).args(["--force-depends", "--force-not-root"]);
    done(
        install.args(["--force-bad-path", "--install", package]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
    );
    let installed = root.join("usr/bin/partyrun");
    let shown = done(Command::new(&installed).arg("--version"));
    assert_eq!(shown.trim(), format!("partyrun {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(
        std::fs::read_to_string(root.join("usr/lib/systemd/system/partyrun@.service")).unwrap(),
        unit()
    );
    for file in [
        "share/man/man1/partyrun.1.gz",
        "share/doc/partyrun/copyright",
        "share/bash-completion/completions/partyrun",
        "share/zsh/vendor-completions/_partyrun",
        "share/fish/vendor_completions.d/partyrun.fish",
    ] {
        assert!(root.join("usr").join(file).exists(), "{file}");
    }
    let port = free_port();
    let program = installed.to_string_lossy().into_owned();
    serves(&project, &[&program], &command_of_the_unit(&project, port), port).stop();
    // The judge of Debian's packages, where there is one.
    if Command::new("lintian").arg("--version").output().is_ok() {
        // Nobody publishes it yet, so that it has no address of a maintainer.
        let flags =
            ["--fail-on", "error", "--suppress-tags", "bogus-mail-host,bogus-mail-host-in-debian-changelog"];
        done(Command::new("lintian").args(flags).arg(package));
    }
}

/// The words of a JSON list that follows `start` in a file.
fn list_after(file: &str, start: &str) -> Vec<String> {
    let text = std::fs::read_to_string(deploy(file)).unwrap();
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(start)).unwrap().to_owned();
    serde_json::from_str(&line).unwrap()
}

#[test]
fn the_commands_of_the_container_serve() {
    let project = built("srv");
    for command in [list_after("docker/Dockerfile", "CMD "), list_after("docker/compose.yaml", "command: ")] {
        let port = free_port();
        let here = |word: String| match word.as_str() {
            "8080" => port.to_string(),
            path if path.starts_with('/') => {
                project.file(path.trim_start_matches('/')).to_string_lossy().into_owned()
            }
            _ => word,
        };
        let args: Vec<String> = command.into_iter().map(here).collect();
        let server = serves(&project, &[env!("CARGO_BIN_EXE_partyrun")], &args, port);
        if args.contains(&"--backup-to".to_owned()) {
            server.wait_for("\"text\":\"Backup: ");
        }
        server.stop();
        std::fs::remove_dir_all(project.file("data")).unwrap();
    }
    // No engine runs containers where this is tested; what the image does with its user is read.
    let image = std::fs::read_to_string(deploy("docker/Dockerfile")).unwrap();
    let user = image.lines().position(|line| line.starts_with("USER ") && !line.contains("root")).unwrap();
    let entry = image.lines().position(|line| line.starts_with("ENTRYPOINT")).unwrap();
    assert!(user < entry && image.matches("\nFROM ").count() == 2, "a user without rights, and two stages");
}

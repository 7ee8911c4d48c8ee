//! Backups as an operator meets them: of a running server, on a schedule, on a disk that is full, and put back.

use std::process::Command;

use crate::support::{Project, Server, free_port, partyrun, skip};

const SERVER: &str = r#"
export default class Server {
  constructor(room) { this.room = room; }
  async onRequest(request) {
    const count = ((await this.room.storage.get("count")) ?? 0) + 1;
    await this.room.storage.put("count", count);
    await this.room.storage.put("bytes", new Uint8Array(100_000).fill(count));
    await this.room.context.bindings.kv.cache.put("k", `${count}`);
    return new Response(`${count} ${await this.room.context.bindings.kv.cache.get("k")}`);
  }
}
"#;

fn project() -> Project {
    let config = r#"{ "name": "kept", "main": "server.js", "bindings": { "kv": { "cache": "cache" } } }"#;
    Project::new(&[("server.js", SERVER), ("partykit.json", config)])
}

fn folders(project: &Project, path: &str) -> Vec<String> {
    let entries = std::fs::read_dir(project.file(path)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_running_server_is_backed_up_and_goes_back_to_that_moment() {
    let project = project();
    let server = project.serve(&["start"]);
    assert_eq!(server.get("/party/a"), (200, "1 1".to_string()));
    let (code, text) = project.run(&["backup", "kept/one"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("kept/one/partyrun.sqlite (") && text.contains("kept/one/bindings.sqlite ("),
        "{text}"
    );
    assert_eq!(server.get("/party/a").1, "2 2");
    let (code, text) = project.run(&["restore", "kept/one", "--check"]);
    assert!(code == Some(0) && text.contains("kept/one: 1 room, 2 values, "), "{text}");
    let (code, text) = project.run(&["restore", "kept/one", "--replace"]);
    assert!(code == Some(1) && text.contains("Stop the server first"), "{text}");
    assert_eq!(server.get("/party/a").1, "3 3");
    server.stop();
    let (code, text) = project.run(&["restore", "kept/one"]);
    assert!(code == Some(1) && text.contains("has data already"), "{text}");
    let (code, text) = project.run(&["restore", "kept/one", "--replace"]);
    assert!(code == Some(0) && text.contains("Moved what was there before to"), "{text}");
    let server = project.serve(&["start"]);
    assert_eq!(server.get("/party/a").1, "2 2");
    server.stop();
    // What was there before can be looked at.
    let aside = folders(&project, ".partyrun").into_iter().find(|name| name.starts_with("before-restore-"));
    let aside = format!(".partyrun/{}", aside.unwrap());
    assert_eq!(project.run(&["storage", "get", "a", "count", "--persist", &aside]).1, "3\n");
}

#[test]
fn start_takes_backups_by_itself() {
    let project = project();
    let server =
        project.serve(&["start", "--backup-to", "kept", "--backup-every", "1s", "--backup-keep", "2"]);
    server.wait_for("one every 1 s, and the last 2 are kept");
    server.get("/party/a");
    server.wait_for_times("Backup: ", 3);
    server.wait_for("removed 1 old backup");
    // A disk that went away is told, and comes back.
    std::fs::rename(project.file("kept"), project.file("away")).unwrap();
    server.wait_for("kept is not there any more: is its disk mounted? Earlier backups are kept");
    std::fs::rename(project.file("away"), project.file("kept")).unwrap();
    let count = server.output().matches("Backup: ").count();
    server.wait_for_times("Backup: ", count + 1);
    server.stop();
    let kept = folders(&project, "kept");
    assert_eq!(kept.len(), 2, "{kept:?}");
    for name in kept {
        let (code, text) = project.run(&["restore", &format!("kept/{name}"), "--check"]);
        assert!(code == Some(0) && text.contains("1 room, 2 values"), "{text}");
    }
    let (code, text) = project.run(&["start", "--persist", "false", "--port", "0", "--backup-to", "kept"]);
    assert!(code == Some(1) && text.contains("Storage is not kept"), "{text}");
    let (code, text) = project.run(&["start", "--backup-keep", "3"]);
    assert!(code == Some(1) && text.contains("--backup-to"), "{text}");
}

#[test]
fn a_full_disk_keeps_the_backups_that_are_there() {
    let can = Command::new("unshare").args(["-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]).status();
    if !can.is_ok_and(|status| status.success()) {
        return skip("no user namespace can be made here");
    }
    let project = project();
    std::fs::create_dir(project.file("disk")).unwrap();
    let port = free_port();
    // Two backups of some 130 KiB have space, three have not, and the oldest goes only after a new one was taken.
    let script = format!(
        "mount -t tmpfs -o size=400k none disk && exec \"$0\" start --port {port} --backup-to disk --backup-every 1s --backup-keep 9"
    );
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", &script, env!("CARGO_BIN_EXE_partyrun")]).current_dir(project.path());
    command
        .env("NO_COLOR", "1")
        .env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .env_remove("PARTYKIT_LOG");
    let server = Server::start(command, port);
    server.wait_for("Ready on");
    server.get("/party/a");
    server.wait_for("the disk is full. Earlier backups are kept");
    assert_eq!(server.get("/party/a").1, "2 2");
    let disk = format!("/proc/{}/root{}", server.served_by(), project.file("disk").display());
    let whole = std::fs::read_dir(&disk).unwrap().map(|entry| entry.unwrap().path().join("backup.json"));
    let whole = whole.collect::<Vec<_>>();
    assert!(!whole.is_empty() && whole.iter().all(|manifest| manifest.exists()), "{whole:?}");
    server.stop();
}

#[test]
fn one_of_two_backups_at_once_has_the_folder() {
    let project = project();
    let (code, text) = project.run(&["backup", "kept"]);
    assert!(code == Some(1) && text.contains("There is no storage in"), "{text}");
    assert!(!project.file("kept").exists());
    let server = project.serve(&["start"]);
    server.get("/party/a");
    let mut other = partyrun();
    other.args(["backup", "kept"]).current_dir(project.path());
    let mut both = [other.spawn().unwrap(), other.spawn().unwrap()];
    let ended: Vec<_> = both.iter_mut().map(|child| child.wait().unwrap().success()).collect();
    assert!(ended.contains(&true) && ended.contains(&false), "one of two has the folder: {ended:?}");
    assert_eq!(folders(&project, "kept"), ["backup.json", "bindings.sqlite", "partyrun.sqlite"]);
    server.stop();
}

/// The program that `.ci/run` installs, or that of the path.
fn litestream() -> Option<String> {
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/bin/litestream");
    let found =
        [tool, "litestream"].into_iter().find(|name| Command::new(name).arg("version").output().is_ok());
    if found.is_none() {
        skip("litestream is missing: see .ci/tools.txt");
    }
    found.map(str::to_owned)
}

/// Every row of the rooms' database in a folder.
pub(crate) fn rows(folder: &std::path::Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(folder.join("partyrun.sqlite")).unwrap();
    let sql = "SELECT party, id, quote(key), quote(value), checksum FROM rooms LEFT JOIN entries USING (room) ORDER BY 1, 2, 3";
    let mut statement = connection.prepare(sql).unwrap();
    let read = |row: &rusqlite::Row<'_>| {
        let (party, id, sum): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(4)?);
        Ok(format!("{party}/{id} {} {} {sum}", row.get::<_, String>(2)?, row.get::<_, String>(3)?))
    };
    statement.query_map([], read).unwrap().map(Result::unwrap).collect()
}

#[test]
fn litestream_has_every_row_of_a_server_that_was_killed() {
    let Some(litestream) = litestream() else { return };
    let project = project();
    let server = project.serve(&["start"]);
    let config =
        "dbs:\n  - path: .partyrun/partyrun.sqlite\n    replica:\n      type: file\n      path: replica\n";
    project.write("litestream.yml", config);
    let run = |args: &[&str]| {
        let mut command = Command::new(&litestream);
        command.args(args).current_dir(project.path());
        command
    };
    let mut replicate = run(&["replicate", "-config", "litestream.yml"]).spawn().unwrap();
    for room in 0..40 {
        assert_eq!(server.get(&format!("/party/room-{room}")).0, 200);
    }
    server.signal(server.served_by(), libc::SIGSTOP);
    server.signal(server.served_by(), libc::SIGKILL);
    // The supervisor would start another.
    drop(server);
    let live = rows(&project.file(".partyrun"));
    assert_eq!(live.len(), 80);
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    for attempt in 0.. {
        let folder = format!("restored-{attempt}");
        std::fs::create_dir(project.file(&folder)).unwrap();
        let to = format!("{folder}/partyrun.sqlite");
        let restored = run(&["restore", "-config", "litestream.yml", "-o", &to, ".partyrun/partyrun.sqlite"])
            .output()
            .unwrap();
        if restored.status.success() && rows(&project.file(&folder)) == live {
            let (code, text) = project.run(&["restore", &folder, "--check"]);
            assert!(code == Some(0) && text.contains("40 rooms, 80 values"), "{text}");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{}", String::from_utf8_lossy(&restored.stderr));
    }
    replicate.kill().unwrap();
    replicate.wait().unwrap();
}

//! Backups in S3-compatible storage, which is SeaweedFS here: sent by parts, kept so many, waited for, and put back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::backup::rows;
use crate::support::{Project, Server, free_port, get, partyrun, skip, until};

const SERVER: &str = r#"
export default class Server {
  constructor(room) { this.room = room; }
  async onRequest() {
    const count = (await this.room.storage.list()).size;
    await this.room.storage.put(`value ${count}`, crypto.getRandomValues(new Uint8Array(60_000)));
    return new Response(`${count + 1}`);
  }
}
"#;
/// They make a database that is sent in two parts.
const VALUES: usize = 150;

fn project() -> Project {
    Project::new(&[("server.js", SERVER), ("partykit.json", r#"{ "name": "sent", "main": "server.js" }"#)])
}

/// A server of S3 storage on ports of its own, which can be ended and started again.
struct Storage {
    weed: String,
    folder: tempfile::TempDir,
    // Of the master, the volumes, the files and S3, each with one for its internal calls.
    ports: [u16; 8],
    child: Option<Child>,
}

impl Storage {
    fn start() -> Option<Self> {
        let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/bin/weed");
        let found =
            [tool, "weed"].into_iter().find(|name| Command::new(name).arg("version").output().is_ok());
        let Some(weed) = found.map(str::to_owned) else {
            skip("SeaweedFS is missing: see .ci/tools.txt");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let identity = r#"{ "identities": [{ "name": "chat", "actions": ["Admin"],
            "credentials": [{ "accessKey": "its-key", "secretKey": "its-secret" }] }] }"#;
        std::fs::write(folder.path().join("s3.json"), identity).unwrap();
        let mut storage = Self { weed, folder, ports: [(); 8].map(|()| free_port()), child: None };
        storage.begin();
        // A bucket is a folder of this one.
        storage.write("POST", "chat/", "");
        Some(storage)
    }

    fn begin(&mut self) {
        let [master, master_calls, volume, volume_calls, filer, filer_calls, s3, s3_calls] = self.ports;
        let flags = [
            "-ip=127.0.0.1".to_owned(),
            "-ip.bind=127.0.0.1".to_owned(),
            "-dir=.".to_owned(),
            format!("-master.port={master}"),
            format!("-master.port.grpc={master_calls}"),
            // It would report to its makers.
            "-master.telemetry=false".to_owned(),
            "-master.volumeSizeLimitMB=64".to_owned(),
            format!("-volume.port={volume}"),
            format!("-volume.port.grpc={volume_calls}"),
            "-volume.max=20".to_owned(),
            "-filer".to_owned(),
            format!("-filer.port={filer}"),
            format!("-filer.port.grpc={filer_calls}"),
            "-filer.localSocket=filer.sock".to_owned(),
            "-s3".to_owned(),
            format!("-s3.port={s3}"),
            format!("-s3.port.grpc={s3_calls}"),
            "-s3.port.iceberg=0".to_owned(),
            "-s3.port.lance=0".to_owned(),
            "-s3.config=s3.json".to_owned(),
        ];
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = Command::new(&self.weed);
        command.arg("server").args(flags).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        until("SeaweedFS serves files", || {
            get(filer, "/buckets/", "127.0.0.1").is_ok_and(|(status, _)| status == 200)
        });
        until("SeaweedFS serves S3", || TcpStream::connect(("127.0.0.1", s3)).is_ok());
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Writes a file in a bucket, past S3.
    fn write(&self, method: &str, path: &str, text: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[4])).unwrap();
        let length = text.len();
        let head =
            format!("{method} /buckets/{path} HTTP/1.1\r\nhost: files\r\ncontent-length: {length}\r\n");
        write!(stream, "{head}connection: close\r\n\r\n{text}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    fn command(&self, project: &Project, secret: &str, args: &[&str]) -> Command {
        let mut command = partyrun();
        command
            .args(args)
            .current_dir(project.path())
            .env("AWS_ENDPOINT_URL_S3", format!("http://127.0.0.1:{}", self.ports[6]))
            .env("AWS_ACCESS_KEY_ID", "its-key")
            .env("AWS_SECRET_ACCESS_KEY", secret);
        command
    }

    fn run(&self, project: &Project, args: &[&str]) -> (Option<i32>, String) {
        let output = self.command(project, "its-secret", args).output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    fn serve(&self, project: &Project, secret: &str, to: &str) -> Server {
        let port = free_port();
        let schedule = ["start", "--backup-to", to, "--backup-every", "1s", "--backup-keep", "2"];
        let mut command = self.command(project, secret, &schedule);
        command.args(["--port", &port.to_string()]);
        let server = Server::start(command, port);
        server.wait_for("Ready on");
        server
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.end();
    }
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn a_bucket_has_the_last_backups_and_gives_them_back() {
    let Some(mut storage) = Storage::start() else { return };
    let project = project();
    let server = storage.serve(&project, "its-secret", "s3://chat/of/rooms");
    server.wait_for("Backups go to s3://chat/of/rooms, one every 1 s, and the last 2 are kept");
    for count in 1..=VALUES {
        assert_eq!(server.get("/party/a"), (200, count.to_string()));
    }
    server.wait_for_times("Backup: s3://chat/of/rooms/2", 5);
    server.wait_for_times("removed 1 old backup", 3);
    assert!(!server.output().contains("removed 2"), "{}", server.output());
    // What cannot be sent waits, and is sent when the storage is back.
    storage.end();
    let line = server.wait_for("127.0.0.1 cannot be reached");
    assert!(
        line.contains("It was taken, waits in ") && line.contains("the next attempt is in 1 s"),
        "{line}"
    );
    let waiting = project.file(".partyrun/outgoing-backups");
    assert_eq!(entries(&waiting), 1);
    let sent = server.output().matches("Backup: ").count();
    storage.begin();
    server.wait_for_times("Backup: ", sent + 1);
    server.stop();
    let (code, text) = storage.run(&project, &["restore", "s3://chat/of/rooms", "--check"]);
    assert!(
        code == Some(1) && text.contains("it holds several backups; name one, the newest is s3://"),
        "{text}"
    );
    // The last one may have been taken before the last value was stored.
    let to = "s3://chat/by/hand";
    let (code, text) = storage.run(&project, &["backup", to]);
    assert!(code == Some(0) && text.contains("Wrote s3://chat/by/hand/partyrun.sqlite ("), "{text}");
    let (code, text) = storage.run(&project, &["backup", to]);
    assert!(code == Some(1) && text.contains("s3://chat/by/hand/backup.json exists already"), "{text}");
    let (code, text) = storage.run(&project, &["restore", to, "--check"]);
    assert!(code == Some(0) && text.contains("Verified s3://chat/by/hand: 1 room, 150 values"), "{text}");
    let (code, text) = storage.run(&project, &["restore", to, "--persist", "drill"]);
    assert!(code == Some(0) && text.contains("Restored s3://chat/by/hand: 1 room, 150 values"), "{text}");
    let restored = rows(&project.file("drill"));
    assert!(restored.len() == VALUES && restored == rows(&project.file(".partyrun")));
    // What is not what was sent is not restored.
    storage.write("PUT", "chat/by/hand/partyrun.sqlite", "SQLite format 3");
    let (code, text) = storage.run(&project, &["restore", to, "--persist", "again"]);
    assert!(
        code == Some(1)
            && text.contains("by/hand/partyrun.sqlite is no backup")
            && text.contains("it has 15 bytes"),
        "{text}"
    );
    assert_eq!(entries(&project.file("again")), 1, "its lock only");
}

#[test]
fn what_a_bucket_refuses_is_said_once_and_in_one_line() {
    let Some(storage) = Storage::start() else { return };
    let project = project();
    let (code, text) = project.run(&["start", "--port", "0", "--backup-to", "s3://chat/rooms"]);
    assert!(
        code == Some(1) && text.contains("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"),
        "{text}"
    );
    let server = storage.serve(&project, "another", "s3://chat/rooms");
    assert_eq!(server.get("/party/a").0, 200);
    let line = server.wait_for("The backup failed: ");
    let parts = [
        "s3://chat/rooms/2",
        "the server says 403 SignatureDoesNotMatch",
        "see AWS_ACCESS_KEY_ID",
        "waits in ",
    ];
    assert!(parts.iter().all(|part| line.contains(part)) && !line.contains("X-Amz-"), "{line}");
    assert_eq!(server.get("/party/a").0, 200);
    // Nothing is sent again and again that was refused.
    server.stop();
    let (code, text) = storage.run(&project, &["restore", "s3://nobodys/rooms", "--check"]);
    assert!(code == Some(1) && text.contains("the server says 404 NoSuchBucket"), "{text}");
    let (code, text) = storage.run(&project, &["restore", "s3://chat/nothing", "--check"]);
    assert!(
        code == Some(1)
            && text.contains("s3://chat/nothing/ is no backup that can be restored: it has no backup.json"),
        "{text}"
    );
}

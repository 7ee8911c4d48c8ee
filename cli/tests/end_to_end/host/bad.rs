//! Bad input: names that none can have, releases that are cut short, altered or too long, a full host.

use std::io::Write as _;

use super::{DOMAIN, Platform, chat};

fn refuses(platform: &Platform, body: &[u8], why: &str) {
    let (status, answer) = platform.api("POST", "/v1/projects/chat/releases", body);
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(
        (400..500).contains(&status) && message.contains(why),
        "{status} {answer}\n{}",
        platform.server.output()
    );
}

#[test]
fn names_that_no_project_can_have_are_refused() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    for (name, why) in [
        ("Chat", "lower case letters"),
        ("my_chat", "is no name for a project"),
        ("-chat", "is no name for a project"),
        ("api", "is reserved"),
        ("www", "is reserved"),
        (&"a".repeat(64), "at most 63"),
        ("..", "is no name for a project"),
        ("a/../b", "is no name for a project"),
        ("a.b", "is no name for a project"),
    ] {
        let (status, answer) =
            platform.api("GET", &format!("/v1/projects/{}", name.replace('/', "%2F")), b"");
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(status == 400 && message.contains(why), "{name}: {answer}");
        assert_eq!(platform.run(&project, &["deploy", &format!("--name={name}")]).0, Some(1), "{name}");
    }
    let (code, text) = platform.run(&project, &["deploy", "--preview", "Pr_7"]);
    assert!(code == Some(1) && text.contains("is no name for a preview"), "{text}");
    project.write("partykit.json", r#"{ "main": "server.js" }"#);
    let (code, text) = platform.run(&project, &["deploy"]);
    assert!(code == Some(1) && text.contains("The project has no name."), "{text}");
    let (code, text) = platform.run(&project, &["deploy", "--name", "chat", "--tail-consumer", "x"]);
    assert!(code == Some(1) && text.contains("partyrun tail"), "{text}");
}

/// A file as it is sent: a list, and an archive with these files.
fn sent(list: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in files {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar  \0");
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend(header);
        archive.extend(*content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    let mut packed = std::process::Command::new("gzip");
    packed.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = packed.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || input.write_all(&archive).unwrap());
    let packed = child.wait_with_output().unwrap().stdout;
    writing.join().unwrap();
    [&(list.len() as u64).to_le_bytes(), list.as_bytes(), &packed].concat()
}

#[test]
fn releases_that_are_none_are_refused_and_change_nothing() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    let manifest = |format: u32| {
        let text = format!(
            r#"{{"format":{format},"partyrun":"0.1.0","hash":"{}","parties":["main"],"wasm":0,"binaries":0,"settings":{{}}}}"#,
            "0".repeat(64)
        );
        text.into_bytes()
    };
    refuses(&platform, b"", "is cut off");
    refuses(&platform, b"short", "is cut off");
    refuses(&platform, &u64::MAX.to_le_bytes(), "list of files is too long");
    refuses(&platform, &[&2u64.to_le_bytes()[..], b"{}"].concat(), "list of files cannot be read");
    refuses(&platform, &[&2u64.to_le_bytes()[..], b"[]no archive"].concat(), "is damaged");
    let newer = sent("[]", &[("manifest.json", &manifest(99)), ("bundle.js", b""), ("bundle.js.map", b"{}")]);
    refuses(&platform, &newer, "has format 99");
    let altered =
        sent("[]", &[("manifest.json", &manifest(2)), ("bundle.js", b"x"), ("bundle.js.map", b"{}")]);
    refuses(&platform, &altered, "not what its hash says");
    for name in ["assets/../../escaped", "../escaped", "/escaped", "assets//x"] {
        let files: [(&str, &[u8]); 3] = [("manifest.json", &manifest(2)), ("bundle.js", b""), (name, b"x")];
        refuses(&platform, &sent("[]", &files), "is none of a file in it");
        let listed = format!(r#"[{{"name":"{name}","hash":"{}"}}]"#, "0".repeat(64));
        let files: [(&str, &[u8]); 2] = [("manifest.json", &manifest(2)), ("bundle.js", b"")];
        refuses(&platform, &sent(&listed, &files), "was not sent, and no earlier release has it");
    }
    let cut = &altered[..altered.len() - 20];
    let (status, _) = platform.api("POST", "/v1/projects/chat/releases", cut);
    assert_eq!(status, 422);
    // A list in which a file that was sent has a name that leads out.
    let hash = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    let listed = format!(r#"[{{"name":"assets/../../../escaped","hash":"{hash}"}}]"#);
    let files: [(&str, &[u8]); 3] = [("manifest.json", &manifest(2)), ("bundle.js", b""), ("assets/x", b"x")];
    refuses(&platform, &sent(&listed, &files), "The release");

    assert_eq!(platform.json("chat", "/party/a")["version"], "one");
    assert_eq!(platform.done(&project, &["releases"]).lines().count(), 2);
    let found = std::process::Command::new("find")
        .arg(platform.data.path())
        .args(["-name", "escaped"])
        .output()
        .unwrap();
    assert!(found.stdout.is_empty());
    assert_eq!(std::fs::read_dir(platform.data.path().join("incoming")).unwrap().count(), 0);
}

#[test]
fn a_release_that_says_it_is_very_long_is_refused_before_it_is_read() {
    let platform = Platform::start(&[]);
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", platform.server.port)).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let token = &platform.token;
    write!(
        stream,
        "POST /v1/projects/chat/releases HTTP/1.1\r\nhost: {DOMAIN}\r\nauthorization: Bearer {token}\r\n\
         content-length: {}\r\n\r\n",
        2u64 << 30
    )
    .unwrap();
    let head = crate::raw::head(&mut stream);
    assert!(head.starts_with("http/1.1 413"), "{head}");
    // Its name was not taken by it.
    assert_eq!(platform.api("GET", "/v1/projects/chat", b"").0, 404);
}

#[test]
fn a_host_has_so_many_projects_and_no_more() {
    let platform = Platform::start(&["--limit", "host_projects_max=1"]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    platform.done(&project, &["deploy"]);
    let (code, text) = platform.run(&project, &["deploy", "--name", "other"]);
    assert!(code == Some(1) && text.contains("limit `host_projects_max`"), "{text}");
}

#[test]
fn requests_without_one_name_are_refused() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    let raw = |text: &str| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", platform.server.port)).unwrap();
        stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        crate::raw::head(&mut stream)
    };
    assert!(raw("GET / HTTP/1.1\r\n\r\n").starts_with("http/1.1 400"));
    let two = raw(&format!("GET / HTTP/1.1\r\nhost: chat.{DOMAIN}\r\nhost: {DOMAIN}\r\n\r\n"));
    assert!(two.starts_with("http/1.1 400"), "{two}");
    // What a client says of itself, the project does not believe.
    let fields = "x-forwarded-for: 6.6.6.6\r\nx-forwarded-proto: https\r\nx-forwarded-host: evil.test\r\n";
    let (_, _, body) = platform.ask("GET", &format!("chat.{DOMAIN}"), "/party/a", fields, b"");
    assert!(body.contains(&format!("http://chat.{DOMAIN}/party/a")) && !body.contains("6.6.6.6"), "{body}");
}

/// A file system that goes with the test.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _gone = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_a_deployment_and_what_runs_goes_on() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    platform.done(&project, &["deploy"]);
    let incoming = platform.data.path().join("incoming");
    let mut mount = std::process::Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&incoming);
    if !mount.output().is_ok_and(|output| output.status.success()) {
        return crate::support::skip("only root can mount a small file system");
    }
    let _mounted = Mounted(incoming.clone());
    project.write("partykit.json", r#"{ "name": "chat", "main": "server.js", "serve": "public" }"#);
    // More than fits, and what fits once but not twice.
    for bytes in [3_000_000, 700_000] {
        std::fs::create_dir_all(project.file("public")).unwrap();
        let mut noise = vec![0; bytes];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut noise).unwrap();
        std::fs::write(project.file("public/noise"), noise).unwrap();
        let (code, text) = platform.run(&project, &["deploy"]);
        assert!(code == Some(1) && text.contains("No space left on device"), "{bytes}: {text}");
        assert!(!text.contains("damaged"), "{text}");
        assert_eq!(std::fs::read_dir(&incoming).unwrap().count(), 0, "what was received is gone");
        assert_eq!(platform.json("chat", "/party/a")["version"], "one");
    }
    assert_eq!(platform.done(&project, &["releases"]).lines().count(), 2);
}

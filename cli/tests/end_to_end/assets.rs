//! Static files over the network: two gigabytes with ranges, ten thousand files, files that change while they are served,
//! and clients that leave in the middle.

use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::support::{PATIENCE, Project, Server};

const HUGE_BYTES: u64 = 2 << 30;

fn project() -> Project {
    Project::new(&[
        ("server.js", "export default class { onRequest() { return new Response('room'); } }"),
        ("public/a.txt", "first"),
    ])
}

fn serve(project: &Project) -> Server {
    project.serve(&["dev", "server.js", "--serve", "public", "--persist", "false"])
}

fn ask(server: &Server, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").unwrap();
    stream
}

fn head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

// What the serving process holds open of a file.
fn open_descriptors(server: &Server, name: &str) -> usize {
    let folder = format!("/proc/{}/fd", server.served_by());
    let links = std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.filter(|path| path.to_string_lossy().contains(name)).count()
}

fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.served_by())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

#[test]
fn parts_of_two_gigabytes_and_clients_that_leave() {
    let project = project();
    let mut file = std::fs::File::create(project.file("public/huge.bin")).unwrap();
    file.set_len(HUGE_BYTES).unwrap();
    for (at, text) in [(0, "begin"), (HUGE_BYTES / 2, "middle"), (HUGE_BYTES - 3, "end")] {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
    let server = serve(&project);
    let part = |range: &str| {
        let mut stream = ask(&server, "/huge.bin", &format!("range: bytes={range}\r\n"));
        (head(&mut stream), rest(stream))
    };
    let middle = HUGE_BYTES / 2;
    for (range, expected) in [
        ("0-4".to_string(), "begin"),
        (format!("{middle}-{}", middle + 5), "middle"),
        ("-3".to_string(), "end"),
    ] {
        let (head, body) = part(&range);
        assert!(head.starts_with("http/1.1 206 ") && head.contains(&format!("/{HUGE_BYTES}\r\n")), "{head}");
        assert_eq!(body, expected, "{range}");
    }
    let (head_of_nothing, _) = part(&format!("{HUGE_BYTES}-"));
    assert!(head_of_nothing.starts_with("http/1.1 416 "), "{head_of_nothing}");

    // Fifty clients ask for all of it, read some, and go.
    let before = resident_kib(&server);
    for _ in 0..50 {
        let mut stream = ask(&server, "/huge.bin", "");
        assert!(head(&mut stream).contains(&format!("content-length: {HUGE_BYTES}\r\n")));
        let mut some = vec![0; 300_000];
        stream.read_exact(&mut some).unwrap();
        assert!(some.starts_with(b"begin"));
    }
    let deadline = Instant::now() + PATIENCE;
    while open_descriptors(&server, "huge.bin") > 0 {
        assert!(Instant::now() < deadline, "a file stays open for clients that have left");
        std::thread::yield_now();
    }
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more after fifty clients that left");
    assert_eq!(server.get("/party/a").1, "room");
    server.stop();
}

#[test]
fn files_change_and_come_and_go_while_they_are_served() {
    let project = project();
    let server = serve(&project);
    assert_eq!(server.get("/a.txt"), (200, "first".to_string()));
    project.write("public/a.txt", "second");
    assert_eq!(server.get("/a.txt").1, "second");
    project.write("public/a.new", "third");
    std::fs::rename(project.file("public/a.new"), project.file("public/a.txt")).unwrap();
    assert_eq!(server.get("/a.txt").1, "third");
    // One that is replaced and removed while it is on its way arrives as it was.
    let old = "o".repeat(8 << 20);
    project.write("public/large.txt", &old);
    let mut stream = ask(&server, "/large.txt", "");
    head(&mut stream);
    std::fs::remove_file(project.file("public/large.txt")).unwrap();
    project.write("public/large.txt", "new");
    assert!(rest(stream) == old);
    assert_eq!(server.get("/large.txt").1, "new");
    std::fs::remove_file(project.file("public/large.txt")).unwrap();
    assert_eq!(server.get("/large.txt").0, 404);
    // One that shrinks cannot be sent whole, and the client must be able to tell.
    project.write("public/large.txt", &old);
    let mut stream = ask(&server, "/large.txt", "");
    head(&mut stream);
    std::fs::File::options().write(true).open(project.file("public/large.txt")).unwrap().set_len(1).unwrap();
    let mut got = Vec::new();
    // Cut off, or reset: both say that it is not whole.
    let _cut = stream.read_to_end(&mut got);
    assert!(got.len() < old.len());
    // The folder goes and comes back, as build tools do it.
    std::fs::remove_dir_all(project.file("public")).unwrap();
    assert_eq!(server.get("/a.txt").0, 404);
    project.write("public/a.txt", "again");
    assert_eq!(server.get("/a.txt").1, "again");
    server.stop();
}

#[test]
fn ten_thousand_files() {
    let project = project();
    for number in 0..10_000 {
        std::fs::write(project.file(&format!("public/{number}.txt")), format!("file {number}")).unwrap();
    }
    let begun = Instant::now();
    let server = serve(&project);
    let ready = begun.elapsed();
    assert_eq!(server.get("/0.txt").1, "file 0");
    let before = resident_kib(&server);
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for number in 0..10_000 {
        // In one piece: the kernel would hold back the second of several.
        let request = format!("GET /{number}.txt HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        assert!(head(&mut stream).starts_with("http/1.1 200 "), "{number}");
        let mut body = vec![0; format!("file {number}").len()];
        stream.read_exact(&mut body).unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), format!("file {number}"));
    }
    let grown = resident_kib(&server).saturating_sub(before);
    eprintln!("10,000 files: ready in {ready:?}, {grown} KiB more after each was asked for");
    assert!(grown < 64 * 1024, "{grown} KiB");
    server.stop();
}

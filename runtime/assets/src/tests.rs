//! Tests of [`Assets`] as the server sees it: real folders, real headers.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use partyrun_limits::Limits;

use crate::cache::is_settled;
use crate::root::Stamp;
use crate::{AssetReply, Assets, AssetsError, Body, Options};

/// A folder with a secret beside the served folder `public`.
struct Site(tempfile::TempDir);

impl Site {
    fn new(files: &[(&str, &str)]) -> Self {
        let site = Self(tempfile::tempdir().expect("folder"));
        fs::create_dir(site.0.path().join("public")).expect("folder");
        fs::write(site.0.path().join("secret.txt"), "SECRET").expect("file");
        for (name, text) in files {
            site.write(name, text);
        }
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("public").join(name)
    }

    /// Writes a file as if it had been there for a while, so that caching it is allowed.
    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        fs::write(&path, text).expect("file");
    }

    /// Waits until all files count as settled: a file that is as old as the youngest of them does.
    fn settle(&self) {
        let probe = self.0.path().join("probe");
        fs::write(&probe, "").expect("file");
        let stamp = Stamp::of(&fs::metadata(&probe).expect("file"));
        while !is_settled(&stamp) {
            std::thread::sleep(Duration::from_millis(5)); // Polls.
        }
    }

    fn assets(&self) -> Assets {
        self.assets_with(|_| {})
    }

    fn assets_with(&self, change: impl FnOnce(&mut Options)) -> Assets {
        let mut options = Options::new(&Limits::default());
        change(&mut options);
        Assets::new(self.0.path().join("public"), options).expect("options")
    }
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let field =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().expect("value"));
    fields.iter().map(field).collect()
}

fn get(assets: &Assets, path: &str, fields: &[(&'static str, &str)]) -> Option<AssetReply> {
    assets.lookup(&Method::GET, path, &headers(fields)).expect(path)
}

fn text(reply: &AssetReply, name: &str) -> String {
    reply.headers.get(name).map_or(String::new(), |value| value.to_str().expect("text").to_owned())
}

fn content(reply: AssetReply) -> Vec<u8> {
    match reply.body {
        Body::Empty => Vec::new(),
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::File { mut file, offset, len } => {
            file.seek(SeekFrom::Start(offset)).expect("seek");
            let mut bytes = Vec::new();
            file.take(len).read_to_end(&mut bytes).expect("read");
            bytes
        }
    }
}

fn body(assets: &Assets, path: &str, fields: &[(&'static str, &str)]) -> Option<String> {
    get(assets, path, fields).map(|reply| String::from_utf8(content(reply)).expect("text"))
}

#[test]
fn the_rows_of_the_specification_hold() {
    let site = Site::new(&[
        ("index.html", "home"),
        ("sub/index.html", "sub"),
        ("sp ace.txt", "space"),
        ("a.txt", "a"),
        ("é.txt", "e"),
        ("12:30.txt", "time"),
        (".hidden", "h"),
        (".git/config", "g"),
        ("node_modules/n.js", "n"),
        ("x/node_modules/n.js", "n"),
        ("404.html", "lost"),
    ]);
    let assets = site.assets();
    let rows = [
        ("/", Some("home")),
        ("/index.html", Some("home")),
        ("/sub/", Some("sub")),
        ("/sub", None),
        ("/sub/index", None),
        ("/sp%20ace.txt", Some("space")),
        ("/%C3%A9.txt", Some("e")),
        ("/12:30.txt", Some("time")),
        ("/a.txt", Some("a")),
        ("/%61.txt", Some("a")),
        ("/a.txt/", None),
        ("/A.txt", None),
        ("//a.txt", None),
        ("/.hidden", None),
        ("/.git/config", None),
        ("/node_modules/n.js", None),
        ("/x/node_modules/n.js", None),
        ("/none", None),
    ];
    for (path, expected) in rows {
        assert_eq!(body(&assets, path, &[]).as_deref(), expected, "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
        assert!(assets.lookup(&method, "/a.txt", &HeaderMap::new()).expect("lookup").is_none(), "{method}");
        assert!(
            assets.lookup(&method, "/%E0%A4%A", &HeaderMap::new()).expect("lookup").is_none(),
            "{method}"
        );
        let page = assets.not_found(&method, &HeaderMap::new()).expect("lookup").expect("page");
        assert_eq!(page.status, StatusCode::NOT_FOUND);
        assert_eq!(text(&page, "content-type"), "text/html; charset=utf-8");
        assert_eq!((text(&page, "content-length").as_str(), text(&page, "etag").as_str()), ("4", ""));
        assert_eq!(content(page), b"lost");
    }
    let error = assets.lookup(&Method::GET, "/%E0%A4%A", &HeaderMap::new()).expect_err("malformed");
    assert_eq!(error.to_string(), "URI malformed");
    fs::remove_file(site.path("404.html")).expect("remove");
    assert!(assets.not_found(&Method::GET, &HeaderMap::new()).expect("lookup").is_none());
}

#[test]
fn navigations_of_a_single_page_app_get_the_index() {
    let site = Site::new(&[("index.html", "app"), ("a.txt", "a")]);
    let navigate = [("sec-fetch-mode", "navigate")];
    let app = site.assets_with(|options| options.single_page_app = true);
    for path in ["/deep/link", "/none.png", "/sub/", "/.env", "/..%2f..%2fetc/passwd", "//x"] {
        assert_eq!(body(&app, path, &navigate).as_deref(), Some("app"), "{path}");
        assert_eq!(body(&app, path, &[("sec-fetch-mode", "cors")]), None, "{path}");
        assert_eq!(body(&app, path, &[]), None, "{path}");
        assert_eq!(body(&site.assets(), path, &navigate), None, "{path}");
        assert!(app.lookup(&Method::POST, path, &headers(&navigate)).expect("lookup").is_none(), "{path}");
    }
    assert_eq!(body(&app, "/a.txt", &navigate).as_deref(), Some("a"));
    assert_eq!(get(&app, "/deep", &navigate).expect("reply").status, StatusCode::OK);
    assert!(app.lookup(&Method::GET, "/%", &headers(&navigate)).is_err());
    fs::remove_file(site.path("index.html")).expect("remove");
    assert_eq!(body(&app, "/deep/link", &navigate), None);
}

#[test]
fn user_code_fetches_without_the_rules_for_browsers() {
    let site = Site::new(&[("index.html", &"app".repeat(1000)), ("sub/a.txt", "a")]);
    let assets = site.assets_with(|options| options.single_page_app = true);
    let fetch = |path: &str| assets.fetch(path).map(|reply| reply.map(|reply| content(reply).len()));
    for (path, expected) in [
        ("/", Some(3000)),
        ("/sub/a.txt", Some(1)),
        ("/sub/a.txt?x=1#y", Some(1)),
        ("/sub/../sub/a.txt", Some(1)),
        ("/../../secret.txt", None),
        ("/none", None),
        ("/sub/", None),
        ("//", None),
        ("/\\x", None),
    ] {
        assert_eq!(fetch(path).expect(path), expected, "{path}");
    }
    assert_eq!(fetch("sub/a.txt").expect_err("slash").to_string(), "Path must start with /");
    assert_eq!(fetch("").expect_err("slash").to_string(), "Path must start with /");
    assert_eq!(fetch("/%E0%A4%A").expect_err("malformed").to_string(), "URI malformed");
}

#[test]
fn include_and_exclude_decide_what_exists() {
    let site = Site::new(&[
        ("index.html", "i"),
        ("a.js", "j"),
        ("a.js.map", "m"),
        ("404.html", "x"),
        ("in/b.js", "b"),
    ]);
    let no_maps =
        site.assets_with(|options| options.exclude = vec!["*.map".into(), "in".into(), "404.html".into()]);
    for (path, there) in [("/", true), ("/a.js", true), ("/a.js.map", false), ("/in/b.js", false)] {
        assert_eq!(body(&no_maps, path, &[]).is_some(), there, "{path}");
    }
    assert!(no_maps.not_found(&Method::GET, &HeaderMap::new()).expect("lookup").is_none());
    let only_js = site.assets_with(|options| options.include = vec!["*.js".into()]);
    for (path, there) in [("/", false), ("/a.js", true), ("/in/b.js", true), ("/a.js.map", false)] {
        assert_eq!(body(&only_js, path, &[]).is_some(), there, "{path}");
    }
    let mut options = Options::new(&Limits::default());
    options.include = vec!["{a".into()];
    assert!(matches!(Assets::new(site.path(""), options), Err(AssetsError::Glob { .. })));
}

/// What an attacker writes after the host. None of it may reveal the secret, nor anything at all.
const HOSTILE: &[&str] = &[
    "/../secret.txt",
    "/../../secret.txt",
    "/./../secret.txt",
    "/sub/../../secret.txt",
    "/..",
    "/../",
    "/.",
    "/./a.txt",
    "/sub/..",
    "/...",
    "/..../secret.txt",
    "/%2e%2e/secret.txt",
    "/%2E%2E/secret.txt",
    "/.%2e/secret.txt",
    "/%2e./secret.txt",
    "/%2e%2e%2fsecret.txt",
    "/..%2fsecret.txt",
    "/..%2Fsecret.txt",
    "/sub%2f..%2f..%2fsecret.txt",
    "/sub%2findex.html",
    "/%2f",
    "/%2fetc%2fpasswd",
    "//etc/passwd",
    "///etc/passwd",
    "/%252e%252e%252fsecret.txt",
    "/%25%32%65%25%32%65/secret.txt",
    "/..\\secret.txt",
    "/..%5csecret.txt",
    "/..%5Csecret.txt",
    "/%5c..%5csecret.txt",
    "/sub%5cindex.html",
    "/sub\\index.html",
    "/C:/secret.txt",
    "/c:\\secret.txt",
    "/C:secret.txt",
    "/%43%3a%5csecret.txt",
    "/\\\\host\\share",
    "/%5c%5chost%5cshare",
    "/\\\\?\\C:\\secret.txt",
    "/a.txt::$DATA",
    "/a.txt%3a%3a$DATA",
    "/a.txt%00",
    "/a.txt%00.html",
    "/%00",
    "/sub/%00/a.txt",
    "/a.txt%0a",
    "/a.txt%0d%0aset-cookie:x",
    "/%7f",
    "/%01",
    "/a.txt.",
    "/a.txt%20",
    "/a.txt...",
    "/sub./index.html",
    "/con",
    "/CON",
    "/con.txt",
    "/nul",
    "/sub/nul.html",
    "/aux.js",
    "/prn",
    "/com1",
    "/COM9.txt",
    "/lpt1",
    "/com%C2%B9",
    "/conin$",
    "/clock$",
    "/con%20.txt",
    "/.env",
    "/%2eenv",
    "/.git/config",
    "/sub/.htaccess",
    "/node_modules/n.js",
    "/Node_Modules/n.js",
    "/%6eode_modules/n.js",
    "/link",
    "/up/secret.txt",
    "/etc/passwd",
    "/magic/etc/passwd",
    "/loop",
    "/pipe",
    "/sub",
    "/a.txt/x",
    "/a.txt/",
    "",
    "a.txt",
    "secret.txt",
    "http://x/a.txt",
    "/%ef%bc%8e%ef%bc%8e/secret.txt",
    "/%e2%80%ae",
    "/~root/secret.txt",
    "/;/a.txt",
    "/a.txt;x",
];

/// Calls with a watch on the CPU time, which other programs on the machine do not change: the longest path is 27 KB long, and
/// what reads each of its bytes a few times is far below the bound. One of five calls must be.
fn soon<T>(call: impl Fn() -> T) -> T {
    const CPU_MAX: Duration = Duration::from_millis(4);
    let spent = || {
        let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        Duration::from_nanos(
            text.split(' ').next().and_then(|first| first.parse().ok()).expect("nanoseconds"),
        )
    };
    let mut least = Duration::MAX;
    for _ in 0..5 {
        let before = spent();
        let value = call();
        least = least.min(spent() - before);
        if least < CPU_MAX {
            return value;
        }
    }
    panic!("a path takes {least:?} of CPU time");
}

#[test]
fn hostile_paths_find_nothing() {
    let site = Site::new(&[
        ("a.txt", "a"),
        ("sub/index.html", "s"),
        ("sub/.htaccess", "x"),
        (".env", "SECRET"),
        (".git/config", "SECRET"),
        ("node_modules/n.js", "x"),
        ("con.txt", "x"),
        ("aux.js", "x"),
        ("a.txt.", "x"),
        ("sub\\index.html", "x"),
    ]);
    symlink("../secret.txt", site.path("link")).expect("link");
    symlink("..", site.path("up")).expect("link");
    symlink("/etc", site.path("etc")).expect("link");
    symlink("/proc/self/root", site.path("magic")).expect("link");
    symlink("loop", site.path("loop")).expect("link");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        site.path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("pipe");
    let assets = site.assets();
    assert!(HOSTILE.len() >= 60);
    let long = [
        "/".repeat(5000),
        format!("/{}", "a".repeat(300)),
        "/a".repeat(5000),
        format!("/{}", "%41".repeat(9000)),
    ];
    for path in HOSTILE.iter().copied().chain(long.iter().map(String::as_str)) {
        let found = soon(|| assets.lookup(&Method::GET, path, &HeaderMap::new())).expect(path);
        assert!(found.is_none(), "{path:?} is answered");
    }
    // Escapes that are none are an error, whose text says nothing about files.
    for path in
        ["/%", "/%c0%ae%c0%ae/secret.txt", "/%c0%af", "/%e0%80%ae/x", "/%u002e%u002e/x", "/%ff", "/..%c1%9cx"]
    {
        let error = soon(|| assets.lookup(&Method::GET, path, &HeaderMap::new())).expect_err(path);
        assert_eq!(error.to_string(), "URI malformed", "{path}");
    }
    // Any byte, alone and between dots, finds at most files that are meant to be found.
    for byte in 0..=255_u8 {
        for path in
            [format!("/%{byte:02x}"), format!("/..%{byte:02x}secret.txt"), format!("/a.txt%{byte:02x}")]
        {
            let found = assets.lookup(&Method::GET, &path, &HeaderMap::new());
            assert!(!matches!(found, Ok(Some(_))), "{path}");
        }
    }
}

#[test]
fn answers_carry_validators_and_honour_them() {
    let site = Site::new(&[("a.txt", "text")]);
    let (assets, lasting) =
        (site.assets(), site.assets_with(|options| options.browser_ttl_seconds = Some(60)));
    let reply = get(&assets, "/a.txt", &[]).expect("reply");
    let (tag, modified) = (text(&reply, "etag"), text(&reply, "last-modified"));
    assert!(tag.starts_with("\"4-") && modified.ends_with(" GMT"), "{tag} {modified}");
    for (name, expected) in [
        ("access-control-allow-origin", "*"),
        ("cache-control", "no-cache"),
        ("content-length", "4"),
        ("content-type", "text/plain; charset=utf-8"),
        ("accept-ranges", "bytes"),
        ("vary", "accept-encoding"),
        ("content-encoding", ""),
    ] {
        assert_eq!(text(&reply, name), expected, "{name}");
    }
    assert_eq!(text(&get(&lasting, "/a.txt", &[]).expect("reply"), "cache-control"), "public, max-age=60");

    for fields in [[("if-none-match", tag.as_str())], [("if-modified-since", modified.as_str())]] {
        let reply = get(&lasting, "/a.txt", &fields).expect("reply");
        assert_eq!(reply.status, StatusCode::NOT_MODIFIED);
        assert_eq!(
            (text(&reply, "etag"), text(&reply, "cache-control")),
            (tag.clone(), "public, max-age=60".into())
        );
        assert_eq!((text(&reply, "content-length").as_str(), content(reply).len()), ("", 0));
    }
    assert_eq!(
        get(&assets, "/a.txt", &[("if-match", "\"x\"")]).expect("reply").status,
        StatusCode::PRECONDITION_FAILED
    );
    assert_eq!(body(&assets, "/a.txt", &[("if-none-match", "\"x\"")]).as_deref(), Some("text"));

    let head = assets.lookup(&Method::HEAD, "/a.txt", &HeaderMap::new()).expect("lookup").expect("reply");
    assert_eq!((head.status, text(&head, "content-length").as_str()), (StatusCode::OK, "4"));
    assert_eq!(text(&head, "etag"), tag);
    assert!(matches!(head.body, Body::Empty));
}

#[test]
fn text_is_compressed_for_those_who_accept_it() {
    let page = "<p>partyrun</p>".repeat(1000);
    let site = Site::new(&[("p.html", &page), ("p.png", &page), ("tiny.html", "x")]);
    fs::write(site.path("noise.js"), noise()).expect("file");
    site.settle();
    let assets = site.assets();
    let mut tags = std::collections::HashSet::new();
    for (accept, coding) in
        [("gzip, br", "br"), ("gzip", "gzip"), ("br;q=0.1, gzip", "gzip"), ("identity", ""), ("", "")]
    {
        for _ in 0..2 {
            let reply = get(&assets, "/p.html", &[("accept-encoding", accept)]).expect("reply");
            assert_eq!(
                (text(&reply, "content-encoding").as_str(), text(&reply, "vary").as_str()),
                (coding, "accept-encoding")
            );
            tags.insert(text(&reply, "etag"));
            let len: usize = text(&reply, "content-length").parse().expect("length");
            let bytes = content(reply);
            assert_eq!(bytes.len(), len);
            assert_eq!(decode(coding, &bytes), page.as_bytes(), "{accept}");
            assert!(coding.is_empty() || len < 500, "{len}");
        }
    }
    assert_eq!(tags.len(), 3);
    for path in ["/p.png", "/tiny.html", "/noise.js"] {
        assert_eq!(
            text(&get(&assets, path, &[("accept-encoding", "br")]).expect("reply"), "content-encoding"),
            "",
            "{path}"
        );
    }
    let head = assets
        .lookup(&Method::HEAD, "/p.html", &headers(&[("accept-encoding", "br")]))
        .expect("lookup")
        .expect("reply");
    assert!(text(&head, "content-encoding") == "br" && matches!(head.body, Body::Empty));
    let tag = text(&head, "etag");
    let again =
        get(&assets, "/p.html", &[("accept-encoding", "br"), ("if-none-match", &tag)]).expect("reply");
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    let part = get(&assets, "/p.html", &[("accept-encoding", "br"), ("range", "bytes=0-2")]).expect("reply");
    assert_eq!((part.status, text(&part, "content-encoding").as_str()), (StatusCode::PARTIAL_CONTENT, ""));
    assert_eq!(content(part), b"<p>");
    let off = site.assets_with(|options| options.compress = false);
    let reply = get(&off, "/p.html", &[("accept-encoding", "br")]).expect("reply");
    assert_eq!((text(&reply, "content-encoding").as_str(), text(&reply, "vary").as_str()), ("", ""));
    let small = site.assets_with(|options| options.compressed_bytes_max = 1000);
    assert_eq!(
        text(&get(&small, "/p.html", &[("accept-encoding", "br")]).expect("reply"), "content-encoding"),
        ""
    );
}

#[test]
fn memory_and_time_are_spent_within_the_limits() {
    let site = Site::new(&[("a.html", &"a".repeat(1000)), ("b.html", &"b".repeat(1001))]);
    site.settle();
    let with = |limits: Limits| Assets::new(site.path(""), Options::new(&limits)).expect("options");
    let kept = |assets: &Assets, path: &str| {
        let before = assets.memory_bytes();
        body(assets, path, &[]).expect("file");
        assets.memory_bytes() - before
    };
    let assets = with(Limits { asset_cached_bytes_max: 1000, ..Limits::default() });
    assert!(kept(&assets, "/a.html") >= 1000 && kept(&assets, "/b.html") == 0);
    let assets = with(Limits { asset_cache_bytes_max: 500, ..Limits::default() });
    assert_eq!((kept(&assets, "/a.html"), kept(&assets, "/b.html")), (0, 0));
    let assets = with(Limits { asset_compressed_bytes_max: 1000, ..Limits::default() });
    for (path, coding) in [("/a.html", "br"), ("/b.html", "")] {
        let reply = get(&assets, path, &[("accept-encoding", "br")]).expect("reply");
        assert_eq!(text(&reply, "content-encoding"), coding, "{path}");
    }
}

/// Bytes that no compressor makes smaller.
fn noise() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..1000).map(|_| next()).collect()
}

fn decode(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut plain).expect("brotli"),
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).expect("gzip"),
        _ => plain.write(bytes).expect("plain"),
    };
    plain
}

#[test]
fn files_compressed_beforehand_are_preferred_unless_stale() {
    let script = "let x = 1;".repeat(100);
    let site = Site::new(&[
        ("a.js", &script),
        ("a.js.br", "BROTLI"),
        ("a.js.gz", "GZIP"),
        ("b.js", &script),
        ("b.js.gz", ""),
    ]);
    let assets = site.assets();
    for (accept, coding, expected) in
        [("br, gzip", "br", "BROTLI"), ("gzip", "gzip", "GZIP"), ("", "", script.as_str())]
    {
        let reply = get(&assets, "/a.js", &[("accept-encoding", accept)]).expect("reply");
        assert_eq!(text(&reply, "content-encoding"), coding);
        assert_eq!(text(&reply, "content-type"), "text/javascript; charset=utf-8");
        assert_eq!(content(reply), expected.as_bytes());
    }
    let direct = get(&assets, "/a.js.gz", &[("accept-encoding", "gzip")]).expect("reply");
    assert_eq!(
        (text(&direct, "content-encoding").as_str(), text(&direct, "content-type").as_str()),
        ("", "application/gzip")
    );
    // An empty one is no compressed file.
    let reply = get(&assets, "/b.js", &[("accept-encoding", "gzip")]).expect("reply");
    assert_eq!(decode("gzip", &content(reply)), script.as_bytes());
    let old = std::time::SystemTime::now() - Duration::from_secs(60);
    File::options().write(true).open(site.path("a.js.br")).expect("open").set_modified(old).expect("time");
    let reply = get(&assets, "/a.js", &[("accept-encoding", "br")]).expect("reply");
    assert_eq!(decode("br", &content(reply)), script.as_bytes());
    // One that leads out of the root does not count either.
    fs::remove_file(site.path("a.js.gz")).expect("remove");
    symlink("../../secret.txt", site.path("a.js.gz")).expect("link");
    let reply = get(&assets, "/a.js", &[("accept-encoding", "gzip")]).expect("reply");
    assert_eq!(decode("gzip", &content(reply)), script.as_bytes());
}

#[test]
fn ranges_of_a_sparse_file_of_two_gigabytes() {
    const LEN: u64 = 2 << 30;
    let site = Site::new(&[]);
    let file = File::create(site.path("big.bin")).expect("file");
    file.set_len(LEN).expect("length");
    file.write_all_at(b"middle", LEN / 2).expect("write");
    file.write_all_at(b"end", LEN - 3).expect("write");
    let assets = site.assets();
    let ranged = |range: &str| get(&assets, "/big.bin", &[("range", range)]).expect("reply");
    let middle = LEN / 2;
    for (range, expected, first) in [
        ("bytes=-3".to_owned(), "end", LEN - 3),
        (format!("bytes={}-", LEN - 3), "end", LEN - 3),
        (format!("bytes={middle}-{}", middle + 5), "middle", middle),
    ] {
        let reply = ranged(&range);
        let last = first + expected.len() as u64 - 1;
        assert_eq!(reply.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(text(&reply, "content-range"), format!("bytes {first}-{last}/{LEN}"));
        assert_eq!(text(&reply, "content-length"), expected.len().to_string());
        assert_eq!(content(reply), expected.as_bytes(), "{range}");
    }
    let outside = ranged(&format!("bytes={LEN}-"));
    assert_eq!(outside.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(
        (text(&outside, "content-range"), text(&outside, "content-length")),
        (format!("bytes */{LEN}"), "0".into())
    );
    for range in ["bytes=0-1,5-6", "bytes=5-1", "lines=1-2"] {
        let whole = ranged(range);
        assert_eq!(
            (whole.status, text(&whole, "content-length")),
            (StatusCode::OK, LEN.to_string()),
            "{range}"
        );
        assert!(matches!(whole.body, Body::File { offset: 0, len: LEN, .. }));
    }
    let tag = text(&ranged("bytes=0-0"), "etag");
    let status = |condition: &str| {
        let fields = [("range", "bytes=0-0"), ("if-range", condition)];
        get(&assets, "/big.bin", &fields).expect("reply").status
    };
    assert_eq!((status(&tag), status("\"x\"")), (StatusCode::PARTIAL_CONTENT, StatusCode::OK));
    let head = assets
        .lookup(&Method::HEAD, "/big.bin", &headers(&[("range", "bytes=0-0")]))
        .expect("lookup")
        .expect("reply");
    assert_eq!((head.status, text(&head, "content-length")), (StatusCode::OK, LEN.to_string()));
}

#[test]
fn a_changed_replaced_or_removed_file_is_never_answered_from_memory() {
    let site = Site::new(&[("a.html", &"old ".repeat(100))]);
    site.settle();
    let assets = site.assets();
    let accept = [("accept-encoding", "br")];
    let read = || {
        let plain = body(&assets, "/a.html", &[]).expect("file");
        let packed = get(&assets, "/a.html", &accept).expect("file");
        assert_eq!(decode(&text(&packed, "content-encoding"), &content(packed)), plain.as_bytes());
        plain
    };
    let first = get(&assets, "/a.html", &[]).expect("reply");
    assert_eq!(read(), "old ".repeat(100));
    assert!(assets.memory_bytes() > 400);
    // In place, same length, many times within one step of the clock.
    for round in 0..200 {
        let text = format!("{round:03} ").repeat(100);
        fs::write(site.path("a.html"), &text).expect("file");
        assert_eq!(read(), text);
    }
    // Replaced by another file of the same length and modification time.
    let modified = fs::metadata(site.path("a.html")).and_then(|m| m.modified()).expect("time");
    site.write("b", &"new ".repeat(100));
    File::options().write(true).open(site.path("b")).expect("open").set_modified(modified).expect("time");
    fs::rename(site.path("b"), site.path("a.html")).expect("rename");
    assert_eq!(read(), "new ".repeat(100));
    fs::remove_file(site.path("a.html")).expect("remove");
    assert!(get(&assets, "/a.html", &[]).is_none());
    assert_eq!(content(first), "old ".repeat(100).as_bytes());
    // The folder goes and comes back.
    fs::remove_dir_all(site.path("")).expect("remove");
    assert!(get(&assets, "/a.html", &[]).is_none());
    site.write("a.html", "back");
    assert_eq!(body(&assets, "/a.html", &[]).as_deref(), Some("back"));
}

#[test]
fn a_file_that_goes_while_it_is_sent_is_sent_to_its_end() {
    // Too long to be kept in memory.
    let length = Limits::default().asset_cached_bytes_max + 1;
    let site = Site::new(&[("big.bin", &"x".repeat(length))]);
    let reply = get(&site.assets(), "/big.bin", &[]).expect("reply");
    fs::remove_file(site.path("big.bin")).expect("remove");
    assert!(matches!(&reply.body, Body::File { .. }));
    assert_eq!(content(reply).len(), length);
}

#[test]
fn readers_during_writes_never_see_a_mixture_of_lengths() {
    let site = Site::new(&[("a.txt", "0")]);
    let assets = site.assets();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0_usize;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                n += 1;
                let _ = fs::write(site.path("a.txt"), (n % 10).to_string().repeat(n * 37 % 30_000));
            }
        });
        for _ in 0..5_000 {
            let reply = get(&assets, "/a.txt", &[]).expect("reply");
            let promised: usize = text(&reply, "content-length").parse().expect("length");
            match &reply.body {
                Body::Bytes(bytes) => assert_eq!(bytes.len(), promised),
                Body::File { len, .. } => assert_eq!(*len as usize, promised),
                Body::Empty => panic!("no body"),
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_in_memory_is_answered_at_once_and_never_when_it_is_old() {
    let site = Site::new(&[("a.txt", "one"), ("sub/.keep", "")]);
    let assets = site.assets();
    let at_once = |path: &str| assets.lookup_at_once(&Method::GET, path, &HeaderMap::new());
    assert!(at_once("/a.txt").is_none(), "it was never read");
    // A file is kept once its time stamp is old enough to tell versions apart.
    let deadline = Instant::now() + Duration::from_secs(10);
    let reply = loop {
        assets.lookup(&Method::GET, "/a.txt", &HeaderMap::new()).expect("answer");
        if let Some(reply) = at_once("/a.txt") {
            break reply.expect("answer").expect("file");
        }
        assert!(Instant::now() < deadline, "it is never answered at once");
    };
    assert!(matches!(&reply.body, Body::Bytes(bytes) if bytes == "one"));
    assert!(matches!(at_once("/%zz"), Some(Err(AssetsError::UriMalformed))));
    site.write("a.txt", "two");
    assert!(at_once("/a.txt").is_none(), "the new content was never read");
    fs::remove_file(site.path("a.txt")).expect("remove");
    assert!(at_once("/a.txt").is_none_or(|reply| reply.is_ok_and(|reply| reply.is_none())));
}

#[test]
fn ten_thousand_files_stay_within_the_memory_given() {
    let site = Site::new(&[]);
    for folder in 0..100 {
        fs::create_dir(site.path(&format!("d{folder}"))).expect("folder");
        for file in 0..100 {
            let name = format!("d{folder}/f{file}.html");
            fs::write(site.path(&name), format!("{name} ").repeat(100)).expect("file");
        }
    }
    site.settle();
    let assets = site.assets_with(|options| options.cache_bytes_max = 1 << 20);
    for accept in ["", "gzip"] {
        for n in 0..10_000 {
            let name = format!("d{}/f{}.html", n / 100, n % 100);
            let reply = get(&assets, &format!("/{name}"), &[("accept-encoding", accept)]).expect("reply");
            let coding = text(&reply, "content-encoding");
            assert_eq!(decode(&coding, &content(reply)), format!("{name} ").repeat(100).as_bytes());
        }
    }
    assert!(assets.memory_bytes() <= 1 << 20, "{}", assets.memory_bytes());
}

#[test]
fn requests_for_one_file_at_once_agree() {
    let page = "many readers ".repeat(20_000);
    let site = Site::new(&[("p.html", &page)]);
    let assets = site.assets();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let reply = get(&assets, "/p.html", &[("accept-encoding", "br")]).expect("reply");
                    let coding = text(&reply, "content-encoding");
                    assert_eq!(Bytes::from(decode(&coding, &content(reply))), page.as_bytes());
                }
            });
        }
    });
}

//! Releases that somebody changed: none of them writes outside of its folder, and all that cannot be served say why in a line.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;

type File = (String, Vec<u8>);

/// Repeatable numbers.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

fn limits() -> Limits {
    Limits {
        release_code_bytes_max: 1 << 16,
        release_assets_bytes_max: 1 << 16,
        release_files_max: 40,
        release_name_bytes_max: 300,
        ..Limits::default()
    }
}

fn contents() -> Vec<File> {
    let long = format!("assets/{}/end.txt", "long".repeat(40));
    let files = [
        "bundle.js",
        "bundle.js.map",
        "wasm/0",
        "binaries/0",
        "assets/index.html",
        "assets/deep/a.txt",
        &long,
    ];
    files.iter().map(|name| (name.to_string(), format!("content of {name}").into_bytes())).collect()
}

fn manifest(files: &[File]) -> Value {
    let mut content = Content::new();
    for (name, bytes) in files {
        content.add(name, &**bytes, bytes.len() as u64).unwrap();
    }
    json!({
        "format": FORMAT, "partyrun": "0.1.0", "hash": content.hash(), "parties": ["other", "main"], "wasm": 1, "binaries": 1,
        "settings": { "name": "p", "vars": { "A": 1 }, "serve": { "path": "assets", "singlePageApp": false } },
    })
}

fn header(name: &[u8], kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    let place = &mut header.as_old_mut().name;
    let length = name.len().min(place.len());
    place[..length].copy_from_slice(&name[..length]);
    header.set_cksum();
    header
}

fn archive(manifest: &[u8], files: &[File]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    append(&mut archive, MANIFEST, manifest, manifest.len() as u64).unwrap();
    for (name, bytes) in files {
        if name.len() <= 100 {
            archive
                .append(&header(name.as_bytes(), tar::EntryType::Regular, bytes.len() as u64), &**bytes)
                .unwrap();
        } else {
            append(&mut archive, name, &**bytes, bytes.len() as u64).unwrap();
        }
    }
    archive.into_inner().unwrap()
}

fn packed(tar: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(tar).unwrap();
    packed.finish().unwrap()
}

/// A folder whose only changeable part is `data`, and what stands in it, to be seen again.
struct Sandbox(tempfile::TempDir);

impl Sandbox {
    fn new() -> Self {
        let sandbox = Self(tempfile::tempdir().unwrap());
        for file in ["beside.txt", "data/keep.sqlite", "data/releases.txt", "assets/index.html"] {
            let path = sandbox.path(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        sandbox
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn outside(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut open = vec![self.0.path().to_owned()];
        let own = self.path("data/release");
        while let Some(folder) = open.pop().filter(|folder| *folder != own) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path == own || path == self.path("r.partyrun") {
                    continue;
                }
                match path.is_dir() {
                    true => open.push(path),
                    false => found.push((path.clone(), std::fs::read(&path).unwrap())),
                }
            }
        }
        found.sort();
        found
    }

    /// Reads and unpacks a release, and looks that nothing happened where nothing may. The message of a refusal.
    fn take(&self, bytes: &[u8], what: &str) -> Option<String> {
        let before = self.outside();
        let path = self.path("r.partyrun");
        std::fs::write(&path, bytes).unwrap();
        let outcome = Release::read(&path, &limits())
            .and_then(|release| release.unpack(Some(&self.path("data")), false));
        assert_eq!(self.outside(), before, "{what}");
        let own = self.path("data/release");
        let releases: Vec<_> = std::fs::read_dir(own).into_iter().flatten().flatten().collect();
        assert!(releases.iter().all(|entry| entry.file_name().len() == 64), "{what}: {releases:?}");
        let message = outcome.err().map(|error| error.to_string())?;
        let is_line = !message.chars().any(char::is_control) && message.len() < 1000;
        assert!(is_line && message.contains("r.partyrun"), "{what}: {message:?}");
        Some(message)
    }
}

#[test]
fn what_was_written_is_unpacked() {
    let (sandbox, files) = (Sandbox::new(), contents());
    let tar = archive(manifest(&files).to_string().as_bytes(), &files);
    assert_eq!(sandbox.take(&packed(&tar), "as it is"), None);
    assert_eq!(sandbox.take(&packed(&tar), "once more"), None);
    let unpacked = std::fs::read_dir(sandbox.path("data/release")).unwrap().next().unwrap().unwrap().path();
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with(ASSETS)) {
        assert_eq!(std::fs::read(unpacked.join(name)).unwrap(), *bytes);
    }
}

#[test]
fn every_field_of_a_manifest_is_checked() {
    let (sandbox, files) = (Sandbox::new(), contents());
    let right = manifest(&files);
    let bad = [
        json!(null),
        json!(-1),
        json!(0),
        json!(1e300),
        json!(true),
        json!(""),
        json!("."),
        json!(".."),
        json!("../../x"),
        json!("/etc"),
        json!("a\0b"),
        json!("\u{1b}[2J"),
        json!("x".repeat(5000)),
        json!([]),
        json!([".."]),
        json!(["main", "main"]),
        json!({}),
        json!({ "path": "../.." }),
        json!({ "build": { "command": "touch x" } }),
        json!({ "persist": "../../x" }),
        json!({ "serve": "/etc" }),
        json!({ "serve": { "path": "/etc" } }),
        json!({ "main": "../x.ts" }),
        json!(u64::MAX),
        json!("0".repeat(64)),
        json!("A".repeat(64)),
        json!("g".repeat(64)),
    ];
    for field in ["format", "partyrun", "hash", "parties", "wasm", "binaries", "settings"] {
        for value in &bad {
            let mut changed = right.clone();
            changed[field] = value.clone();
            let what = format!("{field}: {value}");
            let refusal = sandbox.take(&packed(&archive(changed.to_string().as_bytes(), &files)), &what);
            let harmless = field == "partyrun"
                && (value == ""
                    || value == "."
                    || value == ".."
                    || value.as_str().is_some_and(|text| text.len() == 64))
                || field == "settings" && *value == json!({});
            assert_eq!(refusal.is_none(), harmless, "{what}: {refusal:?}");
        }
        let mut without = right.clone();
        without.as_object_mut().unwrap().remove(field);
        assert!(
            sandbox.take(&packed(&archive(without.to_string().as_bytes(), &files)), field).is_some(),
            "{field}"
        );
    }
    for setting in
        ["name", "port", "vars", "crons", "vectorize", "persist", "bindings", "ai", "serve", "build", "main"]
    {
        for value in [json!([1]), json!(-5), json!({ "x": { "y": [] } })] {
            let mut changed = right.clone();
            changed["settings"][setting] = value.clone();
            let refusal = sandbox.take(&packed(&archive(changed.to_string().as_bytes(), &files)), setting);
            // Variables may have any value.
            assert!(refusal.is_some() || setting == "vars" && value.is_object(), "{setting}: {value}");
        }
    }
}

#[test]
fn names_and_kinds_of_files_are_checked() {
    let (sandbox, files) = (Sandbox::new(), contents());
    let names = [
        "assets/../../../beside.txt",
        "../beside.txt",
        "/etc/passwd",
        "assets//x",
        "assets/./x",
        "assets/x/",
        "assets/..",
        "assets/",
        "assets",
        "",
        ".",
        "wasm/00",
        "wasm/-1",
        "wasm/x",
        "wasm/4294967296",
        "wasm/../x",
        "other.txt",
        "manifest.json",
        "bundle.js",
        "assets/index.html/x",
        "assets/deep",
        "assets/\u{1b}[2J/..",
        "assets/index.html",
    ];
    for name in names {
        let mut more = files.clone();
        more.push((name.to_string(), b"x".to_vec()));
        let tar = archive(manifest(&more).to_string().as_bytes(), &more);
        assert!(sandbox.take(&packed(&tar), name).is_some(), "{name}");
    }
    let long = |name: &str| {
        let mut more = files.clone();
        more.push((name.to_string(), b"x".to_vec()));
        let right = manifest(&more).to_string();
        let mut archive = tar::Builder::new(archive(right.as_bytes(), &files));
        // What ended the archive before is cut off.
        let end = archive.get_ref().len() - 1024;
        archive.get_mut().truncate(end);
        let bytes = [name.as_bytes(), b"\0"].concat();
        archive
            .append(&header(b"././@LongLink", tar::EntryType::GNULongName, bytes.len() as u64), &*bytes)
            .unwrap();
        archive.append(&header(b"short", tar::EntryType::Regular, 1), &b"x"[..]).unwrap();
        packed(&archive.into_inner().unwrap())
    };
    assert_eq!(sandbox.take(&long("assets/named.txt"), "a long name"), None);
    for name in
        ["../../x", "/tmp/x", "assets/../../x", &format!("assets/{}", "n".repeat(300)), &"n".repeat(1 << 20)]
    {
        assert!(sandbox.take(&long(name), "a long name").is_some());
    }
    use tar::EntryType as Kind;
    let kinds = [
        Kind::Link,
        Kind::Symlink,
        Kind::Char,
        Kind::Block,
        Kind::Directory,
        Kind::Fifo,
        Kind::GNULongLink,
        Kind::GNUSparse,
        Kind::XGlobalHeader,
        Kind::XHeader,
        Kind::Continuous,
    ];
    for kind in kinds {
        let mut archive = tar::Builder::new(archive(manifest(&files).to_string().as_bytes(), &files));
        let end = archive.get_ref().len() - 1024;
        archive.get_mut().truncate(end);
        let mut odd = header(b"assets/odd", kind, 20);
        odd.set_link_name("../../../beside.txt").unwrap();
        odd.set_cksum();
        archive.append(&odd, &b"20 path=../../x.txt\n"[..]).unwrap();
        archive.append(&header(b"assets/odd/x", Kind::Regular, 1), &b"x"[..]).unwrap();
        assert!(
            sandbox.take(&packed(&archive.into_inner().unwrap()), &format!("{kind:?}")).is_some(),
            "{kind:?}"
        );
    }
}

#[test]
fn limits_of_releases() {
    let sandbox = Sandbox::new();
    let with = |more: Vec<File>| {
        let files: Vec<File> = contents().into_iter().chain(more).collect();
        packed(&archive(manifest(&files).to_string().as_bytes(), &files))
    };
    let refusal = |more| sandbox.take(&with(more), "a limit").unwrap();
    assert!(refusal(vec![("assets/big".to_string(), vec![0; 1 << 17])]).contains("release_assets_bytes_max"));
    assert!(refusal(vec![("wasm/1".to_string(), vec![0; 1 << 17])]).contains("release_code_bytes_max"));
    let many = (0..50).map(|number| (format!("assets/{number}"), Vec::new())).collect();
    assert!(refusal(many).contains("release_files_max"));
    let length = |name: &str, bytes| archive::check_written(&[(name.to_string(), bytes)], &limits());
    assert!(length("assets/a", 1 << 16).is_ok() && length("assets/a", (1 << 16) + 1).is_err());
    assert!(
        length("assets/a", u64::MAX).is_err() && length(&format!("assets/{}", "n".repeat(300)), 1).is_err()
    );
}

#[test]
fn changed_bytes_are_refused_or_do_no_harm() {
    let (sandbox, files) = (Sandbox::new(), contents());
    let tar = archive(manifest(&files).to_string().as_bytes(), &files);
    let whole = packed(&tar);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..1500 {
        let (mut bytes, is_packed) =
            if round % 3 == 0 { (whole.clone(), true) } else { (tar.clone(), false) };
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(bytes.len());
            match dice.roll(5) {
                0 => bytes[at] = dice.roll(256) as u8,
                1 => bytes[at] ^= 1 << dice.roll(8),
                2 => bytes.truncate(at.max(1)),
                3 => drop(bytes.drain(at..(at + dice.roll(600)).min(bytes.len()))),
                _ => {
                    let piece = bytes[at..(at + 512).min(bytes.len())].to_vec();
                    let to = dice.roll(bytes.len());
                    drop(bytes.splice(to..to, piece));
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        if round % 3 == 1 {
            // Headers that are right for what they say now.
            for start in (0..bytes.len().saturating_sub(511)).step_by(512) {
                if bytes[start + 257..start + 262] == *b"ustar" {
                    let header = tar::Header::from_byte_slice(&bytes[start..start + 512]);
                    let mut header = header.clone();
                    header.set_cksum();
                    bytes[start..start + 512].copy_from_slice(header.as_bytes());
                }
            }
        }
        let bytes = if is_packed { bytes } else { packed(&bytes) };
        let changed = unpacked_content(&bytes) != unpacked_content(&whole);
        let refusal = sandbox.take(&bytes, &format!("round {round}"));
        assert!(refusal.is_some() || !changed, "round {round} was taken");
    }
}

// The files of an archive but for the manifest, as a tool that trusts it sees them, without what headers say besides.
fn unpacked_content(bytes: &[u8]) -> Option<Vec<(PathBuf, Vec<u8>)>> {
    let mut archive = tar::Archive::new(GzDecoder::new(bytes));
    let mut found = Vec::new();
    for entry in archive.entries().ok()? {
        let mut entry = entry.ok()?;
        let name = Path::new(&*entry.path().ok()?).to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).ok()?;
        if name != Path::new(MANIFEST) {
            found.push((name, content));
        }
    }
    Some(found)
}

#[test]
fn a_file_that_is_listed_often_is_refused_before_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let files = [("bundle.js".to_string(), b"code".to_vec()), ("assets/a".to_string(), vec![0; 10_000])];
    let hash: String = Sha256::digest(&files[1].1).iter().map(|byte| format!("{byte:02x}")).collect();
    let complete = |count: usize| {
        let listed: Vec<Value> =
            (0..count).map(|number| json!({ "name": format!("assets/{number}"), "hash": hash })).collect();
        let listed = json!(listed).to_string();
        let archive = packed(&archive(manifest(&files).to_string().as_bytes(), &files));
        let (sent, whole) = (folder.path().join("sent"), folder.path().join("whole"));
        let length = (listed.len() as u64).to_le_bytes();
        std::fs::write(&sent, [&length[..], listed.as_bytes(), &archive].concat()).unwrap();
        let error = thin::complete(&sent, &[], &whole, &limits()).unwrap_err().to_string();
        (whole.exists(), error)
    };
    let (written, error) = complete(7);
    assert!(!written && error.contains("release_assets_bytes_max"), "{error}");
    // Within the limits it is written, and refused for what it is.
    let (written, error) = complete(6);
    assert!(written && error.contains("hash"), "{error}");
}

#[test]
fn a_manifest_that_would_fill_the_memory_is_refused_by_its_length() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("r.partyrun");
    let text = format!(r#"{{"format":{FORMAT},"settings":[0{}]}}"#, ",0".repeat(3 << 20));
    std::fs::write(&path, packed(&archive(text.as_bytes(), &[]))).unwrap();
    let error = Release::read(&path, &Limits::default()).err().unwrap().to_string();
    assert!(error.contains("is longer than"), "{error}");
}

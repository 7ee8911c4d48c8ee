//! The site of the documents: mdBook builds it, and every link on every page of it leads to a page, a file or a heading that is
//! there. Without mdBook the test is skipped; CI brings it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

// All files below a folder, with their paths in it.
fn files(root: &Path, below: &Path, found: &mut BTreeMap<PathBuf, String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(below)? {
        let path = entry?.path();
        if path.is_dir() {
            files(root, &path, found)?;
        } else {
            let is_page = path.extension().is_some_and(|extension| extension == "html");
            let text = if is_page { std::fs::read_to_string(&path)? } else { String::new() };
            found.insert(path.strip_prefix(root).unwrap_or(&path).to_path_buf(), text);
        }
    }
    Ok(())
}

// The values of an attribute in a page.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    page.split(&format!(" {attribute}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn every_link_of_the_site_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mdbook = root.join("target/tools/bin/mdbook");
    if !mdbook.exists() {
        let all = std::env::var("PARTYRUN_TESTS").is_ok_and(|tests| tests == "all");
        assert!(!all, "PARTYRUN_TESTS=all, but there is no {}", mdbook.display());
        return eprintln!("skipped: there is no {}: docs/book/build brings it", mdbook.display());
    }
    let built = Command::new(root.join("docs/book/build")).arg(&mdbook).output().unwrap();
    let text = String::from_utf8_lossy(&[built.stdout, built.stderr].concat()).into_owned();
    assert!(built.status.success() && !text.contains("WARN") && !text.contains("ERROR"), "{text}");
    let site = root.join("target/book/site");
    let mut found = BTreeMap::new();
    files(&site, &site, &mut found).unwrap();
    let (mut links, mut parts) = (0, 0);
    for (path, page) in &found {
        // The page for addresses that are not there is served at any depth.
        if path.ends_with("404.html") {
            continue;
        }
        for target in values(page, "href").into_iter().chain(values(page, "src")) {
            if target.contains("://") || target.starts_with("data:") {
                continue;
            }
            let (file, part) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let other = found.get(&file);
            assert!(other.is_some(), "{}: {target} leads nowhere", path.display());
            if !part.is_empty() {
                let is_there = other.is_some_and(|page| values(page, "id").contains(&part));
                assert!(is_there, "{}: {target}: no such heading", path.display());
                parts += 1;
            }
            links += 1;
        }
    }
    assert!(links > 1000 && parts > 100, "{links} links, {parts} of them to headings");
    assert!(
        found.keys().any(|path| path.to_string_lossy().starts_with("searchindex")),
        "the site has no search"
    );
}

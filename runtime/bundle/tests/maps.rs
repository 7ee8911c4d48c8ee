//! Source maps that packages ship: traces name the original file, and no map, whatever it holds, fails a build.

mod common;

use std::fmt::Write;

use common::{Outcome, Project};
use partyrun_bundle::{BundleOptions, Bundler};
use partyrun_limits::Limits;

const PUBLISHED: &str = "function n(e){const t=`because ${e.text}`;throw new Error(t)}export{n as fail};\n//# sourceMappingURL=fail.js.map\n";
const MAPPINGS: &str =
    "AAKO,SAASA,EAAKC,EAAuB,CAC1C,MAAMC,EAAU,WAAWD,EAAO,IAAI,GACtC,MAAM,IAAI,MAAMC,CAAO,CACzB";
const ORIGINAL: &str = "interface Reason {\n  text: string;\n}\n\n/** Throws, and says why. */\nexport function fail(\
                        reason: Reason): never {\n  const message = `because ${reason.text}`;\n  throw new Error(message);\n}\n";
const MAIN: &str = "import { fail } from 'shipped';\n\nfail({ text: 'x' });";
const AS_PUBLISHED: &str = "node_modules/shipped/dist/fail.js:1:49";
const AS_WRITTEN: &str = "node_modules/shipped/src/fail.ts:8:9";

fn map(source: &str, content: Option<&str>) -> serde_json::Value {
    serde_json::json!({ "version": 3, "sources": [source], "sourcesContent": [content], "mappings": MAPPINGS, "names": [] })
}

fn project(published: &str, files: &[(&str, &str)]) -> Outcome<Project> {
    let project = Project::new(&[
        ("main.ts", MAIN),
        ("node_modules/shipped/package.json", r#"{ "type": "module", "main": "dist/fail.js" }"#),
        ("node_modules/shipped/dist/fail.js", published),
    ])?;
    for (file, text) in files {
        project.write(&format!("node_modules/shipped/{file}"), text.as_bytes())?;
    }
    Ok(project)
}

fn trace(place: &str) -> String {
    format!("threw Error: because x\n  at file:///{place}\n  at file:///main.ts:3:1")
}

#[test]
fn a_trace_names_what_the_package_was_made_of() -> Outcome<()> {
    use base64::Engine as _;
    let with_text = map("../src/fail.ts", Some(ORIGINAL)).to_string();
    let beside = map("../src/fail.ts", None).to_string();
    let rooted = serde_json::json!({ "version": 3, "sourceRoot": "../src/", "sources": ["fail.ts"], "mappings": MAPPINGS });
    let code = PUBLISHED.lines().next().unwrap_or_default();
    let encoded = base64::engine::general_purpose::STANDARD.encode(&with_text);
    let inside = format!("{code}\n//# sourceMappingURL=data:application/json;charset=utf-8;base64,{encoded}");
    let percent: String = with_text.bytes().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "%{byte:02X}");
        text
    });
    let as_text = format!("{code}\n//# sourceMappingURL=data:application/json,{percent}");
    let guarded = format!(")]}}'\n{with_text}");
    let renamed = format!("{code}\n/*# sourceMappingURL=a%20map.json?v=1 */\n// The end.\n");
    type Files<'a> = &'a [(&'a str, &'a str)];
    let table: [(&str, &str, Files<'_>); 8] = [
        ("the text in the map", PUBLISHED, &[("dist/fail.js.map", &with_text)]),
        ("the text beside it", PUBLISHED, &[("dist/fail.js.map", &beside), ("src/fail.ts", ORIGINAL)]),
        ("sourceRoot", PUBLISHED, &[("dist/fail.js.map", &rooted.to_string()), ("src/fail.ts", ORIGINAL)]),
        ("base64", &inside, &[]),
        ("percent", &as_text, &[]),
        ("the guard against inclusion", PUBLISHED, &[("dist/fail.js.map", &guarded)]),
        ("another name", &renamed, &[("dist/a map.json", &with_text)]),
        ("no map", code, &[]),
    ];
    for (name, published, files) in table {
        let place = if name == "no map" { AS_PUBLISHED } else { AS_WRITTEN };
        let log = project(published, files)?.log("main.ts")?;
        assert_eq!(log, trace(place), "{name}");
    }
    Ok(())
}

#[test]
fn a_minified_bundle_keeps_it() -> Outcome<()> {
    let project =
        project(PUBLISHED, &[("dist/fail.js.map", &map("../src/fail.ts", Some(ORIGINAL)).to_string())])?;
    let options = BundleOptions { minify: true, ..project.options("main.ts") };
    let bundle = Bundler::new(options).build()?;
    assert_eq!(project.log_of(&bundle)?, trace(AS_WRITTEN));
    let map: serde_json::Value = serde_json::from_slice(bundle.source_map.as_ref())?;
    assert_eq!(map["sources"][0], "file:///node_modules/shipped/src/fail.ts");
    assert_eq!(map["sourcesContent"][0], ORIGINAL);
    Ok(())
}

#[test]
fn a_changed_map_counts_although_the_code_is_the_same() -> Outcome<()> {
    let project =
        project(PUBLISHED, &[("dist/fail.js.map", &map("../src/fail.ts", Some(ORIGINAL)).to_string())])?;
    let options = BundleOptions { cache_dir: Some(project.0.join("cache")), ..project.options("main.ts") };
    let mut bundler = Bundler::new(options.clone());
    for bundler in [&mut bundler, &mut Bundler::new(options)] {
        assert_eq!(project.log_of(&bundler.build()?)?, trace(AS_WRITTEN));
    }
    let moved = map("../lib/fail.ts", Some(ORIGINAL)).to_string();
    project.write("node_modules/shipped/dist/fail.js.map", moved.as_bytes())?;
    assert_eq!(project.log_of(&bundler.build()?)?, trace("node_modules/shipped/lib/fail.ts:8:9"));
    std::fs::remove_file(project.0.join("node_modules/shipped/dist/fail.js.map"))?;
    assert_eq!(project.log_of(&bundler.build()?)?, trace(AS_PUBLISHED));
    Ok(())
}

#[test]
fn a_wrong_map_is_no_map() -> Outcome<()> {
    let good = map("../src/fail.ts", Some(ORIGINAL));
    let with = |key: &str, value: serde_json::Value| {
        let mut map = good.clone();
        map[key] = value;
        map.to_string()
    };
    let maps = [
        String::new(),
        "{".into(),
        "null".into(),
        "[]".into(),
        good.to_string().replace('}', ""),
        with("version", 2.into()),
        with("version", "3".into()),
        with("sources", serde_json::json!([])),
        with("sources", serde_json::json!([null])),
        with("sources", 7.into()),
        with("sourcesContent", serde_json::json!([null])),
        with("sourcesContent", serde_json::json!(["short"])),
        with("mappings", 5.into()),
        with("mappings", "AAAA!".into()),
        with("mappings", "AA".into()),
        with("mappings", "AAAAAAAAAAAA".into()),
        with("mappings", "g".into()),
        with("mappings", "ggggggggggggggggggggA".into()),
        with("mappings", "ACAA".into()),
        with("mappings", "AADAA,2gggggEAAA,DDDD".into()),
        with("mappings", ";".repeat(1_000_000).into()),
        with("mappings", "AAAA,".repeat(200_000).into()),
    ];
    for map in maps {
        let project = project(PUBLISHED, &[("dist/fail.js.map", &map)])?;
        let log = project.log("main.ts")?;
        let shown: String = map.chars().take(300).collect();
        // The last of them is a right one: everything comes from the first line.
        let expected =
            if map.contains("AAAA,AAAA") { "node_modules/shipped/src/fail.ts:1:1" } else { AS_PUBLISHED };
        assert_eq!(log, trace(expected), "{shown}");
    }
    Ok(())
}

#[test]
fn places_outside_of_files_are_left_out_alone() -> Outcome<()> {
    // One mapping is that of the trace, the others lead to lines and columns that are not there.
    for mappings in ["AAAAA,gDAOQ,IAw+Bw+B", "AAw+BA,gDAj+BQ", "AAAAA,gDAOQ;;;;;;AAAA;AAAA", "gDAOQ,vCAA"] {
        let mut map = map("../src/fail.ts", Some(ORIGINAL));
        map["mappings"] = mappings.into();
        let log = project(PUBLISHED, &[("dist/fail.js.map", &map.to_string())])?.log("main.ts")?;
        let expected = if mappings.ends_with("vCAA") { AS_PUBLISHED } else { AS_WRITTEN };
        assert_eq!(log, trace(expected), "{mappings}");
    }
    Ok(())
}

#[test]
fn nothing_outside_of_the_package_is_read() -> Outcome<()> {
    let secret = map("../src/fail.ts", Some("secret")).to_string();
    for url in [
        "../../../outside.map",
        "/outside.map",
        "file:///outside.map",
        "https://example.com/fail.js.map",
        "linked.map",
    ] {
        let published = PUBLISHED.replace("fail.js.map", url);
        let project = project(&published, &[])?;
        project.write("outside.map", secret.as_bytes())?;
        project.link("outside.map", "node_modules/shipped/dist/linked.map")?;
        assert_eq!(project.log("main.ts")?, trace(AS_PUBLISHED), "{url}");
    }
    let sources = [
        "../../../outside.ts",
        "/outside.ts",
        "file:///outside.ts",
        "webpack://shipped/../../../outside.ts",
        "linked.ts",
        "..",
        ".",
    ];
    for source in sources {
        let project = project(PUBLISHED, &[("dist/fail.js.map", &map(source, None).to_string())])?;
        project.write("outside.ts", ORIGINAL.as_bytes())?;
        project.link("outside.ts", "node_modules/shipped/dist/linked.ts")?;
        assert_eq!(project.log("main.ts")?, trace(AS_PUBLISHED), "{source}");
    }
    // A name that leads out is only a name.
    let project = project(
        PUBLISHED,
        &[("dist/fail.js.map", &map("../../../../../src/fail.ts", Some(ORIGINAL)).to_string())],
    )?;
    assert_eq!(project.log("main.ts")?, trace(AS_WRITTEN));
    Ok(())
}

#[test]
fn strange_files_are_no_maps() -> Outcome<()> {
    let project = project(PUBLISHED, &[])?;
    let path = project.0.join("node_modules/shipped/dist/fail.js.map");
    // A folder.
    std::fs::create_dir(&path)?;
    assert_eq!(project.log("main.ts")?, trace(AS_PUBLISHED));
    std::fs::remove_dir(&path)?;
    // A link to itself.
    std::os::unix::fs::symlink(&path, &path)?;
    assert_eq!(project.log("main.ts")?, trace(AS_PUBLISHED));
    std::fs::remove_file(&path)?;
    // A pipe that nobody writes to.
    assert!(std::process::Command::new("mkfifo").arg(&path).status()?.success());
    assert_eq!(project.log("main.ts")?, trace(AS_PUBLISHED));
    std::fs::remove_file(&path)?;
    // Longer than the limit.
    let long = map("../src/fail.ts", Some(&format!("{ORIGINAL}{}", " ".repeat(4096)))).to_string();
    std::fs::write(&path, long)?;
    assert_eq!(project.log("main.ts")?, trace(AS_WRITTEN));
    let limits = Limits { source_map_bytes_max: 4096, ..Limits::default() };
    let options = BundleOptions { limits, ..project.options("main.ts") };
    assert_eq!(project.log_of(&Bundler::new(options).build()?)?, trace(AS_PUBLISHED));
    Ok(())
}

#[test]
fn broken_maps_of_many_kinds() -> Outcome<()> {
    let whole = map("../src/fail.ts", Some(ORIGINAL));
    let sections = index(&[(0, 0, whole.clone()), (0, 48, index(&[(0, 0, whole.clone())]))]);
    let good = [whole.to_string(), sections.to_string()];
    let project = project(PUBLISHED, &[])?;
    let mut state = 2_463_534_242u32;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % limit.max(1)
    };
    for round in 0..500 {
        let mut bytes = good[round % 2].clone().into_bytes();
        for _ in 0..=below(6) {
            let at = below(bytes.len());
            match below(3) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, b"A;,\"{}[]g9/+\\\0"[below(14)]),
                _ => bytes[at..].iter_mut().take(1).for_each(|byte| *byte = byte.wrapping_add(1)),
            }
        }
        project.write("node_modules/shipped/dist/fail.js.map", &bytes)?;
        let built = project.build("main.ts");
        assert!(built.is_ok(), "round {round}: {}", String::from_utf8_lossy(&bytes));
    }
    Ok(())
}

/// Sections by their offsets.
fn index(sections: &[(u32, u32, serde_json::Value)]) -> serde_json::Value {
    let sections = sections.iter().map(
        |(line, column, map)| serde_json::json!({ "offset": { "line": line, "column": column }, "map": map }),
    );
    serde_json::json!({ "version": 3, "sections": sections.collect::<Vec<_>>() })
}

fn mapped(source: &str, mappings: &str) -> serde_json::Value {
    serde_json::json!({ "version": 3, "sources": [source], "mappings": mappings })
}

// The column of what is thrown, and the mapping of that place where it begins a section.
const THROWN: u32 = 48;
const AS_THROWN: &str = "AAOQ";

#[test]
fn index_maps_are_followed() -> Outcome<()> {
    let whole = || mapped("../src/fail.ts", MAPPINGS);
    let thrown = || mapped("../src/fail.ts", AS_THROWN);
    let other = || mapped("../src/other.ts", MAPPINGS);
    let long = PUBLISHED.replace("function", "const a='\u{e9}\u{1f600}';function");
    let second = format!("const a = 1;\n{PUBLISHED}");
    let table = [
        ("one section", PUBLISHED, index(&[(0, 0, whole())])),
        (
            "the second, although the first one reaches over",
            PUBLISHED,
            index(&[(0, 0, other()), (0, THROWN, thrown())]),
        ),
        ("the first", PUBLISHED, index(&[(0, 0, whole()), (0, THROWN + 1, other())])),
        ("of two in one place the last", PUBLISHED, index(&[(0, 0, other()), (0, 0, whole())])),
        ("one beyond the end", PUBLISHED, index(&[(0, 0, whole()), (u32::MAX, u32::MAX, other())])),
        ("sections of sections", PUBLISHED, index(&[(0, 40, index(&[(0, 1, other()), (0, 8, thrown())]))])),
        ("on the second line", &second, index(&[(0, 0, other()), (1, 0, whole())])),
        ("inside of the second line", &second, index(&[(0, 7, other()), (1, THROWN, thrown())])),
        (
            "columns count in a section's first line",
            &second,
            index(&[(0, 5, mapped("../src/fail.ts", ";gDAOQ"))]),
        ),
        ("nested on the second line", &second, index(&[(1, 0, index(&[(0, THROWN, thrown())]))])),
        ("nested a line further", &second, index(&[(0, 9, index(&[(1, THROWN, thrown())]))])),
        ("columns are those of UTF-16", &long, index(&[(0, 0, other()), (0, THROWN + 14, thrown())])),
    ];
    for (name, published, map) in table {
        let files = [("dist/fail.js.map", map.to_string())];
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        let project = project(published, &files)?;
        project.write("node_modules/shipped/src/fail.ts", ORIGINAL.as_bytes())?;
        project.write("node_modules/shipped/src/other.ts", ORIGINAL.as_bytes())?;
        assert_eq!(project.log("main.ts")?, trace(AS_WRITTEN), "{name}: {map}");
    }
    Ok(())
}

#[test]
fn a_wrong_index_map_is_no_map() -> Outcome<()> {
    let good = || map("../src/fail.ts", Some(ORIGINAL));
    let with = |sections: serde_json::Value| serde_json::json!({ "version": 3, "sections": sections });
    let at = |offset: serde_json::Value| with(serde_json::json!([{ "offset": offset, "map": good() }]));
    let broken = |key: &str, value: serde_json::Value| {
        let mut map = good();
        map[key] = value;
        index(&[(0, 0, map)])
    };
    let deep = (0..60).fold(good(), |map, _| index(&[(0, 0, map)]));
    let outer_version = serde_json::json!({ "version": 2, "sections": index(&[(0, 0, good())])["sections"] });
    let maps = [
        with(serde_json::json!([])),
        with(serde_json::json!({})),
        with(7.into()),
        with(serde_json::json!([null])),
        with(serde_json::json!([{}])),
        with(serde_json::json!([{ "offset": { "line": 0, "column": 0 } }])),
        with(serde_json::json!([{ "offset": { "line": 0, "column": 0 }, "url": "fail.js.map" }])),
        with(serde_json::json!([{ "offset": { "line": 0, "column": 0 }, "map": null }])),
        with(serde_json::json!([{ "offset": { "line": 0, "column": 0 }, "map": "fail.js.map" }])),
        with(serde_json::json!([{ "map": good() }])),
        at(0.into()),
        at(serde_json::json!({ "line": 0 })),
        at(serde_json::json!({ "line": -1, "column": 0 })),
        at(serde_json::json!({ "line": 0.5, "column": 0 })),
        at(serde_json::json!({ "line": "0", "column": 0 })),
        at(serde_json::json!({ "line": 0, "column": 10_000_000_000u64 })),
        // Out of order, in itself and with the next; one offset that leads too far.
        index(&[(0, 1, good()), (0, 0, good())]),
        index(&[(1, 0, good()), (0, 9, good())]),
        index(&[(0, 0, index(&[(0, 0, good()), (0, 20, good())])), (0, 19, good())]),
        index(&[(0, u32::MAX, index(&[(0, 1, good())]))]),
        index(&[(u32::MAX, 0, index(&[(1, 0, good())]))]),
        broken("version", 2.into()),
        broken("sources", 7.into()),
        broken("mappings", "AAAA!".into()),
        broken("mappings", serde_json::Value::Null),
        outer_version,
        deep,
        // Right ones, of which none is about the place.
        index(&[(0, THROWN + 1, mapped("../src/fail.ts", AS_THROWN))]),
        index(&[(0, 0, good()), (0, THROWN, mapped("../src/fail.ts", ""))]),
        index(&[(1, 0, good())]),
    ];
    for map in maps {
        let log = project(PUBLISHED, &[("dist/fail.js.map", &map.to_string())])?.log("main.ts")?;
        assert_eq!(log, trace(AS_PUBLISHED), "{map}");
    }
    Ok(())
}

#[test]
fn very_many_sections_take_no_time() -> Outcome<()> {
    // Each names the same long file, which is read once, and begins in the same long line, which is not ASCII.
    let long = format!("{ORIGINAL}{}", " ".repeat(1_000_000));
    let published =
        PUBLISHED.replace("function", &format!("const a='{}';function", "\u{e9}".repeat(200_000)));
    let mut sections: Vec<_> =
        (0..100_000).map(|column| (0, column, mapped("../src/fail.ts", "AAAA"))).collect();
    sections.push((0, THROWN + 200_011, mapped("../src/fail.ts", AS_THROWN)));
    let backwards = format!("{}gDAOQ", "gggMAAAA,hggMAAAA,".repeat(100_000));
    for (published, map) in [
        (published.as_str(), index(&sections)),
        (&published, index(&[(0, 200_011, mapped("../src/fail.ts", &backwards))])),
        (PUBLISHED, index(&vec![(0, THROWN, mapped("../src/fail.ts", AS_THROWN)); 100_000])),
    ] {
        let project = project(published, &[("dist/fail.js.map", &map.to_string()), ("src/fail.ts", &long)])?;
        let begun = std::time::Instant::now();
        assert_eq!(project.log("main.ts")?, trace(AS_WRITTEN));
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }
    Ok(())
}

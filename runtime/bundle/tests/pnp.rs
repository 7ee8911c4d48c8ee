//! Projects of Yarn Plug'n'Play: packages are read out of archives, and what is wrong with them is said.

mod common;

use common::{Outcome, Project};
use partyrun_bundle::{BundleOptions, Bundler};

/// A zip archive whose files are stored as they are.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    let numbers = |list: &[u16]| list.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    for (name, text) in files {
        let (size, length) = ((text.len() as u32).to_le_bytes(), name.len() as u16);
        let offset = (bytes.len() as u32).to_le_bytes();
        // Version, flags, method, time, date, checksum; sizes; lengths of the name and of what else there is.
        let head =
            [numbers(&[20, 0, 0, 0, 0, 0, 0]), size.to_vec(), size.to_vec(), numbers(&[length, 0])].concat();
        bytes.extend([b"PK\x03\x04".as_slice(), &head, name.as_bytes(), text.as_bytes()].concat());
        directory.extend([b"PK\x01\x02".as_slice(), &numbers(&[20]), &head].concat());
        directory.extend([numbers(&[0, 0, 0, 0, 0]).as_slice(), &offset, name.as_bytes()].concat());
    }
    let (start, size) = ((bytes.len() as u32).to_le_bytes(), (directory.len() as u32).to_le_bytes());
    let count = files.len() as u16;
    bytes.extend(directory);
    bytes
        .extend([b"PK\x05\x06".as_slice(), &numbers(&[0, 0, count, count]), &size, &start, &[0, 0]].concat());
    bytes
}

const ZIP: &str = ".yarn/cache/greet-npm-1.0.0.zip";

fn state() -> serde_json::Value {
    let location = format!("./{ZIP}/node_modules/greet/");
    serde_json::json!({
        "dependencyTreeRoots": [{ "name": "app", "reference": "workspace:." }],
        "enableTopLevelFallback": true,
        "fallbackExclusionList": [["app", ["workspace:."]]],
        "fallbackPool": [],
        "packageRegistryData": [
            [null, [[null, { "packageLocation": "./", "packageDependencies": [["greet", "npm:1.0.0"]], "linkType": "SOFT" }]]],
            ["app", [["workspace:.", { "packageLocation": "./", "packageDependencies": [["greet", "npm:1.0.0"]], "linkType": "SOFT" }]]],
            ["greet", [["npm:1.0.0", { "packageLocation": location, "packageDependencies": [["greet", "npm:1.0.0"]], "linkType": "HARD" }]]],
        ],
    })
}

fn manifest() -> String {
    format!("const RAW_RUNTIME_STATE =\n'{}';\n", state())
}

fn project() -> Outcome<Project> {
    let project = Project::new(&[
        ("package.json", r#"{ "name": "app" }"#),
        ("main.ts", "import { greet } from 'greet'; print(greet('you'))"),
        (".pnp.cjs", &manifest()),
    ])?;
    project.write(
        ZIP,
        &archive(&[
            (
                "node_modules/greet/package.json",
                r#"{ "name": "greet", "type": "module", "exports": "./lib/index.js" }"#,
            ),
            (
                "node_modules/greet/lib/index.js",
                "import { word } from './word.js';\nexport const greet = (name) => `${word} ${name}`;",
            ),
            ("node_modules/greet/lib/word.js", "export const word = 'hello';"),
        ]),
    )?;
    Ok(project)
}

#[test]
fn packages_are_read_out_of_archives() -> Outcome<()> {
    let project = project()?;
    let options = BundleOptions { cache_dir: Some(project.0.join("cache")), ..project.options("main.ts") };
    let mut bundler = Bundler::new(options.clone());
    let bundle = bundler.build()?;
    assert_eq!(project.log_of(&bundle)?, "hello you");
    // A change of the archive or of the list of packages is a change of the project.
    for file in [ZIP, ".pnp.cjs"] {
        assert!(bundle.inputs.contains(&project.0.join(file)), "{file}: {:?}", bundle.inputs);
    }
    assert_eq!(Bundler::new(options).build()?.code, bundle.code);
    project.write(
        ZIP,
        &archive(&[
            ("node_modules/greet/package.json", r#"{ "name": "greet" }"#),
            ("node_modules/greet/index.js", "exports.greet = (name) => 'bye ' + name;"),
        ]),
    )?;
    assert_eq!(project.log_of(&bundler.build()?)?, "bye you");
    Ok(())
}

#[test]
fn what_is_wrong_is_said() -> Outcome<()> {
    let project = project()?;
    project.write("main.ts", b"import 'nothing'")?;
    let text = project.errors("main.ts")?.to_string();
    assert!(
        text.contains("Could not resolve \"nothing\"") && text.contains("help: yarn add nothing"),
        "{text}"
    );
    project.write("main.ts", b"import 'greet'")?;
    project.write(".pnp.cjs", b"const data = require('./.pnp.data.json');")?;
    let text = project.errors("main.ts")?.to_string();
    assert!(text.contains("nodeLinker: node-modules"), "{text}");
    Ok(())
}

const APART: &str = ".pnp.data.json";

// As with `pnpEnableInlining: false`.
fn project_apart(list: &str) -> Outcome<Project> {
    let project = project()?;
    project.write(".pnp.cjs", b"const data = require('./.pnp.data.json');")?;
    project.write(APART, list.as_bytes())?;
    Ok(project)
}

#[test]
fn the_list_may_be_a_file_of_its_own() -> Outcome<()> {
    let project = project_apart(&state().to_string())?;
    let mut bundler = Bundler::new(project.options("main.ts"));
    let bundle = bundler.build()?;
    assert_eq!(project.log_of(&bundle)?, "hello you");
    for file in [ZIP, APART] {
        assert!(bundle.inputs.contains(&project.0.join(file)), "{file}: {:?}", bundle.inputs);
    }
    // From a folder below it, and when it changes.
    project.write("packages/one/main.ts", b"import { greet } from 'greet'; print(greet('me'))")?;
    let mut within = project.options("main.ts");
    within.root.push("packages/one");
    assert_eq!(project.log_of(&Bundler::new(within).build()?)?, "hello me");
    project.write(
        APART,
        state().to_string().replace("[\"greet\",\"npm:1.0.0\"]", "[\"greet\",null]").as_bytes(),
    )?;
    let text = project.errors("main.ts")?.to_string();
    assert!(text.contains("Could not resolve \"greet\"") && text.contains("yarn add greet"), "{text}");
    assert!(bundler.build().is_err());
    Ok(())
}

#[test]
fn paths_that_are_ignored_are_those_of_the_project() -> Outcome<()> {
    let mut list = state();
    // As Yarn writes patterns: anchored alternatives. The quote and the bar are in the text of a script.
    list["ignorePatternData"] = r"(^(?:legacy(?:\/(?:.)*?|$))$)|(^(?:it's(?:\/(?:.)*?|$))$)".into();
    let project = project_apart(&list.to_string())?;
    let greet = b"exports.greet = (name) => 'legacy ' + name;";
    for folder in ["legacy", "it's", "other/legacy"] {
        let source = "import { greet } from 'greet'; print(greet('you'))";
        project.write(&format!("{folder}/old.ts"), source.as_bytes())?;
        project.write(&format!("{folder}/node_modules/greet/index.js"), greet)?;
        let log = project.log(&format!("{folder}/old.ts"))?;
        assert_eq!(log, if folder.starts_with("other") { "hello you" } else { "legacy you" }, "{folder}");
    }
    Ok(())
}

#[test]
fn a_list_of_its_own_that_is_wrong_is_named() -> Outcome<()> {
    let whole = state().to_string();
    let with = |key: &str, value: serde_json::Value| {
        let mut list = state();
        list[key] = value;
        list.to_string()
    };
    let mut no_project = state();
    no_project["packageRegistryData"].as_array_mut().ok_or("no list")?.remove(0);
    let lists = [
        String::new(),
        "null".into(),
        "[]".into(),
        "7".into(),
        whole.chars().take(whole.len() / 2).collect(),
        whole.replace("packageLocation", "place"),
        with("packageRegistryData", 7.into()),
        with("packageRegistryData", serde_json::json!([7, null, [], [null], [null, [null, 7]]])),
        with("fallbackPool", "none".into()),
        no_project.to_string(),
        "[".repeat(100_000),
    ];
    for list in lists {
        let text = project_apart(&list)?.errors("main.ts")?.to_string();
        let shown: String = list.chars().take(300).collect();
        assert!(text.contains("Could not resolve \"greet\""), "{shown}: {text}");
        assert!(text.contains("the list of packages in .pnp.data.json cannot be read"), "{shown}: {text}");
        assert!(text.contains("yarn install"), "{shown}: {text}");
    }
    // A folder in its place is none, and what it leads nowhere is no package.
    let project = project()?;
    std::fs::create_dir(project.0.join(APART))?;
    assert_eq!(project.log("main.ts")?, "hello you");
    let text = project_apart(&whole.replace(".yarn/cache", "../../nowhere"))?.errors("main.ts")?.to_string();
    assert!(text.contains("greet"), "{text}");
    Ok(())
}

#[test]
fn damaged_archives_are_errors() -> Outcome<()> {
    let project = project()?;
    let whole = std::fs::read(project.0.join(ZIP))?;
    for length in [0, 4, 30, 100, whole.len() / 2, whole.len() - 1] {
        project.write(ZIP, whole.get(..length).unwrap_or_default())?;
        let text = project.errors("main.ts").map_err(|error| format!("{length}: {error}"))?.to_string();
        assert!(text.contains("greet"), "{length}: {text}");
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] = bytes[at].wrapping_add(77);
        project.write(ZIP, &bytes)?;
        // Either outcome is right; that there is one is the point.
        let _ = project.build("main.ts");
    }
    Ok(())
}

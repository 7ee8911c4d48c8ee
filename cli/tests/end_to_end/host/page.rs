//! `docs/host.md` and the files for CI, typed as they are written: in namespaces of their own, where the page's names lead to this
//! machine and its folders are empty.

use std::path::Path;
use std::process::Command;

use super::{Platform, chat};
use crate::support::{Project, skip};

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn path_with_partyrun() -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_partyrun")).parent().unwrap();
    format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default())
}

/// The blocks for a shell below a heading of the page.
fn blocks(heading: &str) -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/host.md")).unwrap();
    let part = page.split(&format!("## {heading}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    part.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_string()).collect()
}

// What a person does beside typing: waits for a server, copies the token, reads a log as long as they like.
fn typed(line: &str) -> String {
    let waits = |file: &str, part: &str| {
        format!(
            "for _ in $(seq 600); do grep -q '{part}' {file} && break; sleep 0.1; done; grep -q '{part}' {file}"
        )
    };
    if line.starts_with("partyrun token generate") {
        format!("{line} > made; TOKEN=$(sed -n 's/^PARTYKIT_TOKEN=//p' made)")
    } else if line.starts_with("partyrun host") {
        format!("{line} > \"$TOP/host.log\" 2>&1 & HOST=$!; {}", waits("\"$TOP/host.log\"", "Ready at"))
    } else if line.starts_with("partyrun login") {
        format!("echo \"$TOKEN\" | {line}")
    } else if line.starts_with("partyrun tail") {
        format!(
            "{line} > \"$TOP/tail.log\" & TAIL=$!; {}; kill $TAIL",
            waits("\"$TOP/tail.log\"", "waiting for logs")
        )
    } else if line.starts_with("curl") {
        line.replace("curl ", "curl -sSf ")
    } else {
        line.to_string()
    }
}

#[test]
fn the_page_leads_from_an_empty_machine_to_a_deployed_chat() {
    let blocks = blocks("From an empty machine to a deployed chat");
    let lines: Vec<&str> = blocks.iter().flat_map(|block| block.lines()).collect();
    assert!((8..=10).contains(&lines.len()), "ten commands at most: {lines:?}");
    let project =
        Project::new(&[("hosts", "127.0.0.1 localhost party.example.com chat.party.example.com\n")]);
    let mut script = String::from(
        "set -eu; ip link set lo up; mount -t tmpfs none /var/lib; mount --bind hosts /etc/hosts; TOP=$PWD; HOME=$PWD/home\n\
         mkdir -p home work; cd work; trap 'kill $HOST 2>/dev/null || true; cat \"$TOP/host.log\"' EXIT\n",
    );
    lines.iter().for_each(|line| {
        script.push_str(&format!("echo \"+ {}\"\n{}\n", line.replace('"', ""), typed(line)))
    });
    script.push_str("echo ALL DONE\n");
    let mut command = Command::new("unshare");
    // SAFETY: it takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "--net", "bash", "-c", &script]).current_dir(project.path());
    command.env("PATH", path_with_partyrun()).env("NO_COLOR", "1");
    for name in ["XDG_CONFIG_HOME", "PARTYRUN_URL", "PARTYKIT_TOKEN"] {
        command.env_remove(name);
    }
    let Ok(output) = command.output() else { return skip("there is no unshare") };
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if text.contains("unshare: unshare failed") {
        return skip("this machine grants no namespaces");
    }
    assert!(output.status.success() && text.contains("ALL DONE"), "{text}");
    assert!(
        text.contains("to http://chat.party.example.com\n") && text.contains("<!doctype html>"),
        "{text}"
    );
}

/// The commands of a step list: what follows `run:` or stands below `script:`.
fn steps(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("deploy/ci").join(file)).unwrap();
    let commands = text.lines().filter_map(|line| {
        let line = line.trim_start().strip_prefix("- ")?;
        let command = line.strip_prefix("run: ").unwrap_or(line);
        command.starts_with("np").then(|| command.to_string())
    });
    commands.collect()
}

#[test]
fn the_files_for_ci_deploy_main_and_previews() {
    let platform = Platform::start(&[]);
    let project = chat("chat", "one");
    project.write("package.json", r#"{ "name": "chat" }"#);
    project.write("bin/npm", "#!/bin/sh\n[ \"$1\" = ci ]\n");
    project.write("bin/npx", "#!/bin/sh\nexec \"$@\"\n");
    for name in ["bin/npm", "bin/npx"] {
        std::fs::set_permissions(project.file(name), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    let token = platform.new_token(&project, &["--name", "ci", "--scope", "deploy", "--project", "chat"]);
    for (file, variable, value, preview) in
        [("github.yml", "PREVIEW", "pr-7", "pr-7"), ("gitlab.yml", "CI_MERGE_REQUEST_IID", "8", "pr-8")]
    {
        let steps = steps(file);
        assert_eq!(steps.len(), 3, "{file}: {steps:?}");
        for value in ["", value] {
            let mut shell = Command::new("sh");
            shell.args(["-euc", &steps.join("\n")]).current_dir(project.path()).env(variable, value);
            shell.env("PATH", format!("{}:{}", project.file("bin").display(), path_with_partyrun()));
            shell
                .env("PARTYRUN_URL", platform.url())
                .env("PARTYKIT_TOKEN", &token)
                .env("PARTYKIT_LOGIN", "ci");
            let output = shell.output().unwrap();
            let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{file} {value}: {text}");
        }
        assert_eq!(platform.get(&format!("{preview}.chat"), "/").1, "edge one");
    }
    assert_eq!(platform.get("chat", "/").1, "edge one");
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let unit = std::fs::read_to_string(root().join("deploy/systemd/partyrun-host.service")).unwrap();
    let project = Project::new(&[]);
    let here = project.file("partyrun-host.service");
    std::fs::write(&here, unit.replace("/usr/bin/partyrun", env!("CARGO_BIN_EXE_partyrun"))).unwrap();
    let Ok(output) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&here).output() else {
        return skip("there is no systemd-analyze");
    };
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && !text.contains("partyrun-host"), "{text}");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/partyrun ")).unwrap();
    let line = line.replace("${DOMAIN}", "party.test").replace("$MORE", "--acme --help");
    let output = crate::support::partyrun().args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

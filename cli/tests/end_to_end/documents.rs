//! Every command and every block of code of the pages is run, or it is named below with the test that shows it or the reason
//! why no test does.
//!
//! Each page gets a project of its own with data, a release and a copy of the data, and its commands run there in their order.
//! Absolute paths lie below the project's folder, ports are free ones, and a server is stopped when it has become ready.

mod blocks;
mod named;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use blocks::{Block, blocks};
use named::{NAMED, Shown};

use crate::support::{Project, Server, free_port, partyrun, skip};

// What the pages show is about a project like this one.
const CONFIG: &str = r#"{ "name": "chat", "main": "server.ts", "parties": { "game": "server.ts" },
    "crons": { "nightly": "30 3 * * *", "cleanup": "0 4 * * *" }, "vars": { "GREETING": "hello" } }"#;

const SERVER: &str = "
export default class Server {
  options = { hibernate: true };
  static onCron() { return new Response('ran'); }
  constructor(room) { this.room = room; }
  async onRequest() {
    await this.room.storage.put('score', 1);
    return new Response('stored');
  }
}";

// What asks the server that runs in the folder.
const ASK_A_SERVER: [&str; 5] =
    ["partyrun rooms", "partyrun room ", "partyrun crons", "partyrun storage put", "partyrun storage delete"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn pages() -> Vec<PathBuf> {
    let folders = [root(), root().join("docs")];
    let all = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut pages: Vec<PathBuf> = all
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .chain(["tests/README.md", "cli/npm/README.md"].map(|page| root().join(page)))
        .collect();
    pages.sort();
    assert!(pages.len() > 30, "{pages:?}");
    pages
}

// A page's project, and in which folder of it a reader is now.
struct Reader {
    project: Project,
    folder: PathBuf,
    page: String,
}

impl Reader {
    fn new(page: &str) -> Self {
        let project = Project::new(&[
            ("home/partykit.json", CONFIG),
            ("home/server.ts", SERVER),
            ("home/src/server.ts", SERVER),
            ("home/staging.env", "STAGE=1\n"),
            ("srv/chat/partykit.json", CONFIG),
            ("srv/chat/server.ts", SERVER),
            ("srv/partyrun/chat.partyrun", ""),
        ]);
        let certificates = root().join("fixtures/tls/certs");
        for (from, to) in [("host.pem", "localhost.pem"), ("key.pem", "localhost-key.pem")] {
            std::fs::copy(certificates.join(from), project.file("home").join(to)).unwrap();
        }
        let folder = project.file("home");
        let reader = Self { project, folder, page: page.to_string() };
        reader.done("partyrun build --out chat.partyrun");
        reader.done("partyrun build --out chat-new.partyrun");
        reader.done("partyrun build --out my-party.partyrun");
        for persist in [".partyrun", "/var/lib/chat"] {
            let command = format!("partyrun dev --persist {persist}");
            reader.with_server(&command, |server| {
                assert_eq!(server.get("/party/lobby").1, "stored");
                assert_eq!(server.get("/parties/game/7").1, "stored");
            });
        }
        std::fs::create_dir_all(reader.project.file("backup/chat")).unwrap();
        reader.done("partyrun backup /backup/chat/2026-11-27T14-00-00.000Z --persist /var/lib/chat");
        reader
    }

    // A command with the reader's paths.
    fn placed(&self, command: &str) -> String {
        let mut placed = command.to_string();
        for folder in ["/var/lib", "/backup", "/srv"] {
            placed = placed.replace(folder, &self.project.file(&folder[1..]).to_string_lossy());
        }
        placed
    }

    fn shell(&self, command: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_partyrun")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-euc", &self.placed(command)]).current_dir(&self.folder).env("PATH", path);
        shell.env("NO_COLOR", "1").env("XDG_STATE_HOME", self.project.path());
        shell.env("APP_SECRET", "x").env("DATABASE_URL", "x");
        shell
    }

    // Runs a command to its end.
    fn done(&self, command: &str) -> String {
        let output = self.shell(command).output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{}: {command}\n{text}", self.page);
        text
    }

    // Runs a command that serves until it is ready, and stops it.
    fn with_server(&self, command: &str, visit: impl FnOnce(&Server)) {
        let port = free_port();
        let mut words = Vec::new();
        let mut given =
            self.placed(command).split_whitespace().map(ToString::to_string).collect::<Vec<_>>().into_iter();
        assert_eq!(given.next().as_deref(), Some("partyrun"), "{command}");
        while let Some(word) = given.next() {
            if word == "--port" {
                given.next();
            } else if ["--admin", "--metrics"].contains(&word.as_str()) {
                given.next();
                words.extend([word, format!("127.0.0.1:{}", free_port())]);
            } else if word.starts_with("--inspect") {
                words.push(format!("--inspect={}", free_port()));
            } else {
                words.push(word.trim_matches('\'').replace("='", "=").to_string());
            }
        }
        let mut program = partyrun();
        program.args(&words).args(["--port", &port.to_string()]).current_dir(&self.folder);
        program.env("APP_SECRET", "x").env("DATABASE_URL", "x").env("XDG_STATE_HOME", self.project.path());
        let server = Server::start(program, port);
        server.wait_for("eady on");
        visit(&server);
        server.stop();
    }

    // One line that a reader types.
    fn types(&mut self, line: &str) {
        let line = line.strip_prefix("npx ").unwrap_or(line);
        if let Some(folder) = line.strip_prefix("cd ") {
            self.folder = self.folder.join(folder);
            assert!(self.folder.is_dir(), "{}: {line}", self.page);
        } else if is_server(line) {
            self.with_server(line, |_| ());
        } else if ASK_A_SERVER.iter().any(|command| line.starts_with(command)) {
            self.with_server("partyrun dev", |server| {
                assert_eq!(server.get("/party/lobby").0, 200);
                self.done(line);
            });
        } else {
            self.done(line);
        }
    }

    // A block for a shell; its services are not there, and `dev` serves where it asks for it.
    fn runs(&self, block: &str) {
        let is_service = |line: &str| line.starts_with("sudo systemctl") || line.starts_with("journalctl");
        let lines =
            block.lines().filter(|line| !is_service(line)).map(|line| line.trim_start_matches("sudo "));
        let lines: Vec<&str> = lines.collect();
        // A server's command over several lines.
        let one = lines.join("\n").replace("\\\n", " ");
        if !one.contains('\n') && is_server(&one) {
            self.with_server(&one, |_| ());
        } else if lines.iter().any(|line| line.contains("localhost:1999")) {
            self.with_server("partyrun dev", |server| {
                let port = format!("localhost:{}", server.port);
                assert!(server.get("/party/lobby").0 == 200);
                self.done(&lines.join("\n").replace("localhost:1999", &port).replace("curl ", "curl -sSf "));
            });
        } else if !lines.is_empty() {
            self.done(&lines.join("\n"));
        }
    }
}

fn is_server(command: &str) -> bool {
    command.starts_with("partyrun dev") || command.starts_with("partyrun start")
}

// The named line of a block, if it has one.
fn naming(page: &str, block: &Block) -> Option<usize> {
    NAMED.iter().position(|(on, begins, _)| *on == page && block.text.trim_start().starts_with(begins))
}

#[test]
fn every_command_and_every_block_is_run_or_named() {
    let mut used = BTreeSet::new();
    let mut ran = 0;
    for path in pages() {
        let page = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let blocks = blocks(&std::fs::read_to_string(&path).unwrap());
        let mut reader: Option<Reader> = None;
        for block in &blocks {
            if let Some(index) = naming(&page, block) {
                used.insert(index);
                continue;
            }
            match block.language.as_str() {
                // Output and drawings.
                "text" => continue,
                "" => reader.get_or_insert_with(|| Reader::new(&page)).types(&block.text),
                "sh" => reader.get_or_insert_with(|| Reader::new(&page)).runs(&block.text),
                "json" => is_a_configuration(&page, &block.text),
                "ts" => is_code_that_runs(&page, &block.text, &blocks),
                other => panic!(
                    "{page}: nothing runs the block in the language `{other}` that begins\n{}\nName it in \
                     cli/tests/end_to_end/documents/named.rs.",
                    block.text
                ),
            }
            ran += 1;
        }
    }
    let unused: Vec<_> =
        (0..NAMED.len()).filter(|index| !used.contains(index)).map(|index| NAMED[index]).collect();
    assert!(unused.is_empty(), "no page has these any more: {unused:?}");
    assert!(ran > 60, "{ran} blocks");
}

#[test]
fn the_tests_that_are_named_exist() {
    for (page, begins, shown) in NAMED {
        let Shown::By(file, test) = shown else { continue };
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        assert!(text.contains(test), "{page}: {begins}: {file} has no {test}");
    }
}

// A partykit.json, with the modules that it names.
fn is_a_configuration(page: &str, text: &str) {
    let project = Project::new(&[("partykit.json", text), ("public/index.html", "")]);
    let config: serde_json::Value =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{page}: {error}"));
    let parties = config["parties"].as_object().into_iter().flat_map(|parties| parties.values());
    for module in [&config["main"]].into_iter().chain(parties).filter_map(serde_json::Value::as_str) {
        project.write(module, SERVER);
    }
    let (code, text) = project.run(&["check"]);
    assert!(code == Some(0) && !text.contains("warning"), "{page}: {text}");
}

// A module, a method of a class, or statements of one.
fn module(text: &str) -> String {
    if text.contains("export default") || text.starts_with("import ") {
        return text.to_string();
    }
    let is_method = ["static ", "async on", "on"].iter().any(|word| text.starts_with(word));
    let answer = if text.contains("return ") { "" } else { "return new Response(\"done\");" };
    let statements = || format!("async onRequest(request: Party.Request) {{\n{text}\n{answer}\n}}");
    let body = if is_method { text.to_string() } else { statements() };
    format!(
        "import type * as Party from \"partyrun/server\";\n\
         export default class Server {{\nconstructor(readonly room: Party.Room) {{}}\n{body}\n}}\n"
    )
}

// `await get(key); // "value"` as a program that compares the two.
fn compared(text: &str) -> String {
    let line = |line: &str| {
        let (call, value) = line.split_once("; ").map(|(call, rest)| (call, rest.trim_start()))?;
        let value =
            value.strip_prefix("// ").filter(|value| !value.contains("...") && call.starts_with("await "))?;
        let message = serde_json::to_string(line).ok()?;
        Some(format!("if (JSON.stringify({call}) !== JSON.stringify({value})) throw new Error({message});"))
    };
    text.lines().map(|text| line(text).unwrap_or_else(|| text.to_string())).collect::<Vec<_>>().join("\n")
}

// Loads a block as a module in a project with the page's configuration. Statements and `onRequest` run, too.
fn is_code_that_runs(page: &str, text: &str, blocks: &[Block]) {
    let config =
        blocks.iter().find(|block| block.language == "json").map_or("{}", |block| block.text.as_str());
    let mut config: serde_json::Value = serde_json::from_str(config).unwrap();
    config["name"] = "page".into();
    config["main"] = "server.ts".into();
    config.as_object_mut().unwrap().retain(|name, _| !["parties", "serve"].contains(&name.as_str()));
    let files = [("partykit.json", config.to_string()), ("server.ts", compared(&module(text)))];
    let project = Project::new(&files.each_ref().map(|(path, text)| (*path, text.as_str())));
    let (code, checked) = project.run(&["check"]);
    assert_eq!(code, Some(0), "{page}: {checked}\n{text}");
    if module(text).contains("onRequest") {
        let server = project.serve(&["dev"]);
        let (status, answer) = server.get("/party/lobby");
        assert_eq!(status, 200, "{page}: {answer}\n{}\n{text}", server.output());
        server.stop();
    }
}

#[test]
fn the_second_party_of_the_first_project_counts() {
    let page = std::fs::read_to_string(root().join("docs/first-project.md")).unwrap();
    let block =
        |language: &str| blocks(&page).into_iter().find(|block| block.language == language).unwrap().text;
    let project = Project::new(&[]);
    let (code, text) = project.run(&["init", "my-party", "--template", "chat"]);
    assert_eq!(code, Some(0), "{text}");
    let inside = Project::within(&project, "my-party");
    inside.write("partykit.json", &block("json"));
    inside.write("src/counter.ts", &block("ts"));
    let server = inside.serve(&["dev"]);
    assert_eq!(server.get("/parties/counter/visits"), (200, r#"{"count":1}"#.to_string()));
    server.stop();
}

#[test]
fn every_block_of_typescript_passes_the_compiler() {
    let modules = root().join("tests/node_modules");
    if !modules.join("typescript/bin/tsc").is_file() {
        return skip("the compiler of TypeScript is missing: run `npm ci` in tests/");
    }
    let project = Project::new(&[]);
    let mut seen = 0;
    for path in pages() {
        let all = blocks(&std::fs::read_to_string(&path).unwrap());
        for block in all.iter().filter(|block| block.language == "ts") {
            let page = path.file_stem().unwrap().to_string_lossy();
            let text = module(&block.text).replace("\"partykit/server\"", "\"partyrun/server\"");
            project.write(&format!("src/{page}-{seen}.ts"), &text);
            seen += 1;
        }
    }
    assert!(seen > 8, "{seen} blocks");
    std::os::unix::fs::symlink(modules.canonicalize().unwrap(), project.file("node_modules")).unwrap();
    // The types of our package find those of the platform from here only.
    project.write("types/server.d.ts", include_str!("../../npm/server.d.ts"));
    let config = include_str!("../../templates/shared/tsconfig.json").replace(
        "\"strict\"",
        "\"paths\": { \"partyrun/server\": [\"./types/server.d.ts\"] },\n    \"strict\"",
    );
    project.write("tsconfig.json", &config);
    let tsc = project.file("node_modules/typescript/bin/tsc");
    let Ok(output) = Command::new("node").arg(tsc).current_dir(project.path()).output() else {
        return skip("there is no node");
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

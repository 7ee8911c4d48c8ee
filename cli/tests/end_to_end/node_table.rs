//! The table of Node's built-ins in `docs/node.md`, made from a run: a room tells which names its modules have.

use std::path::Path;
use std::process::Command;

use crate::support::{Project, Server, free_port, partyrun, skip};

// Node's modules without the private ones and without `trace_events`, which are about Node itself.
const MODULES: &str = "assert assert/strict async_hooks buffer child_process cluster console constants crypto dgram \
     diagnostics_channel dns dns/promises domain events fs fs/promises http http2 https inspector inspector/promises module \
     net os path path/posix path/win32 perf_hooks process punycode querystring readline readline/promises repl stream \
     stream/consumers stream/promises stream/web string_decoder sys timers timers/promises tls tty url util util/types v8 vm \
     wasi worker_threads zlib";

const LISTING: &str = "
// What a room cannot have is a function that throws; its source says so.
const isAbsent = (value) => typeof value === 'function' && /^function[^{]*{\\s*throw missing\\(/.test(String(value));
// Promises of such functions are made by arrows.
const isRefusal = (value) => typeof value === 'function' && String(value).includes('PromiseReject(missing(');
export default class Server {
  async onRequest() {
    const real = {};
    for (const [name, module] of Object.entries(modules)) {
      real[name] = Reflect.ownKeys(module).map(String).filter((key) => !isAbsent(module[key]) && !isRefusal(module[key]));
    }
    return Response.json(real);
  }
}
";

const BEGIN: &str = "<!-- node: generated -->\n";
const END: &str = "<!-- node: end -->";

#[test]
fn the_table_of_built_ins_is_as_it_should_be() {
    let version = Command::new("node").arg("--version").output();
    if !version.is_ok_and(|output| output.stdout.starts_with(b"v20.")) {
        return skip("the table is that of Node 20");
    }
    let imports = MODULES.split(' ').enumerate();
    let imports = imports.map(|(number, name)| (format!("m{number}"), name));
    let (mut code, mut listed) = (String::new(), String::new());
    for (local, name) in imports {
        code.push_str(&format!("import {local} from 'node:{name}';\n"));
        listed.push_str(&format!("  '{name}': {local},\n"));
    }
    let code = format!("{code}const modules = {{\n{listed}}};\n{LISTING}");
    let project = Project::new(&[("server.ts", &code)]);
    let port = free_port();
    let mut command = partyrun();
    command.args(["dev", "server.ts", "--persist", "false", "--port", &port.to_string()]);
    command.current_dir(project.path());
    let server = Server::start(command, port);
    server.wait_for("Ready on");
    let Some(table) = server.client("node_table.mjs", &[]) else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/node.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let from = page.find(BEGIN).expect("the page has a generated part") + BEGIN.len();
    let to = page.find(END).expect("the generated part ends");
    if page[from..to] != table && std::env::var_os("PARTYRUN_WRITE_DOCS").is_some() {
        std::fs::write(path, format!("{}{table}{}", &page[..from], &page[to..])).unwrap();
        return;
    }
    assert!(page[from..to] == table, "docs/node.md is old: run the test with PARTYRUN_WRITE_DOCS=1\n{table}");
    server.stop();
}

//! Broken projects: each error says what is wrong, where, and where it can be told, what to do.

use crate::support::Project;

// Projects that cannot be built or loaded: files, arguments, and lines that must be printed.
struct Broken {
    files: &'static [(&'static str, &'static str)],
    lines: &'static [&'static str],
}

const CLASS: &str = "export default class {}";

const BROKEN: &[Broken] = &[
    Broken {
        files: &[
            ("server.ts", "import { z } from './util';\nconsole.log(z);\n"),
            ("utils.ts", "export const z = 1;"),
        ],
        lines: &[
            "error: Could not resolve \"./util\"",
            "  --> server.ts:1:19",
            "  help: did you mean \"./utils\"?",
        ],
    },
    Broken {
        files: &[
            ("server.ts", "import { z } from './Util.ts';\nconsole.log(z);\n"),
            ("util.ts", "export const z = 1;"),
        ],
        lines: &["  help: did you mean \"./util.ts\"?"],
    },
    Broken {
        files: &[("server.ts", "import x from './x.css';\nconsole.log(x);\n"), ("x.css", "a {}")],
        lines: &[
            "error: No loader is configured for \".css\" files",
            "  help: a server has no styles: import it from the client's code (`serve.build` in partykit.json)",
        ],
    },
    Broken {
        files: &[("server.ts", CLASS), ("partykit.json", "{\"main\":\"sever.ts\"}")],
        lines: &["error: Could not find main: ./sever.ts"],
    },
    Broken {
        files: &[
            ("server.ts", CLASS),
            ("src/other.ts", CLASS),
            ("partykit.json", "{\"main\":\"server.ts\",\"parties\":{\"a\":\"src/othr.ts\"}}"),
        ],
        lines: &["error: Could not find party: src/othr.ts"],
    },
    Broken {
        files: &[("server.ts", "const key = process.env.API_KEY!.trim();\nexport default class {}\n")],
        lines: &[
            "error: server.ts failed while it was loaded.",
            "TypeError: Cannot read properties of undefined (reading 'trim')",
            "    at server.ts:1:34",
            "  1 | const key = process.env.API_KEY!.trim();",
        ],
    },
    Broken {
        files: &[("server.ts", "export class Server {}\n")],
        lines: &[
            "error: server.ts (party main): The module has no default export: export a class or an object with handlers.",
        ],
    },
];

#[test]
fn projects_that_cannot_be_loaded_are_told() {
    for Broken { files, lines } in BROKEN {
        let project = Project::new(files);
        let has_config = files.iter().any(|(name, _)| *name == "partykit.json");
        let args: &[&str] = if has_config { &["check"] } else { &["check", "server.ts"] };
        let (code, text) = project.run(args);
        assert_eq!(code, Some(1), "{text}");
        for line in *lines {
            assert!(text.lines().any(|shown| shown == *line), "no `{line}` in:\n{text}");
        }
        assert!(!text.contains("ext:") && !text.contains("file:///"), "{text}");
    }
}

#[test]
fn the_file_that_was_meant_is_guessed() {
    let project = Project::new(&[("Server.ts", CLASS), ("src/game.ts", CLASS)]);
    let guess = |name: &str| project.run(&["check", name]).1;
    assert!(guess("server.ts").contains("; did you mean `Server.ts`?"), "{}", guess("server.ts"));
    assert!(guess("game.ts").contains("; did you mean `src/game.ts`?"), "{}", guess("game.ts"));
    let (_, text) = project.run(&["dev", "Server.ts", "--limit", "heap_bytes=5"]);
    assert!(text.contains("there is no limit `heap_bytes`; did you mean `heap_bytes_max`?"), "{text}");
    project.write("partykit.json", "{\"main\":\"Server.ts\",\"serve\":\"publik\"}");
    let (code, text) = project.run(&["check"]);
    assert!(code == Some(0) && text.contains("`serve`: there is no folder "), "{text}");
}

// Each room fails in its own way.
const FAILING: &str = "import type * as Party from 'partykit/server';
const no = (): never => no();
class Odd extends Error { get message(): string { throw new Error('inner'); } }
export default class Server implements Party.Server {
  constructor(readonly room: Party.Room) {}
  static onBeforeRequest(request: Party.Request, lobby: Party.Lobby) {
    return lobby.id === 'number' ? 5 as any : request;
  }
  async onRequest() {
    switch (this.room.id) {
      case 'nothing': return undefined as any;
      case 'deep': return no();
      case 'huge': throw new Error('x'.repeat(1_000_000));
      case 'odd': throw new Odd();
      case 'proxy': throw new Proxy(new Error('p'), { get() { throw 1; } });
      case 'required': return require('./' + this.room.id);
      case 'long': { const padding = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'; throw new Error(padding && 'far'); }
      case 'any': await Promise.any([Promise.reject(new Error('one')), Promise.reject(new TypeError('two'))]);
    }
    return new Response('fine');
  }
}
";

#[test]
fn handlers_that_fail_are_told() {
    let project = Project::new(&[("server.ts", FAILING)]);
    let server = project.serve(&["dev", "server.ts", "--persist", "false"]);
    assert_eq!(server.get("/party/nothing").0, 500);
    server.wait_for("The `onRequest` of party main (server.ts) returned undefined: return a Response.");
    assert_eq!(server.get("/party/number"), (500, "Invalid URL: 5".to_string()));
    server.wait_for(
        "The `onBeforeRequest` of party main (server.ts) returned a value of type number: return the request, or a Response.",
    );
    assert_eq!(server.get("/party/deep").0, 500);
    server.wait_for("[main/deep]     ... ");
    server.wait_for("[main/deep]   2 | const no = (): never => no();");
    assert_eq!(server.get("/party/huge").0, 500);
    server.wait_for("... (996023 more characters)");
    // What user code throws never resets the room.
    for odd in ["odd", "proxy"] {
        assert_eq!(server.get(&format!("/party/{odd}")).0, 500);
        server.wait_for(&format!("[main/{odd}] onRequest error"));
    }
    assert_eq!(server.get("/party/required").0, 500);
    server.wait_for("[main/required] onRequest error Error: Cannot find module './required'");
    assert_eq!(server.get("/party/long").0, 500);
    let shown = server.wait_for("far");
    assert!(shown.contains("[main/long]"), "{shown}");
    assert_eq!(server.get("/party/any").0, 500);
    server.wait_for("[main/any]     TypeError: two");
    let output = server.output();
    let mark =
        output.lines().rev().find(|line| line.starts_with("[main/long]") && line.ends_with('^')).unwrap();
    let code = output.lines().find(|line| line.contains(" 17 | ... ")).unwrap();
    assert_eq!(code.find("new Error"), mark.find('^'), "{output}");
    for own in ["was reset", "ext:", "file:///", "bundle.js"] {
        assert!(!output.contains(own), "{own} in:\n{output}");
    }
    server.stop();
}

#[test]
fn a_loop_is_told_with_its_place() {
    let text = "export default class {\n  onRequest() {\n    for (;;);\n  }\n}\n";
    let project = Project::new(&[("server.js", text)]);
    let server = project.serve(&["dev", "server.js", "--persist", "false", "--limit", "turn_cpu_max=300ms"]);
    let (status, body) = server.get("/party/x");
    assert_eq!(
        (status, body.as_str()),
        (500, "`onRequest` ran for more than 300 ms of CPU time (limit `turn_cpu_max`)")
    );
    server.wait_for("[main/x] Room `main/x` was reset: `onRequest` ran for more than 300 ms");
    server.wait_for("(server.js:3:");
    server.wait_for("[main/x]   3 |     for (;;);");
    server.stop();
}

#[test]
fn a_computed_import_leaves_hidden_files_out() {
    let text = "export default class {\n  async onRequest() {\n    const name = 'b';\n    const { b } = await import('./' + name + '.js');\n    return new Response(b);\n  }\n}\n";
    let project =
        Project::new(&[("server.js", text), ("b.js", "export const b = 'found';"), (".hidden/x.js", "(")]);
    let server = project.serve(&["dev", "server.js", "--persist", "false"]);
    assert_eq!(server.get("/party/x"), (200, "found".to_string()));
    server.stop();
}

//! What a room of a program costs, and that it is told where it is much.

use crate::support::Project;

const CONFIG: &str = r#"{ "name": "cost", "main": "server.ts" }"#;

const SERVER: &str = r#"
import { rows } from "rows";
export default class Server { onRequest() { return new Response(String(rows.length)); } }
"#;

// A package that takes 20 MiB when it is imported.
const ROWS: &str =
    "export const rows = Array.from({ length: 200_000 }, (_, i) => ({ i, text: `row ${i}` }));\n";

const SMALL: &str = "export const rows = [];\n";

const LIMIT: &str = "(limit `room_memory_warn`: 6 MiB)";
const LARGEST: &str = "The largest imports: rows (1 KiB).";
const ADVICE: &str =
    "With `--isolation worker` rooms share one copy for each thread (see docs/isolation.md).";

fn project(rows: &str, config: &str) -> Project {
    Project::new(&[
        ("server.ts", SERVER),
        ("partykit.json", config),
        ("node_modules/rows/package.json", r#"{ "name": "rows", "type": "module", "main": "index.js" }"#),
        ("node_modules/rows/index.js", rows),
    ])
}

#[test]
fn a_program_whose_rooms_cost_much_is_told_with_its_imports() {
    let project = project(ROWS, CONFIG);
    let (code, text) = project.run(&["check"]);
    assert_eq!(code, Some(0), "{text}");
    for part in [LIMIT, LARGEST, ADVICE] {
        assert!(text.contains(part), "{text}");
    }
    for command in ["dev", "start"] {
        let server = project.serve(&[command, "--persist", "false"]);
        let told = server.wait_for(LARGEST);
        assert!(told.contains(LIMIT) && told.contains(ADVICE), "{told}");
        assert_eq!(server.get("/party/a"), (200, "200000".to_string()));
        server.stop();
    }
}

#[test]
fn the_cost_of_a_small_program_is_told_without_advice() {
    let (code, text) = project(SMALL, CONFIG).run(&["check"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("A room takes ") && text.contains(" MiB of memory, and "), "{text}");
    assert!(!text.contains("largest imports"), "{text}");
}

#[test]
fn rooms_that_share_an_isolate_are_not_measured() {
    let shared = r#"{ "name": "cost", "main": "server.ts", "isolation": "worker" }"#;
    let (code, text) = project(ROWS, shared).run(&["check"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("A room takes "), "{text}");
}

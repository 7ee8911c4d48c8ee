//! `import`: what the real original stored is there under partyrun, value for value.

use crate::support::{Project, free_port, node};

const WRITES: &str = r#"
const values = (at) => ({
  text: "h\u00e9llo \ud83d\ude00", number: -0.5, big: 12345678901234567890n, nothing: null, date: new Date(at),
  nested: { a: [1, undefined, { b: NaN }] }, map: new Map([["k", new Set([1])]]), bytes: new Uint8Array([1, 2, 3]),
  "\u00e9": /x/gi, long: "x".repeat(100000), exception: { error: new DOMException("gone", "AbortError") },
  headers: new Headers([["x-a", "1"], ["content-type", "text/plain"], ["set-cookie", "a=1"], ["set-cookie", "b=2"]]),
  request: new Request("http://example.com/a", { method: "PUT", headers: { accept: "*/*" }, redirect: "manual" }),
  response: new Response(null, { status: 404, statusText: "Nope", headers: { vary: "accept" } }),
});
const show = (value) => typeof value === "bigint" ? `${value}n` : value instanceof Map ? ["map", ...value].map(show)
  : value instanceof Set ? ["set", ...value] : value instanceof RegExp ? String(value)
  : value instanceof Uint8Array ? ["bytes", ...value] : value instanceof Date ? ["date", +value]
  : value instanceof DOMException ? ["exception", value.name, value.message, value.code, value.stack.split("\n")[0]]
  : value instanceof Headers ? ["headers", ...value]
  : value instanceof Request ? ["request", value.url, value.method, value.redirect, ...value.headers]
  : value instanceof Response ? ["response", value.status, value.statusText, ...value.headers]
  : Array.isArray(value) ? value.map(show) : value === undefined ? "undefined" : Number.isNaN(value) ? "NaN"
  : value && typeof value === "object" ? Object.entries(value).map(([k, v]) => [k, show(v)]) : value;
export default class Server {
  constructor(room) { this.room = room; }
  async onRequest(request) {
    const { storage, internalID } = this.room;
    if (request.url.endsWith("?share")) {
      await storage.put({ before: 1, shared: { memory: new SharedArrayBuffer(4) }, there: 2 });
      return new Response("shared");
    }
    if (request.url.endsWith("?shared")) return new Response(await storage.get("shared").catch((error) => error.message));
    if (new URL(request.url).searchParams.has("write")) {
      for (const [key, value] of Object.entries(values(1e12))) await storage.put(key, value);
    }
    const all = [...await storage.list()].map(([key, value]) => [key, show(value)]);
    return new Response(JSON.stringify([internalID, all]));
  }
}
"#;

#[test]
fn rooms_of_the_original_come_over() {
    let config = r#"{ "name": "import-me", "main": "server.js", "parties": { "other": "server.js" } }"#;
    let project = Project::new(&[("server.js", WRITES), ("partykit.json", config)]);
    let folder = project.path().to_string_lossy().into_owned();
    let port = free_port().to_string();
    let paths =
        ["/party/lobby?write", "/parties/other/a%20b?write", "/party/unnamed?write", "/party/lost?share"];
    let args = [&[folder.as_str(), &port], &paths[..]].concat();
    let Some((ended, told)) = node("original.mjs", &args) else { return };
    assert!(ended, "{told}");
    project.write("some.log", "GET http://localhost:1999/parties/other/a%20b?x=1 200 OK\n");
    let before = std::fs::read_dir(project.file(".partykit/state/party/-PartyKitDurable")).unwrap().count();

    let args = ["import", "--room", "lobby", "--room", "lost", "--rooms-from", "some.log"];
    let (code, text) = project.run(&[&args[..], &["--dry-run"]].concat());
    assert!(code == Some(0) && text.contains("would import  main/lobby: 14 values"), "{text}");
    assert!(!project.file(".partyrun/partyrun.sqlite").exists());
    let (code, text) = project.run(&args);
    assert!(code == Some(0), "{text}");
    assert!(text.contains("imported  main/lobby: 14 values"), "{text}");
    assert!(text.contains("imported  other/a%20b: 14 values"), "{text}");
    assert!(text.contains("Rooms with unknown names: 1."), "{text}");
    let (_, text) = project.run(&args);
    assert!(text.contains("kept      main/lobby: it already has data here"), "{text}");
    let after = std::fs::read_dir(project.file(".partykit/state/party/-PartyKitDurable")).unwrap().count();
    assert_eq!(before, after, "the original's files are only read");

    // The same answers as the original gave, the internal id included.
    let server = project.serve(&["dev"]);
    for path in &paths[..2] {
        let line = told.lines().find(|line| line.starts_with(path)).unwrap();
        let expected = line.strip_prefix(&format!("{path} 200 ")).unwrap();
        assert_eq!(server.get(path.trim_end_matches("?write")).1, expected, "{path}");
    }
    // What the original wrote and cannot read again itself costs that value.
    let (status, text) = server.get("/party/lost");
    assert!(status == 200 && text.ends_with(r#"[["before",1],["there",2]]]"#), "{status} {text}");
    server.wait_for("The value of \"shared\" cannot be read: its bytes are no value. It was left out.");
    let (status, text) = server.get("/party/lost?shared");
    let expected = "The value of \"shared\" cannot be read: its bytes are no value.";
    assert_eq!((status, text.as_str()), (200, expected));
}

#[test]
fn a_folder_without_data_is_named() {
    let project = Project::new(&[("server.js", WRITES)]);
    let (code, text) = project.run(&["import", "nowhere"]);
    assert!(
        code == Some(1) && text.contains("has no data of `partykit dev`") && text.contains("nowhere"),
        "{text}"
    );
}

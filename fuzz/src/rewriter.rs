//! HTMLRewriter: a document that no handler changes comes out as it went in, however it arrives, with every kind of handler.

#[path = "../../runtime/extensions/src/html/parser.rs"]
mod parser;

use parser::{Command, Talk, Wanted};
use tokio::sync::mpsc;

const HANDLERS: &str = r#"[
    { "selector": "*", "element": true, "comments": true, "text": true, "doctype": false, "end": false },
    { "selector": "div > a[href^='x']:not(.y)", "element": true, "comments": false, "text": true, "doctype": false, "end": false },
    { "selector": null, "element": false, "comments": true, "text": true, "doctype": true, "end": true }
]"#;
const BYTES_MAX: usize = 1 << 20;

/// The first byte says how long the pieces are in which the document arrives.
pub fn run(bytes: &[u8]) {
    let Some((&piece, document)) = bytes.split_first() else { return };
    let wanted: Vec<Wanted> = serde_json::from_str(HANDLERS).unwrap();
    let handlers = parser::handlers(wanted).unwrap();
    let (commands, to_parser) = mpsc::channel(1);
    let (from_parser, mut happenings) = mpsc::channel(1);
    let talk = Talk { commands: to_parser, happenings: from_parser };
    let thread = std::thread::spawn(move || parser::parse(talk, &handlers, BYTES_MAX, |_| ()));
    let mut output = Vec::new();
    let mut pieces = document.chunks(usize::from(piece).max(1));
    let next = |pieces: &mut std::slice::Chunks<'_, u8>| match pieces.next() {
        Some(piece) => Command::Write(piece.to_vec()),
        None => Command::End,
    };
    let mut command = next(&mut pieces);
    let failed = loop {
        commands.blocking_send(command).unwrap();
        let happening = happenings.blocking_recv().expect("the parser answers each command");
        output.extend(happening.output.unwrap_or_default());
        command = match happening.kind {
            "input" => next(&mut pieces),
            "done" => break false,
            "error" => break true,
            _ => Command::Changes(Vec::new()),
        };
    };
    thread.join().unwrap();
    // Bytes that are no UTF-8 are replaced where a handler reads them.
    if !failed && std::str::from_utf8(document).is_ok() {
        assert_eq!(String::from_utf8_lossy(&output), String::from_utf8_lossy(document));
    }
}

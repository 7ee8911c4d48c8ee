//! Numbers and words that both languages know, each written once.
//!
//! The snapshot hands them to the scripts as `01_wire.js`, which is made of the table below while the snapshot is built: a
//! room never pays for it. A script takes what it needs by name, and a test fails where one writes such a constant again.

use std::fmt::{Debug, Write};

use deno_core::ExtensionFileSource;

macro_rules! wire {
    ($($(#[$about:meta])* $name:ident: $kind:ty = $value:expr;)*) => {
        $($(#[$about])* pub const $name: $kind = $value;)*

        /// All of them by name.
        const TABLE: &[(&str, &dyn Debug)] = &[$((stringify!($name), &$name)),*];
    };
}

wire! {
    /// The number of an isolate's first room, which is the only one today; the edge has it in its isolate.
    FIRST_ROOM: u32 = 0;
    /// The number of no room: of code that no room runs, and of a room that has left its isolate.
    NO_ROOM: i32 = -1;

    /// How far a start has come when it returns: a promise is still going.
    STARTING: u32 = 0;
    /// How far a start has come when it returns: the room may have its events.
    STARTED: u32 = 1;
    /// How far a start has come when it returns: it threw.
    START_FAILED: u32 = 2;
    /// What a start is given for each connection that outlived the isolate: index, id, URI, tags, state.
    RESTORED_FIELDS: u32 = 5;

    /// How a socket ended: the peer closed it.
    ENDED_BY_PEER: u32 = 0;
    /// How a socket ended: this side closed it and the peer agreed.
    ENDED_HERE: u32 = 1;
    /// How a socket ended: the connection broke.
    ENDED_LOST: u32 = 2;
    /// How a socket ended: this side closed it because of what the peer did.
    ENDED_FAILED: u32 = 3;

    /// What a send answers: sent, or dropped because the socket is closing.
    SENT: u32 = 0;
    /// What a send answers: the message is longer than a message may be.
    TOO_LONG: u32 = 1;
    /// What a send answers: too much waits behind the output gate.
    TOO_MUCH_HELD: u32 = 2;

    /// A level of the console, as deno_web's `Console` numbers them.
    LEVEL_DEBUG: u32 = 0;
    /// `console.log` and `console.info`.
    LEVEL_LOG: u32 = 1;
    /// `console.warn`.
    LEVEL_WARN: u32 = 2;
    /// `console.error`; `console.trace` has the number above it and is printed as an error.
    LEVEL_ERROR: u32 = 3;

    /// Added to a response's status: its body is already in the coding that its `Content-Encoding` names.
    PACKED: u32 = 0x1_0000;
    /// The reason phrase of a cron's answer that says that a failed run is not tried again; no client sees it.
    NO_RETRY: &str = "no retry";
    /// Copies of bodies that leave an isolate count as its memory from this length on, in bytes.
    COUNTED_FROM_BYTES: usize = 4096;

    /// No alarm is set.
    NO_ALARM: f64 = -1.0;
    /// `storage.list` without a limit.
    NO_LIMIT: f64 = 0.0;
    /// A close without a code.
    NO_CODE: i32 = -1;
    /// No socket: an answer that carries none, an object that the host does not know.
    NO_SOCKET: i32 = -1;
    /// No stream: a body that is whole or missing.
    NO_RESOURCE: u32 = 0;
    /// No request that could be answered: the handshake of a connection.
    NO_REQUEST: u32 = 0;
    /// The greatest id of a request or of an alarm's run; then they begin again with 1. Greater ones are no small integers in
    /// V8.
    ID_MAX: u32 = 0x3fff_ffff;

    /// Tags of platform objects in the original's structured clones.
    CLONE_HEADERS: u32 = 4;
    /// See [`CLONE_HEADERS`].
    CLONE_REQUEST: u32 = 5;
    /// See [`CLONE_HEADERS`].
    CLONE_RESPONSE: u32 = 6;
    /// See [`CLONE_HEADERS`].
    CLONE_DOM_EXCEPTION: u32 = 8;
    /// Partyrun 0.1 wrote exceptions so: a record with their name, message and stack follows.
    CLONE_RECORD: u32 = 0xffff_ffff;
}

/// The script that hands the table to JavaScript.
pub(crate) fn script() -> ExtensionFileSource {
    let mut text = String::from("\"use strict\";\n(function () {\nreturn {\n  __proto__: null,\n");
    for (name, value) in TABLE {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "  {name}: {value:?},");
    }
    text.push_str("};\n})();\n");
    ExtensionFileSource::new_computed("ext:partyrun/01_wire.js", text.into())
}

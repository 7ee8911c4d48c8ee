// console.* of user code: inspected as Deno inspects, then handed to the host with its level,
// which prints the line with the room's name. Control characters of strings are escaped by the host (threat 27).
"use strict";

(function () {
const { core } = __bootstrap;
const { Console, setNoColorFns } = core.loadExtScript("ext:deno_web/01_console.js");
// The host escapes control characters, so that user strings cannot drive a terminal: values are inspected without color.
setNoColorFns(() => true, () => true);

// Levels of deno_web's Console: 0 debug, 1 log and info, 2 warn, 3 error; 4 is `console.trace`, which prints to stderr.
const console = new Console((text, level) => core.ops.op_console_write(text, level));
core.defineGlobalProperties(globalThis, { console: core.propNonEnumerable(console) });
})();

// `console` of user code. Values are inspected as Deno inspects them; the host gets the text and its level, and prints the line
// with the room's name. The host escapes control characters of strings (threat 27).
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ReflectApply } = primordials;
const { currentTrace } = core.loadExtScript("ext:partyrun/02_traces.js");
const { currentRoom } = core.loadExtScript("ext:partyrun/04_rooms.js");
const { Console, setNoColorFns } = core.loadExtScript("ext:deno_web/01_console.js");
// The host escapes control characters, so that user strings cannot drive a terminal: values are inspected without color.
setNoColorFns(() => true, () => true);

// Levels of deno_web's Console: 0 debug, 1 log and info, 2 warn, 3 error; 4 is `console.trace`, which prints to stderr.
// It ends with a line of its own, which the host adds.
function print(text, level) {
  if (level === 4 && text === "\n") return;
  const place = currentTrace();
  if (place === undefined || place === "") core.ops.op_console_write(currentRoom().number, text, level);
  else core.ops.op_trace_console(currentRoom().number, place, text, level);
}

const console = new Console(print);
core.defineGlobalProperties(globalThis, { console: core.propNonEnumerable(console) });

const { error, log, warn } = console;
const own = { __proto__: null, error, log, warn };

// What the runtime itself has to say goes to the console that user code sees, as on the original: packages that collect errors
// put functions of their own there. Where those fail, or nothing is there any more, it is printed.
function say(method, given) {
  try {
    const { console: theirs } = globalThis;
    ReflectApply(theirs[method], theirs, given);
  } catch {
    ReflectApply(own[method], console, given);
  }
}

return {
  console: {
    __proto__: null,
    error(...given) {
      say("error", given);
    },
    log(...given) {
      say("log", given);
    },
    warn(...given) {
      say("warn", given);
    },
  },
  print,
};
})();

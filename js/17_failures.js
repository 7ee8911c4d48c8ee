// Decides what clients read when user code throws (docs/limits.md).
"use strict";

(function () {
const { primordials } = __bootstrap;
const { ErrorPrototype, ObjectPrototypeIsPrototypeOf, String } = primordials;

// In production strangers get a constant text, and the message stands in the log only: it may name hosts, files, secrets.
let concealing = false;

// The file of each party, where it is known.
let files = { __proto__: null };

function setFiles(value) {
  files = { __proto__: null, ...value };
}

// A party as messages name it, whose code has thrown nothing that would tell the file.
function partyNamed(name) {
  const file = files[name];
  return file === undefined ? `party ${name}` : `party ${name} (${file})`;
}

function setConcealing(value) {
  concealing = value;
}

// A getter or `toString` of user code that throws says nothing: its room goes on as after any other error.
function messageOf(error, fallback) {
  let message = "";
  try {
    message = ObjectPrototypeIsPrototypeOf(ErrorPrototype, error) ? `${error.message}` : String(error);
  } catch {
    // The log shows what can be shown of it.
  }
  return message === "" ? fallback : message;
}

// The `code` of an error, if it is a number; else NaN. A getter of user code that throws has none.
function codeOf(error) {
  if (typeof error !== "object" || error === null) return NaN;
  try {
    const { code } = error;
    return typeof code === "number" ? code : NaN;
  } catch {
    return NaN;
  }
}

// An error whose numeric `code` is the status of a client's mistake was made for the client.
function isForClients(error) {
  const code = codeOf(error);
  return code >= 400 && code <= 499;
}

// What a client is told of an error: its message, or in production `constant`.
function textFor(error, fallback, constant) {
  return concealing && !isForClients(error) ? constant : messageOf(error, fallback);
}

const FAILED = "Internal Server Error";

return { codeOf, FAILED, messageOf, partyNamed, setConcealing, setFiles, textFor };
})();

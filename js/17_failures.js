// What clients read of an error of user code (docs/limits.md).
"use strict";

(function () {
const { primordials } = __bootstrap;
const { ErrorPrototype, ObjectPrototypeIsPrototypeOf, String } = primordials;

// In production strangers get a constant text, and the message stands in the log only: it may name hosts, files, secrets.
let concealing = false;

function setConcealing(value) {
  concealing = value;
}

function messageOf(error, fallback) {
  const message = ObjectPrototypeIsPrototypeOf(ErrorPrototype, error) ? `${error.message}` : String(error);
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

return { codeOf, FAILED, messageOf, setConcealing, textFor };
})();

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

// An error whose numeric `code` is the status of a client's mistake was made for the client.
function isForClients(error) {
  if (typeof error !== "object" || error === null) return false;
  const { code } = error;
  return typeof code === "number" && code >= 400 && code <= 499;
}

// What a client is told of an error: its message, or in production `constant`.
function textFor(error, fallback, constant) {
  return concealing && !isForClients(error) ? constant : messageOf(error, fallback);
}

const FAILED = "Internal Server Error";

return { FAILED, messageOf, setConcealing, textFor };
})();

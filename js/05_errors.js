// Registers the classes of errors that ops name beside JavaScript's own. User code would get `undefined` in place of an error
// whose class is not registered.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { Error, ObjectDefineProperty } = primordials;
const { DOMException, QuotaExceededError } = core.loadExtScript("ext:deno_web/01_dom_exception.js");

// Classes `DOMException<Name>` (DOM, section 4.3).
const DOM_EXCEPTIONS = [
  "AbortError",
  "DataError",
  "IndexSizeError",
  "InvalidAccessError",
  "InvalidCharacterError",
  "InvalidStateError",
  "NetworkError",
  "NotSupportedError",
  "OperationError",
  "SyntaxError",
  "TypeMismatchError",
];

// Failures of the machine and the network: errors with the name of their kind.
const SYSTEM_ERRORS = [
  "AddrInUse",
  "AddrNotAvailable",
  "AlreadyExists",
  "BrokenPipe",
  "Busy",
  "ConnectionAborted",
  "ConnectionRefused",
  "ConnectionReset",
  "FilesystemLoop",
  "Http",
  "InvalidData",
  "IsADirectory",
  "NetworkUnreachable",
  "NotADirectory",
  "NotConnected",
  "NotFound",
  "NotSupported",
  "PermissionDenied",
  "TimedOut",
  "UnexpectedEof",
  "WouldBlock",
  "WriteZero",
];

for (let i = 0; i < DOM_EXCEPTIONS.length; i++) {
  const name = DOM_EXCEPTIONS[i];
  core.registerErrorBuilder("DOMException" + name, (message) => new DOMException(message, name));
}

// A class of its own (Web IDL, QuotaExceededError).
core.registerErrorBuilder("DOMExceptionQuotaExceededError", (message) => new QuotaExceededError(message));

for (let i = 0; i < SYSTEM_ERRORS.length; i++) {
  const name = SYSTEM_ERRORS[i];
  core.registerErrorBuilder(name, (message) => {
    const error = new Error(message);
    ObjectDefineProperty(error, "name", { __proto__: null, value: name, writable: true, configurable: true });
    return error;
  });
}
})();

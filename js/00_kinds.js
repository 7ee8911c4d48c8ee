// Marks the classes of the platform for structured clones. To V8 their objects are plain objects without properties, and it
// would clone each to `{}`. So the prototype of such a class has a function under `kParts`. It either takes an object apart for
// the clone (runtime/extensions/src/values.rs), or throws a DataCloneError with the name of the class, in the original's words.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ObjectDefineProperty, ObjectGetPrototypeOf, ObjectHasOwn, ObjectPrototype, Symbol } = primordials;
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");

const kParts = Symbol("parts of a clone");

function refuse(message) {
  throw new DOMException(message, "DataCloneError");
}

function define(prototype, symbol, value) {
  // Writable, because deno_web writes the latter on some objects that inherit it.
  ObjectDefineProperty(prototype, symbol, { __proto__: null, value, writable: true, configurable: true });
}

// The name of an object's class, which may be a class of user code that extends one of the platform's.
function classOf(object, prototype, name) {
  if (ObjectGetPrototypeOf(object) === prototype) return name;
  const { constructor } = object;
  return typeof constructor === "function" ? constructor.name : name;
}

// No object of the class can be cloned.
function refuseAll(prototype, name, message) {
  function parts() {
    refuse(
      message ??
        `Could not serialize object of type "${classOf(this, prototype, name)}". This type does not support serialization.`,
    );
  }
  define(prototype, kParts, parts);
  // deno_web's own clones, which carry what a list of transfers names, look here. Some classes have an answer of their own.
  if (!ObjectHasOwn(prototype, core.hostObjectBrand)) define(prototype, core.hostObjectBrand, parts);
}

// What a module of the platform exports: classes, and objects of classes that it keeps to itself.
function refuseExport(exported, name) {
  if (typeof exported === "function") {
    const { prototype } = exported;
    if (prototype === undefined || prototype === null || ObjectHasOwn(prototype, kParts)) return;
    refuseAll(prototype, name);
  } else if (typeof exported === "object" && exported !== null) {
    const prototype = ObjectGetPrototypeOf(exported);
    if (prototype === ObjectPrototype || ObjectHasOwn(prototype, kParts)) return;
    refuseAll(prototype, prototype.constructor.name);
  }
}

const builders = { __proto__: null };

// An object of the class is cloned by what `parts` answers when it is called on it: a list of the kind's number, further
// numbers, strings, and values. `build` makes an object of what was read; see values.rs for its arguments.
function cloneAll(prototype, kind, parts, build) {
  refuseAll(prototype, prototype.constructor.name);
  define(prototype, kParts, parts);
  builders[kind] = build;
}

return { builders, cloneAll, kParts, refuse, refuseAll, refuseExport };
})();

// Charges the room for growable SharedArrayBuffers when they are made, because neither V8 nor its allocator counts their pages.
// Other objects may share a buffer's memory (clones, the other side of a port), so the charge lasts as long as the isolate.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  ArrayPrototypePush,
  MathCeil,
  ObjectDefineProperty,
  ObjectGetOwnPropertyDescriptor,
  ReflectApply,
  ReflectConstruct,
  SafeWeakMap,
  SymbolSpecies,
  TypeError,
  WeakMapPrototypeGet,
  WeakMapPrototypeSet,
} = primordials;
const { op_memory_hold } = core.ops;

// So much is charged at once, so that a buffer has few charges.
const STEP_BYTES = 65536;

const charges = [];
// By buffer: the steps that are paid for.
const paid = new SafeWeakMap();

function pay(buffer, bytes) {
  const steps = MathCeil(bytes / STEP_BYTES);
  const more = steps - (WeakMapPrototypeGet(paid, buffer) ?? 0);
  if (more <= 0) return;
  ArrayPrototypePush(charges, op_memory_hold(more * STEP_BYTES));
  WeakMapPrototypeSet(paid, buffer, steps);
}

function replace(object, name, value) {
  const { writable, enumerable, configurable } = ObjectGetOwnPropertyDescriptor(object, name);
  ObjectDefineProperty(object, name, { __proto__: null, value, writable, enumerable, configurable });
}

// V8 adds the class to a context that comes from a snapshot, so that this is for each isolate to call.
function install() {
  const Native = globalThis.SharedArrayBuffer;
  const { prototype } = Native;
  const { get: lengthOf } = ObjectGetOwnPropertyDescriptor(prototype, "byteLength");
  const { get: maxOf } = ObjectGetOwnPropertyDescriptor(prototype, "maxByteLength");
  const { grow: growNatively } = prototype;

  const { grow } = {
    grow(newLength) {
      // What is no such buffer, or no length, V8 refuses in its own words.
      if (!core.isSharedArrayBuffer(this)) return ReflectApply(growNatively, this, [newLength]);
      const length = +newLength;
      if (length > ReflectApply(lengthOf, this, []) && length <= ReflectApply(maxOf, this, [])) pay(this, length);
      return ReflectApply(growNatively, this, [length]);
    },
  };

  // V8 names a class in its messages as it stands here.
  const { SharedArrayBuffer: Shared } = { SharedArrayBuffer: function (length, options) {
    if (new.target === undefined) throw new TypeError("Constructor SharedArrayBuffer requires 'new'");
    const given = options === null || typeof options !== "object" ? undefined : options.maxByteLength;
    if (given === undefined) return ReflectConstruct(Native, [length], new.target);
    const size = length === undefined ? 0 : +length;
    const max = +given;
    // Empty at first: it grows when its pages are paid for.
    const begins = size > 0 && size <= max ? 0 : size;
    const buffer = ReflectConstruct(Native, [begins, { __proto__: null, maxByteLength: max }], new.target);
    if (size > 0) ReflectApply(grow, buffer, [size]);
    return buffer;
  } };

  replace(Shared, "length", 1);
  ObjectDefineProperty(Shared, "prototype", { __proto__: null, value: prototype, writable: false });
  ObjectDefineProperty(Shared, SymbolSpecies, ObjectGetOwnPropertyDescriptor(Native, SymbolSpecies));
  replace(prototype, "constructor", Shared);
  replace(prototype, "grow", grow);
  replace(globalThis, "SharedArrayBuffer", Shared);
}

return { install };
})();

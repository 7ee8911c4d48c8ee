// Messages that wait in a port. Their bytes are made by Rust and taken from V8 when they are sent, so that neither counts them:
// here they are copied into a buffer of the room's own, which counts until the message is received or its port is gone.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { TypedArrayPrototypeGetByteLength, TypedArrayPrototypeSet, Uint8Array } = primordials;
const { part } = core.loadExtScript("ext:partyrun/03_bytes.js");

// What every message takes beside its bytes.
const MESSAGE_BYTES = 256;

return {
  counted(bytes) {
    const length = TypedArrayPrototypeGetByteLength(bytes);
    const whole = new Uint8Array(length + MESSAGE_BYTES);
    TypedArrayPrototypeSet(whole, bytes);
    return part(whole, 0, length);
  },
};
})();

// Counts the memory of messages that wait in a port. Rust makes their bytes and V8 gives them up when they are sent, so neither
// counts them. Here they are copied into a buffer of the room, which counts until the message is received or its port is gone.
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

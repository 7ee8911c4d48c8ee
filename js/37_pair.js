// WebSocketPair: two sockets that are connected to each other (spec 2.7), until a response with status 101 hands one to the host.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { TypeError } = primordials;
const { refuseAll } = core.loadExtScript("ext:partyrun/00_kinds.js");
const { adopt, kIndex, kRoom, passOn, takeWaiting } = core.loadExtScript("ext:partyrun/34_sockets.js");
const { kBrand, kPeer, WebSocket } = core.loadExtScript("ext:partyrun/36_socket.js");

// WebSocketPair() gives an object with the keys 0 and 1 (spec 2.7).
function WebSocketPair() {
  if (new.target === undefined) throw new TypeError("Class constructor WebSocketPair cannot be invoked without 'new'");
  const first = new WebSocket(kBrand);
  const second = new WebSocket(kBrand);
  first[kPeer] = second;
  second[kPeer] = first;
  this[0] = first;
  this[1] = second;
}

// Hands the end of a pair that was returned with a 101 answer to the host's socket `index`.
// What the other end sends goes to the host from now on, and what the host receives goes to the other end.
function bindPair(end, room, index) {
  const other = end[kPeer];
  end[kRoom] = room;
  end[kIndex] = index;
  end[kPeer] = null;
  other[kPeer] = null;
  adopt(other, room, index);
  // What was said before the answer was ready leaves now.
  passOn(takeWaiting(end), room, index);
}

refuseAll(WebSocketPair.prototype, "WebSocketPair");
core.defineGlobalProperties(globalThis, { WebSocketPair: core.propNonEnumerable(WebSocketPair) });

return { bindPair };
})();

// WebSocket as Workers have it: the server's end of a connection, either end of a WebSocketPair (37_pair.js), or a socket to
// another server (35_socket_client.js). Messages of errors: spec 2.7.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { NumberIsInteger, ObjectDefineProperties, ObjectDefineProperty, Symbol, TypeError } = primordials;
const { EventTarget } = core.loadExtScript("ext:deno_web/02_event.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { bufferOf, bytesOf, copyOf, isBinary } = core.loadExtScript("ext:partyrun/03_bytes.js");
const { NO_CODE, NO_SOCKET } = core.loadExtScript("ext:partyrun/01_wire.js");
const { currentRoom } = core.loadExtScript("ext:partyrun/04_rooms.js");
const { refuseAll } = core.loadExtScript("ext:partyrun/00_kinds.js");
const { deserialize, serialize } = core.loadExtScript("ext:partyrun/27_values.js");
const { setOpenSocket } = core.loadExtScript("ext:partyrun/32_fetch.js");
const {
  bindHost,
  bufferedByHost,
  CLOSED,
  closeEvent,
  closeHost,
  CLOSING,
  CONNECTING,
  deliver,
  dispatch,
  drainSoon,
  kAccepted,
  kDraining,
  kHandlers,
  kIndex,
  kRoom,
  kState,
  kWaiting,
  messageEvent,
  OPEN,
  sendToHost,
} = core.loadExtScript("ext:partyrun/34_sockets.js");
const { connect, kExtensions, kProtocol, open, protocolList, webSocketUrl } = core
  .loadExtScript("ext:partyrun/35_socket_client.js");

const kPeer = Symbol("other end");
const kClosedHere = Symbol("closed by this end");
const kUrl = Symbol("url");
const kAttachment = Symbol("attachment");
const kBinaryType = Symbol("binary type");
const kBrand = Symbol("made by the runtime");

function checkClose(code, reason) {
  if (code === undefined || code === null) {
    if (reason !== undefined && reason !== null && `${reason}` !== "") {
      throw new TypeError("If you specify a WebSocket close reason, you must also specify a code.");
    }
    return NO_CODE;
  }
  const number = +code;
  const allowed = NumberIsInteger(number) && number >= 1000 && number < 5000 && number !== 1004 &&
    number !== 1005 && number !== 1006 && number !== 1015;
  if (!allowed) throw new TypeError(`Invalid WebSocket close code: ${code}.`);
  return number;
}

const NOTHING_TO_SEND =
  "Failed to execute 'send' on 'WebSocket': parameter 1 is not of type 'ArrayBuffer or ArrayBufferView or string'.";

class WebSocket extends EventTarget {
  constructor(url, protocols) {
    super();
    this[kRoom] = null;
    this[kIndex] = NO_SOCKET;
    this[kPeer] = null;
    this[kWaiting] = null;
    this[kDraining] = false;
    this[kUrl] = null;
    this[kProtocol] = "";
    this[kExtensions] = "";
    this[kAttachment] = null;
    this[kBinaryType] = "blob";
    this[kHandlers] = null;
    if (url === kBrand) {
      this[kState] = OPEN;
      this[kAccepted] = false;
      return;
    }
    begin(this, currentRoom(), url, protocols);
  }

  get readyState() {
    return this[kState];
  }
  get url() {
    return this[kUrl];
  }
  get protocol() {
    return this[kProtocol];
  }
  get extensions() {
    return this[kExtensions];
  }
  // What waits for the network, in bytes. (The original has no such property.)
  get bufferedAmount() {
    return this[kIndex] === NO_SOCKET ? 0 : bufferedByHost(this[kRoom], this[kIndex]);
  }
  get binaryType() {
    return this[kBinaryType];
  }
  set binaryType(value) {
    if (value === "blob" || value === "arraybuffer") this[kBinaryType] = value;
  }

  accept() {
    accept(this);
  }

  send(data) {
    if (arguments.length === 0) throw new TypeError(NOTHING_TO_SEND);
    if (!this[kAccepted]) {
      throw new TypeError(
        "You must call one of accept() or state.acceptWebSocket() on this WebSocket before sending messages.",
      );
    }
    if (this[kState] === CONNECTING) {
      throw new DOMException("The WebSocket is not open yet.", "InvalidStateError");
    }
    if (this[kState] >= CLOSING && this[kClosedHere]) {
      throw new TypeError("Can't call WebSocket send() after close().");
    }
    const peer = this[kPeer];
    if (peer !== null) {
      deliverToPeer(peer, isBinary(data) ? bufferOf(copyOf(bytesOf(data))) : `${data}`);
    } else if (this[kIndex] !== NO_SOCKET) {
      sendToHost(this[kRoom], this[kIndex], data);
    }
  }

  close(code, reason) {
    if (this[kClosedHere]) return;
    const number = checkClose(code, reason);
    this[kClosedHere] = true;
    if (this[kState] >= CLOSING) return;
    const text = reason === undefined || reason === null ? "" : `${reason}`;
    if (this[kState] === CONNECTING) {
      // The attempt is given up: `connect` sees it when the host has answered (WebSockets standard, close()).
      this[kState] = CLOSING;
      return;
    }
    this[kState] = CLOSING;
    const peer = this[kPeer];
    if (peer !== null) {
      const end = { code: number === NO_CODE ? 1005 : number, reason: text };
      closePeer(peer, end.code, end.reason);
      deliver(this, closeEvent(end.code, end.reason));
    } else if (this[kIndex] !== NO_SOCKET) {
      closeHost(this[kRoom], this[kIndex], number, text);
    }
  }

  dispatchEvent(event) {
    return dispatch(this, event);
  }

  serializeAttachment(value) {
    this[kAttachment] = serialize(value === undefined ? null : value);
  }
  deserializeAttachment() {
    return this[kAttachment] === null ? null : deserialize(this[kAttachment], () => "The attachment");
  }
}

function begin(socket, room, url, protocols) {
  socket[kRoom] = room;
  socket[kState] = CONNECTING;
  socket[kAccepted] = true;
  socket[kUrl] = webSocketUrl(url);
  connect(socket, socket[kUrl], protocolList(protocols));
}

// `new WebSocket(url)` of a room.
function openSocket(room, url) {
  const socket = new WebSocket(kBrand);
  begin(socket, room, url, undefined);
  return socket;
}

function accept(socket) {
  if (socket[kAccepted]) return;
  socket[kAccepted] = true;
  if (socket[kWaiting] !== null) drainSoon(socket);
}

function deliverToPeer(peer, data) {
  // The other end may belong to the host by now: it was handed out with a 101 answer.
  if (peer[kIndex] !== NO_SOCKET) sendToHost(peer[kRoom], peer[kIndex], data);
  else deliver(peer, messageEvent(data));
}

function closePeer(peer, code, reason) {
  if (peer[kIndex] !== NO_SOCKET) closeHost(peer[kRoom], peer[kIndex], code === 1005 ? NO_CODE : code, reason);
  else deliver(peer, closeEvent(code, reason));
}

// Gives a socket object to a socket of the host.
function fromHost(room, index) {
  const socket = new WebSocket(kBrand);
  bindHost(socket, room, index);
  return socket;
}

// For `fetch` with `Upgrade: websocket`: the answer's parts, and the socket that has still to be accepted.
setOpenSocket(async (room, url, protocols, headers) => {
  const { index, protocol, reply } = await open(room, url, protocols, headers);
  return { socket: index === NO_SOCKET ? null : fromHost(room, index), protocol, reply };
});

// The properties of handlers. `dispatch` calls them.
for (const name of ["open", "message", "close", "error"]) {
  ObjectDefineProperty(WebSocket.prototype, "on" + name, {
    __proto__: null,
    configurable: true,
    enumerable: true,
    get() {
      return this[kHandlers]?.[name] ?? null;
    },
    set(handler) {
      this[kHandlers] ??= { __proto__: null };
      this[kHandlers][name] = typeof handler === "function" ? handler : null;
    },
  });
}

const constants = { __proto__: null };
const numbers = { CONNECTING, OPEN, CLOSING, CLOSED };
for (const name in numbers) {
  const property = { __proto__: null, value: numbers[name], enumerable: true };
  constants[name] = property;
  constants["READY_STATE_" + name] = property;
}

ObjectDefineProperties(WebSocket, constants);
ObjectDefineProperties(WebSocket.prototype, constants);
ObjectDefineProperty(WebSocket.prototype, "readyState", { __proto__: null, enumerable: true });

refuseAll(WebSocket.prototype, "WebSocket");
core.defineGlobalProperties(globalThis, { WebSocket: core.propNonEnumerable(WebSocket) });

return {
  accept,
  fromHost,
  kBrand,
  kClosedHere,
  kPeer,
  openSocket,
  WebSocket,
};
})();

// WebSocket as Workers know it: the server's end of a connection, either end of a WebSocketPair, and a socket to another
// party. The host knows a socket by a small number, its index; frames and closing cross by that number.
// Texts and code rules: spec 2.7. An outgoing `new WebSocket(url)` is made by the host, see `connect`.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  ArrayBufferIsView,
  ArrayPrototypePush,
  Error,
  NumberIsInteger,
  ObjectDefineProperties,
  ObjectDefineProperty,
  PromisePrototypeThen,
  PromiseResolve,
  String,
  Symbol,
  TypeError,
  TypedArrayPrototypeGetBuffer,
  TypedArrayPrototypeGetByteLength,
  TypedArrayPrototypeGetByteOffset,
  TypedArrayPrototypeGetSymbolToStringTag,
  DataViewPrototypeGetBuffer,
  DataViewPrototypeGetByteLength,
  DataViewPrototypeGetByteOffset,
  Uint8Array,
} = primordials;
const { EventTarget, MessageEvent, CloseEvent, ErrorEvent, Event, defineEventHandler, listenerCount } = core
  .loadExtScript("ext:deno_web/02_event.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { URL } = core.loadExtScript("ext:deno_web/00_url.js");
const { hot } = core.loadExtScript("ext:partyrun/25_hot.js");

const kIndex = Symbol("index");
const kState = Symbol("state of the connection");
const kPeer = Symbol("other end");
const kWaiting = Symbol("events before accept");
const kAccepted = Symbol("accepted");
const kUrl = Symbol("url");
const kProtocol = Symbol("protocol");
const kAttachment = Symbol("attachment");
const kBinaryType = Symbol("binary type");
const kBrand = Symbol("made by the runtime");

const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;

// Host sockets of this isolate, by index.
const sockets = [];

function bytesOf(data) {
  if (core.isAnyArrayBuffer(data)) return new Uint8Array(data);
  if (TypedArrayPrototypeGetSymbolToStringTag(data) === undefined) {
    return new Uint8Array(
      DataViewPrototypeGetBuffer(data),
      DataViewPrototypeGetByteOffset(data),
      DataViewPrototypeGetByteLength(data),
    );
  }
  return new Uint8Array(
    TypedArrayPrototypeGetBuffer(data),
    TypedArrayPrototypeGetByteOffset(data),
    TypedArrayPrototypeGetByteLength(data),
  );
}

function isBinary(data) {
  return typeof data === "object" && data !== null && (ArrayBufferIsView(data) || core.isAnyArrayBuffer(data));
}

// The host answers with a number, so that the call stays a fast one: 0 sent or dropped, 1 too long.
function checkSent(status) {
  if (status !== 0) throw new RangeError("The WebSocket message is longer than this server allows.");
}

function checkClose(code, reason) {
  if (code === undefined || code === null) {
    if (reason !== undefined && reason !== null && `${reason}` !== "") {
      throw new TypeError("If you specify a WebSocket close reason, you must also specify a code.");
    }
    return -1;
  }
  const number = +code;
  const allowed = NumberIsInteger(number) && number >= 1000 && number < 5000 && number !== 1004 &&
    number !== 1005 && number !== 1006 && number !== 1015;
  if (!allowed) throw new TypeError(`Invalid WebSocket close code: ${code}.`);
  return number;
}

class WebSocket extends EventTarget {
  constructor(url, protocols) {
    super();
    this[kIndex] = -1;
    this[kPeer] = null;
    this[kWaiting] = null;
    this[kUrl] = null;
    this[kProtocol] = "";
    this[kAttachment] = null;
    this[kBinaryType] = "blob";
    if (url === kBrand) {
      this[kState] = OPEN;
      this[kAccepted] = false;
      return;
    }
    this[kState] = CONNECTING;
    this[kAccepted] = true;
    connect(this, url, protocols);
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
    return "";
  }
  get bufferedAmount() {
    return 0;
  }
  get binaryType() {
    return this[kBinaryType];
  }
  set binaryType(value) {
    if (value === "blob" || value === "arraybuffer") this[kBinaryType] = value;
  }

  accept() {
    if (this[kAccepted]) return;
    this[kAccepted] = true;
    const waiting = this[kWaiting];
    this[kWaiting] = null;
    if (waiting !== null) {
      for (let i = 0; i < waiting.length; i++) later(waiting[i]);
    }
  }

  send(data) {
    if (!this[kAccepted]) {
      throw new TypeError(
        "You must call one of accept() or state.acceptWebSocket() on this WebSocket before sending messages.",
      );
    }
    if (this[kState] === CONNECTING) {
      throw new DOMException("The WebSocket is not open yet.", "InvalidStateError");
    }
    if (this[kState] === CLOSING && this[kClosedHere]) {
      throw new TypeError("Can't call WebSocket send() after close().");
    }
    const peer = this[kPeer];
    if (peer !== null) {
      deliverToPeer(peer, isBinary(data) ? core.structuredClone(bytesOf(data)).buffer : String(data));
    } else if (this[kIndex] >= 0) {
      sendToHost(this[kIndex], data);
    }
  }

  close(code, reason) {
    const number = checkClose(code, reason);
    if (this[kState] >= CLOSING) return;
    const text = reason === undefined || reason === null ? "" : `${reason}`;
    this[kState] = CLOSING;
    this[kClosedHere] = true;
    const peer = this[kPeer];
    if (peer !== null) {
      const end = { code: number < 0 ? 1005 : number, reason: text };
      deliver(peer, () => closed(peer, end.code, end.reason, true));
      later(() => closed(this, end.code, end.reason, true));
    } else if (this[kIndex] >= 0) {
      core.ops.op_socket_close(this[kIndex], number, text);
    }
  }

  serializeAttachment(value) {
    this[kAttachment] = core.serialize(value === undefined ? null : value, { forStorage: true });
  }
  deserializeAttachment() {
    return this[kAttachment] === null ? null : core.deserialize(this[kAttachment], { forStorage: true });
  }
}

const kClosedHere = Symbol("closed by this end");

function later(task) {
  PromisePrototypeThen(PromiseResolve(undefined), task);
}

function sendToHost(index, data) {
  if (typeof data === "string") checkSent(hot.op_socket_send_text(index, data));
  else if (isBinary(data)) checkSent(hot.op_socket_send_binary(index, bytesOf(data)));
  else checkSent(hot.op_socket_send_text(index, String(data)));
}

function deliver(socket, task) {
  if (socket[kAccepted]) later(task);
  else ArrayPrototypePush(socket[kWaiting] ??= [], task);
}

function deliverToPeer(peer, data) {
  // The other end may belong to the host by now: it was handed out with a 101 answer.
  if (peer[kIndex] >= 0) sendToHost(peer[kIndex], data);
  else deliver(peer, () => received(peer, data));
}

function received(socket, data) {
  if (socket[kState] >= CLOSED) return;
  socket.dispatchEvent(new MessageEvent("message", { data }));
}

function closed(socket, code, reason, wasClean) {
  if (socket[kState] === CLOSED) return;
  socket[kState] = CLOSED;
  socket.dispatchEvent(new CloseEvent("close", { code, reason, wasClean }));
}

function failed(socket, message) {
  const error = new Error(message);
  socket.dispatchEvent(new ErrorEvent("error", { error, message }));
}

// Gives a socket object to a socket of the host.
function adopt(socket, index) {
  socket[kIndex] = index;
  sockets[index] = socket;
  return socket;
}

function fromHost(index) {
  const socket = adopt(new WebSocket(kBrand), index);
  const waiting = early[index];
  early[index] = undefined;
  if (waiting !== undefined) {
    for (let i = 0; i < waiting.length; i++) deliver(socket, () => waiting[i](socket));
  }
  return socket;
}

// Events of a socket that user code was not given yet: its answer is still on the way.
const early = [];

function deliverFromHost(index, task) {
  const socket = sockets[index];
  if (socket === undefined) ArrayPrototypePush(early[index] ??= [], task);
  else if (socket[kAccepted]) task(socket);
  else deliver(socket, () => task(socket));
}

async function connect(socket, url, protocols) {
  let target;
  try {
    target = new URL(url);
  } catch {
    throw new DOMException(`Failed to construct 'WebSocket': the url ${url} is invalid.`, "SyntaxError");
  }
  if (target.protocol === "http:") target.protocol = "ws:";
  if (target.protocol === "https:") target.protocol = "wss:";
  if (target.protocol !== "ws:" && target.protocol !== "wss:") {
    throw new DOMException("The url's scheme must be either 'ws' or 'wss'.", "SyntaxError");
  }
  socket[kUrl] = target.href;
  const list = protocols === undefined ? "" : typeof protocols === "string" ? protocols : [...protocols].join(", ");
  try {
    const { index, protocol } = await core.ops.op_socket_connect(target.href, list);
    socket[kProtocol] = protocol;
    adopt(socket, index);
    socket[kState] = OPEN;
    socket.dispatchEvent(new Event("open"));
  } catch (error) {
    socket[kState] = CLOSED;
    failed(socket, error?.message ?? "WebSocket connection failed.");
    socket.dispatchEvent(new CloseEvent("close", { code: 1006, reason: "", wasClean: false }));
  }
}

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
function bindPair(end, index) {
  const other = end[kPeer];
  end[kIndex] = index;
  end[kPeer] = null;
  other[kPeer] = null;
  adopt(other, index);
  const waiting = end[kWaiting];
  end[kWaiting] = null;
  return { other, waiting };
}

for (const name of ["open", "message", "close", "error"]) defineEventHandler(WebSocket.prototype, name);
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

core.defineGlobalProperties(globalThis, {
  WebSocket: core.propNonEnumerable(WebSocket),
  WebSocketPair: core.propNonEnumerable(WebSocketPair),
});

return {
  adopt,
  bindPair,
  checkSent,
  closed,
  CLOSED,
  CLOSING,
  deliverFromHost,
  failed,
  fromHost,
  isBinary,
  kAccepted,
  kAttachment,
  kBrand,
  kClosedHere,
  kIndex,
  kPeer,
  kState,
  listenerCount,
  OPEN,
  received,
  sendToHost,
  sockets,
  WebSocket,
};
})();

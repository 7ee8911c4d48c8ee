// WebSocket as Workers know it: the server's end of a connection, either end of a WebSocketPair, and a socket to another
// party. The host knows a socket by a small number, its index; frames and closing cross by that number.
// Texts and code rules: spec 2.7. An outgoing `new WebSocket(url)` is made by the host, see `connect`.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  ArrayBufferIsView,
  ArrayPrototypeIndexOf,
  ArrayPrototypeJoin,
  ArrayPrototypePush,
  ArrayPrototypeShift,
  Error,
  NumberIsInteger,
  ObjectDefineProperties,
  ObjectDefineProperty,
  PromisePrototypeThen,
  RangeError,
  ReflectApply,
  RegExpPrototypeTest,
  SafeRegExp,
  StringPrototypeIndexOf,
  StringPrototypeSlice,
  StringPrototypeSplit,
  StringPrototypeStartsWith,
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
const { EventTarget, MessageEvent, CloseEvent, ErrorEvent, Event, listenerCount, setTarget } = core
  .loadExtScript("ext:deno_web/02_event.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { URL } = core.loadExtScript("ext:deno_web/00_url.js");
const { setOpenSocket } = core.loadExtScript("ext:partyrun/32_fetch.js");
const { hot } = core.loadExtScript("ext:partyrun/25_hot.js");
const { deserialize, serialize } = core.loadExtScript("ext:partyrun/27_values.js");
const { refuseAll } = core.loadExtScript("ext:partyrun/00_kinds.js");

const kIndex = Symbol("index");
const kState = Symbol("state of the connection");
const kPeer = Symbol("other end");
const kWaiting = Symbol("events on their way");
const kDraining = Symbol("an event is about to be delivered");
const kAccepted = Symbol("accepted");
const kUrl = Symbol("url");
const kProtocol = Symbol("protocol");
const kAttachment = Symbol("attachment");
const kBinaryType = Symbol("binary type");
const kHandlers = Symbol("handlers in properties");
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
  if (status === 0) return;
  throw new RangeError(
    status === 1
      ? "The WebSocket message is longer than this server allows."
      : "Too many messages of this room wait for its writes to be stored (limit `held_bytes_max`).",
  );
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

const NOTHING_TO_SEND =
  "Failed to execute 'send' on 'WebSocket': parameter 1 is not of type 'ArrayBuffer or ArrayBufferView or string'.";

class WebSocket extends EventTarget {
  constructor(url, protocols) {
    super();
    this[kIndex] = -1;
    this[kPeer] = null;
    this[kWaiting] = null;
    this[kDraining] = false;
    this[kUrl] = null;
    this[kProtocol] = "";
    this[kAttachment] = null;
    this[kBinaryType] = "blob";
    this[kHandlers] = null;
    if (url === kBrand) {
      this[kState] = OPEN;
      this[kAccepted] = false;
      return;
    }
    this[kState] = CONNECTING;
    this[kAccepted] = true;
    const target = webSocketUrl(url);
    this[kUrl] = target;
    connect(this, target, protocolList(protocols));
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
  // What waits for the network, in bytes; of a connection, with the heads of its frames. (The original has no such property.)
  get bufferedAmount() {
    return this[kIndex] < 0 ? 0 : core.ops.op_socket_buffered(this[kIndex]);
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
    if (this[kWaiting] !== null) drainSoon(this);
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
      deliverToPeer(peer, isBinary(data) ? core.structuredClone(bytesOf(data)).buffer : `${data}`);
    } else if (this[kIndex] >= 0) {
      sendToHost(this[kIndex], data);
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
      const end = { code: number < 0 ? 1005 : number, reason: text };
      closePeer(peer, end.code, end.reason);
      deliver(this, closeEvent(end.code, end.reason));
    } else if (this[kIndex] >= 0) {
      core.ops.op_socket_close(this[kIndex], number, text);
    }
  }

  dispatchEvent(event) {
    callHandler(this, event);
    return callListeners(this, event);
  }

  serializeAttachment(value) {
    this[kAttachment] = serialize(value === undefined ? null : value);
  }
  deserializeAttachment() {
    return this[kAttachment] === null ? null : deserialize(this[kAttachment], () => "The attachment");
  }
}

const kClosedHere = Symbol("closed by this end");

function sendToHost(index, data) {
  if (typeof data === "string") checkSent(hot.op_socket_send_text(index, data));
  else if (isBinary(data)) checkSent(hot.op_socket_send_binary(index, bytesOf(data)));
  else checkSent(hot.op_socket_send_text(index, `${data}`));
}

// --- events on their way to user code ------------------------------------------------------------------------------

// What waits for a socket is one of these; the end of a pair may go to the host before it has seen them.
function messageEvent(data) {
  return { deliver: received, data, code: 0, reason: "", how: 0 };
}

function closeEvent(code, reason, how = ENDED_HERE) {
  return { deliver: ended, data: undefined, code, reason, how };
}

// Events wait until the socket is accepted, and then for a turn of the event loop of their own: code that awaited the
// socket still has its listeners to attach, in the microtasks that follow.
function deliver(socket, event) {
  ArrayPrototypePush(socket[kWaiting] ??= [], event);
  if (socket[kAccepted]) drainSoon(socket);
}

function drainSoon(socket) {
  if (socket[kDraining]) return;
  socket[kDraining] = true;
  PromisePrototypeThen(core.ops.op_void_async_deferred(), () => drainOne(socket));
}

// One event a turn, so that what it started in microtasks comes before the next.
function drainOne(socket) {
  socket[kDraining] = false;
  const waiting = socket[kWaiting];
  if (waiting === null) return;
  const event = ArrayPrototypeShift(waiting);
  if (waiting.length === 0) socket[kWaiting] = null;
  else drainSoon(socket);
  event.deliver(socket, event);
}

function deliverToPeer(peer, data) {
  // The other end may belong to the host by now: it was handed out with a 101 answer.
  if (peer[kIndex] >= 0) sendToHost(peer[kIndex], data);
  else deliver(peer, messageEvent(data));
}

function closePeer(peer, code, reason) {
  if (peer[kIndex] >= 0) core.ops.op_socket_close(peer[kIndex], code === 1005 ? -1 : code, reason);
  else deliver(peer, closeEvent(code, reason));
}

function received(socket, event) {
  const { data } = event;
  if (socket[kState] >= CLOSED) return;
  socket.dispatchEvent(new MessageEvent("message", { data }));
}

function closed(socket, code, reason, wasClean) {
  if (socket[kState] === CLOSED) return;
  socket[kState] = CLOSED;
  socket.dispatchEvent(finished(code, reason, wasClean));
}

function finished(code, reason, wasClean) {
  return new CloseEvent("close", { code, reason, wasClean });
}

// How a socket ended, as the host tells it: the first two are clean.
const ENDED_BY_PEER = 0;
const ENDED_HERE = 1;
const ENDED_LOST = 2;
const ENDED_FAILED = 3;

// A peer that never answered our close frame was lost as well.
function isClean(how, code) {
  return how === ENDED_BY_PEER || (how === ENDED_HERE && code !== 1006);
}

function ended(socket, { code, reason, how }) {
  if (how === ENDED_FAILED) failed(socket, reason);
  closed(socket, code, reason, isClean(how, code));
}

function failed(socket, message) {
  socket.dispatchEvent(failedEvent(new Error(message)));
}

function failedEvent(error, message = error.message) {
  return new ErrorEvent("error", { error, message });
}

// Gives a socket object to a socket of the host.
function adopt(socket, index) {
  socket[kIndex] = index;
  sockets[index] = socket;
  return socket;
}

function fromHost(index) {
  const socket = new WebSocket(kBrand);
  bindHost(socket, index);
  return socket;
}

// Events of a socket that user code was not given yet: its answer is still on the way.
const early = [];

function deliverFromHost(index, event) {
  const socket = sockets[index];
  if (socket === undefined) {
    ArrayPrototypePush(early[index] ??= [], event);
    return;
  }
  if (event.deliver === ended) forget(index);
  if (socket[kAccepted] && socket[kWaiting] === null) event.deliver(socket, event);
  else deliver(socket, event);
}

// The socket's last event has come: the host may give its index to another one.
function forget(index) {
  sockets[index] = undefined;
  core.ops.op_socket_forget(index);
}

// Takes a host socket's waiting events away from it, for whoever goes on with the socket instead of user code.
function takeWaiting(socket) {
  const waiting = socket[kWaiting] ?? [];
  socket[kWaiting] = null;
  return waiting;
}

// The URL and the protocols as the WebSockets standard wants them, section 3.1.
function webSocketUrl(url) {
  let target;
  try {
    target = new URL(url);
  } catch {
    throw new DOMException("WebSocket Constructor: The url is invalid.", "SyntaxError");
  }
  let href = target.href;
  if (StringPrototypeStartsWith(href, "http")) href = "ws" + StringPrototypeSlice(href, 4);
  if (!StringPrototypeStartsWith(href, "ws:") && !StringPrototypeStartsWith(href, "wss:")) {
    throw new DOMException("WebSocket Constructor: The url scheme must be ws or wss.", "SyntaxError");
  }
  if (StringPrototypeIndexOf(href, "#") >= 0) {
    throw new DOMException("WebSocket Constructor: The url fragment must be empty.", "SyntaxError");
  }
  return href;
}

const TOKEN = new SafeRegExp("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$");

function protocolList(protocols) {
  if (protocols === undefined || protocols === null) return "";
  const list = typeof protocols === "object" ? [...protocols] : [protocols];
  for (let i = 0; i < list.length; i++) {
    list[i] = `${list[i]}`;
    if (!RegExpPrototypeTest(TOKEN, list[i])) {
      const which = typeof protocols === "object" ? "One of the protocol header tokens" : "The protocol header token";
      throw new DOMException(`WebSocket Constructor: ${which} is invalid.`, "SyntaxError");
    }
    if (ArrayPrototypeIndexOf(list, list[i]) !== i) {
      throw new DOMException("WebSocket Constructor: The protocols header cannot have repeating values.", "SyntaxError");
    }
  }
  return ArrayPrototypeJoin(list, ", ");
}

// Asks the host for a socket to another server. Rejects when the server does not answer with 101.
async function open(url, protocols, headers) {
  const reply = await core.ops.op_socket_connect(url, protocols, headers);
  return { index: reply.socket, protocol: headerOf(reply.headers, "sec-websocket-protocol"), reply };
}

function headerOf(text, wanted) {
  const parts = StringPrototypeSplit(text, "\n");
  for (let i = 0; i + 1 < parts.length; i += 2) {
    if (parts[i] === wanted) return parts[i + 1];
  }
  return "";
}

async function connect(socket, url, protocols) {
  try {
    const { index, protocol, reply } = await open(url, protocols, "");
    if (index < 0) throw new Error(`Unexpected server response: ${reply.status}`);
    if (socket[kState] !== CONNECTING) {
      core.ops.op_socket_close(index, 1000, "");
      throw new Error("WebSocket was closed before the connection was established");
    }
    socket[kProtocol] = protocol;
    socket[kState] = OPEN;
    // Who hears of it may send at once; what has arrived meanwhile comes after it.
    adopt(socket, index);
    socket.dispatchEvent(new Event("open"));
    deliverEarly(index);
  } catch (error) {
    socket[kState] = CLOSING;
    failed(socket, error?.message ?? "WebSocket connection failed.");
    closed(socket, 1006, "", false);
  }
}

// Gives the socket its host index, and what has arrived for it meanwhile.
function bindHost(socket, index) {
  adopt(socket, index);
  deliverEarly(index);
}

function deliverEarly(index) {
  const waiting = early[index];
  early[index] = undefined;
  if (waiting !== undefined) {
    for (let i = 0; i < waiting.length; i++) deliverFromHost(index, waiting[i]);
  }
}

// For `fetch` with `Upgrade: websocket`: the answer's parts, and the socket that has still to be accepted.
setOpenSocket(async (url, protocols, headers) => {
  const { index, protocol, reply } = await open(url, protocols, headers);
  return { socket: index < 0 ? null : fromHost(index), protocol, reply };
});

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
  // What was said before the answer was ready leaves now.
  passOn(takeWaiting(end), index);
}

// Sends events that were meant for user code to the host's socket `index`.
function passOn(events, index) {
  for (let i = 0; i < events.length; i++) {
    const { code, data, deliver, reason } = events[i];
    if (deliver === received) sendToHost(index, data);
    else core.ops.op_socket_close(index, code === 1005 || code === 1006 ? -1 : code, reason);
  }
}

// The handler of `onmessage` and its kin comes before all listeners, whenever it was set, and before the room's own
// `onMessage` (spec 2.5).
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

function callHandler(socket, event) {
  const handler = socket[kHandlers]?.[event.type];
  if (handler === undefined || handler === null) return;
  setTarget(event, socket);
  try {
    ReflectApply(handler, socket, [event]);
  } catch (error) {
    console.error(error);
  }
}

const dispatchToListeners = EventTarget.prototype.dispatchEvent;

function callListeners(socket, event) {
  return ReflectApply(dispatchToListeners, socket, [event]);
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
refuseAll(WebSocketPair.prototype, "WebSocketPair");
core.defineGlobalProperties(globalThis, {
  WebSocket: core.propNonEnumerable(WebSocket),
  WebSocketPair: core.propNonEnumerable(WebSocketPair),
});

return {
  adopt,
  bindPair,
  callHandler,
  callListeners,
  checkSent,
  closed,
  CLOSED,
  closeEvent,
  CLOSING,
  deliverFromHost,
  ENDED_BY_PEER,
  ENDED_FAILED,
  ENDED_HERE,
  ENDED_LOST,
  failedEvent,
  finished,
  forget,
  fromHost,
  isBinary,
  isClean,
  kAccepted,
  kAttachment,
  kBrand,
  kClosedHere,
  kHandlers,
  kIndex,
  kPeer,
  kState,
  listenerCount,
  messageEvent,
  OPEN,
  passOn,
  received,
  sendToHost,
  sockets,
  takeWaiting,
  WebSocket,
};
})();

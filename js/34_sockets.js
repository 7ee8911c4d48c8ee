// The sockets of the host: the table from the host's index to their objects, the calls that name a socket by that index, and the
// delivery of events to user code. The classes are in 36_socket.js and 40_connections.js; here, a socket is any object that has
// the symbols below. Rules for close codes: spec 2.7.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  ArrayPrototypePush,
  ArrayPrototypeShift,
  Error,
  PromisePrototypeThen,
  RangeError,
  ReflectApply,
  Symbol,
} = primordials;
const { CloseEvent, ErrorEvent, MessageEvent, setTarget } = core.loadExtScript("ext:deno_web/02_event.js");
const { bytesOf, isBinary } = core.loadExtScript("ext:partyrun/03_bytes.js");
const { EventTargetPrototypeDispatchEvent: callListeners } = core.loadExtScript("ext:partyrun/06_captured.js");
const { console } = core.loadExtScript("ext:partyrun/10_console.js");
const { ENDED_BY_PEER, ENDED_FAILED, ENDED_HERE, NO_CODE, SENT, TOO_LONG } = core.loadExtScript("ext:partyrun/01_wire.js");
const { limits } = core.loadExtScript("ext:partyrun/18_limits.js");
const { hot } = core.loadExtScript("ext:partyrun/25_hot.js");

const kRoom = Symbol("room");
const kIndex = Symbol("index");
const kState = Symbol("state of the connection");
const kWaiting = Symbol("events on their way");
const kDraining = Symbol("an event is about to be delivered");
const kAccepted = Symbol("accepted");
const kHandlers = Symbol("handlers in properties");

const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;

// --- what crosses by the index ------------------------------------------------------------------------------------

// The host answers with a number, so that the call stays a fast one.
function checkSent(status) {
  if (status === SENT) return;
  throw new RangeError(
    status === TOO_LONG
      ? `A WebSocket message cannot be longer than ${limits.message_out_bytes_max} bytes (limit \`message_out_bytes_max\`).`
      : "Too many messages wait for writes to be stored (limits `held_bytes_max` and `held_total_bytes_max`).",
  );
}

function sendToHost({ number }, index, data) {
  if (typeof data === "string") checkSent(hot.op_socket_send_text(number, index, data));
  else if (isBinary(data)) checkSent(hot.op_socket_send_binary(number, index, bytesOf(data)));
  else checkSent(hot.op_socket_send_text(number, index, `${data}`));
}

// `code` is one that was checked, or NO_CODE.
function closeHost(room, index, code, reason) {
  core.ops.op_socket_close(room.number, index, code, reason);
}

// What waits for the network, in bytes, with the heads of its frames.
function bufferedByHost(room, index) {
  return core.ops.op_socket_buffered(room.number, index);
}

// Asks for a socket to another server: the answer of that server, and in `socket` the index, or NO_SOCKET.
function connectHost(room, url, protocols, headers) {
  return core.ops.op_socket_connect(room.number, url, protocols, headers);
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

// The handler of `onmessage` and its kin comes before all listeners, whenever it was set, and before the room's own
// `onMessage` (spec 2.5).
function dispatch(socket, event) {
  callHandler(socket, event);
  return callListeners(socket, event);
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

function received(socket, event) {
  const { data } = event;
  if (socket[kState] >= CLOSED) return;
  dispatch(socket, new MessageEvent("message", { data }));
}

function closed(socket, code, reason, wasClean) {
  if (socket[kState] === CLOSED) return;
  socket[kState] = CLOSED;
  dispatch(socket, finished(code, reason, wasClean));
}

function finished(code, reason, wasClean) {
  return new CloseEvent("close", { code, reason, wasClean });
}

// A peer that never answered our close frame was lost as well.
function isClean(how, code) {
  return how === ENDED_BY_PEER || (how === ENDED_HERE && code !== 1006);
}

function ended(socket, { code, reason, how }) {
  if (how === ENDED_FAILED) failed(socket, reason);
  closed(socket, code, reason, isClean(how, code));
}

function failed(socket, message) {
  dispatch(socket, failedEvent(new Error(message)));
}

function failedEvent(error, message = error.message) {
  return new ErrorEvent("error", { error, message });
}

// --- the table ----------------------------------------------------------------------------------------------------

// Makes an object the one of a socket of the host.
function adopt(socket, room, index) {
  socket[kRoom] = room;
  socket[kIndex] = index;
  room.sockets[index] = socket;
  return socket;
}

// What the host says of a socket that user code was not given yet, because its answer is still on the way, waits in `early`.
function deliverFromHost(room, index, event) {
  const socket = room.sockets[index];
  if (socket === undefined) {
    ArrayPrototypePush(room.early[index] ??= [], event);
    return;
  }
  if (event.deliver === ended) forget(room, index);
  if (socket[kAccepted] && socket[kWaiting] === null) event.deliver(socket, event);
  else deliver(socket, event);
}

// The socket's last event has come: the host may give its index to another one.
function forget(room, index) {
  room.sockets[index] = undefined;
  core.ops.op_socket_forget(room.number, index);
}

// Gives the socket its host index, and what has arrived for it meanwhile.
function bindHost(socket, room, index) {
  adopt(socket, room, index);
  deliverEarly(room, index);
}

function deliverEarly(room, index) {
  const waiting = room.early[index];
  room.early[index] = undefined;
  if (waiting !== undefined) {
    for (let i = 0; i < waiting.length; i++) deliverFromHost(room, index, waiting[i]);
  }
}

// Takes a host socket's waiting events away from it, for whoever goes on with the socket instead of user code.
function takeWaiting(socket) {
  const waiting = socket[kWaiting] ?? [];
  socket[kWaiting] = null;
  return waiting;
}

// Sends events that were meant for user code to the host's socket `index`.
function passOn(events, room, index) {
  for (let i = 0; i < events.length; i++) {
    const { code, data, deliver, reason } = events[i];
    if (deliver === received) sendToHost(room, index, data);
    else closeHost(room, index, code === 1005 || code === 1006 ? NO_CODE : code, reason);
  }
}

return {
  adopt,
  bindHost,
  bufferedByHost,
  callHandler,
  callListeners,
  checkSent,
  closed,
  CLOSED,
  closeEvent,
  closeHost,
  CLOSING,
  connectHost,
  CONNECTING,
  deliver,
  deliverEarly,
  deliverFromHost,
  dispatch,
  drainSoon,
  failed,
  failedEvent,
  finished,
  forget,
  isClean,
  kAccepted,
  kDraining,
  kHandlers,
  kIndex,
  kRoom,
  kState,
  kWaiting,
  messageEvent,
  OPEN,
  passOn,
  sendToHost,
  takeWaiting,
};
})();

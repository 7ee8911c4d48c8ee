// A room: the `Party.Room` object, the user's server, and what happens at each event (spec sections 2.2 to 2.7).
// The host calls one function for each event (see 90_dispatch.js). A handler that returns nothing costs no promise.
// The host holds further events until `start` has ended.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  Error,
  JSONParse,
  ObjectDefineProperties,
  ObjectPrototype,
  ObjectPrototypeIsPrototypeOf,
  Promise,
  PromisePrototypeThen,
  PromiseResolve,
  TypeError,
} = primordials;
const {
  ENDED_BY_PEER,
  ENDED_FAILED,
  ENDED_HERE,
  ENDED_LOST,
  NO_REQUEST,
  RESTORED_FIELDS,
  START_FAILED,
  STARTED,
  STARTING,
} = core.loadExtScript("ext:partyrun/01_wire.js");
const { enterRoom } = core.loadExtScript("ext:partyrun/04_rooms.js");
const { console } = core.loadExtScript("ext:partyrun/10_console.js");
const { codeOf, FAILED: REQUEST_FAILED, messageOf, partyNamed, textFor } = core.loadExtScript("ext:partyrun/17_failures.js");
const { inSection } = core.loadExtScript("ext:partyrun/45_input_gate.js");
const { incomingRequest, isResponse, kWebSocket, toInnerResponse } = core.loadExtScript("ext:partyrun/30_http.js");
const { reject, respond, respondText } = core.loadExtScript("ext:partyrun/31_responses.js");
const connections = core.loadExtScript("ext:partyrun/40_connections.js");
const {
  callHandler,
  callListeners,
  CLOSED,
  closeEvent,
  closeHost,
  CLOSING,
  deliverFromHost,
  failedEvent,
  finished,
  forget,
  isClean,
  kHandlers,
  kIndex,
  kRoom,
  kState,
  messageEvent,
  OPEN,
} = core.loadExtScript("ext:partyrun/34_sockets.js");
const { accept, fromHost, kClosedHere } = core.loadExtScript("ext:partyrun/36_socket.js");
const { DurableObjectStorage } = core.loadExtScript("ext:partyrun/52_transaction.js");
const { createParties } = core.loadExtScript("ext:partyrun/60_parties.js");
const { createAssets } = core.loadExtScript("ext:partyrun/61_assets.js");
const { createResources } = core.loadExtScript("ext:partyrun/58_resources.js");
const { cfOf } = core.loadExtScript("ext:partyrun/65_cf.js");

function isPromise(value) {
  return typeof value === "object" && value !== null && (core.isPromise(value) || typeof value.then === "function");
}

// --- Party.Room ---------------------------------------------------------------------------------------------------

function createParty(room, info) {
  const storage = new DurableObjectStorage(room);
  const parties = createParties(room, info.parties);
  const assets = createAssets(room);
  const { vectorize, ai, bindings } = createResources(room, JSONParse(info.resources));
  const created = {
    id: info.id,
    internalID: info.internalId,
    name: info.party,
    env: JSONParse(info.env),
    storage,
    blockConcurrencyWhile: (work) => blockConcurrencyWhile(room, work),
    broadcast: (message, without) => connections.broadcast(room, message, without),
    context: { parties, vectorize, ai, assets, bindings },
    getConnection: (id) => connections.getConnection(room, id),
    getConnections: (tag) => connections.getConnections(room, tag),
    analytics: createAnalytics(),
  };
  ObjectDefineProperties(created, {
    connections: {
      __proto__: null,
      enumerable: true,
      get() {
        console.warn(
          "Party.connections is deprecated and will be removed in a future version of PartyKit. " +
            "Use Party.getConnections() instead.",
        );
        return connections.connectionsMap(room);
      },
    },
    parties: {
      __proto__: null,
      enumerable: true,
      get() {
        console.warn(
          "Party.parties is deprecated and will be removed in a future version of PartyKit. " +
            "Use Party.context.parties instead.",
        );
        return parties;
      },
    },
  });
  return created;
}

function createAnalytics() {
  let told = false;
  return {
    writeDataPoint() {
      if (told) return;
      told = true;
      console.log("\u26A0\uFE0F  analytics.writeDataPoint is not implemented in local development.");
    },
  };
}

// The rejection of `work` resets the room: user code never goes on from it (spec 2.4).
async function blockConcurrencyWhile(room, work) {
  return await inSection(room, async () => {
    try {
      // user code: its promise is waited for as it says.
      return await work();
    } catch (error) {
      console.error(error);
      core.ops.op_room_reset(room.number, messageOf(error, "blockConcurrencyWhile failed"));
      return await new Promise(() => {});
    }
  });
}

// --- the user's server --------------------------------------------------------------------------------------------

function isClass(value) {
  return typeof value === "function" && "prototype" in value && ObjectPrototypeIsPrototypeOf(ObjectPrototype, value.prototype);
}

function createServer(party, exported) {
  if (!isClass(exported)) return objectServer(party, exported);
  const instance = new exported(party);
  const options = instance.options ?? {};
  return {
    instance,
    hibernate: options.hibernate === true,
    start: () => typeof instance.onStart === "function" ? instance.onStart() : undefined,
    get onMessage() {
      return typeof instance.onMessage === "function";
    },
    message: (data, connection) => instance.onMessage(data, connection),
    tags: (connection, ctx) =>
      typeof instance.getConnectionTags === "function" ? instance.getConnectionTags(connection, ctx) : [],
    connect: (connection, ctx) => typeof instance.onConnect === "function" ? instance.onConnect(connection, ctx) : undefined,
    closed: (connection) => typeof instance.onClose === "function" ? instance.onClose(connection) : undefined,
    failed: (connection, error) => typeof instance.onError === "function" ? instance.onError(connection, error) : undefined,
    alarm: () => typeof instance.onAlarm === "function" ? instance.onAlarm() : undefined,
    get onRequest() {
      return typeof instance.onRequest === "function";
    },
    request: (request) => instance.onRequest(request),
    // For clients the original looks for the handler on the prototype, before there is an instance (spec 1.4).
    // user code: its class.
    declaresRequest: exported.prototype.onRequest !== undefined,
  };
}

function objectServer(party, object) {
  return {
    instance: object,
    // An object hibernates when it has onMessage, or has no onConnect (spec 2.8).
    hibernate: "onMessage" in object || !("onConnect" in object),
    start: () => undefined,
    get onMessage() {
      return typeof object.onMessage === "function";
    },
    message: (data, connection) => object.onMessage(data, connection, party),
    tags: () => [],
    connect: (connection, ctx) => object.onConnect?.(connection, party, ctx),
    closed: (connection) => object.onClose?.(connection, party),
    failed: (connection, error) => object.onError?.(connection, error, party),
    alarm: () => object.onAlarm?.(party),
    get onRequest() {
      return typeof object.onRequest === "function";
    },
    request: (request) => object.onRequest(request, party),
    declaresRequest: object.onRequest !== undefined,
  };
}

// --- start --------------------------------------------------------------------------------------------------------

function create(room, info, exported) {
  room.partyName = info.party;
  room.party ??= createParty(room, info);
  room.server ??= createServer(room.party, exported);
  const { hibernate } = room.server;
  room.hibernating = hibernate;
  core.ops.op_room_hibernates(room.number, hibernate);
  room.isCreated = true;
}

// Answers how far the start came; a start that is still going ends with op_room_started.
function start(number, info, exported, restored) {
  const room = enterRoom(number);
  try {
    create(room, info, exported);
    for (let i = 0; i < restored.length; i += RESTORED_FIELDS) {
      connections.restore(room, restored[i], restored[i + 1], restored[i + 2], restored[i + 3], restored[i + 4]);
    }
    if (room.onStartDone) return STARTED;
    const result = room.server.start();
    if (!isPromise(result)) {
      room.onStartDone = true;
      return STARTED;
    }
    PromisePrototypeThen(PromiseResolve(result), () => {
      room.onStartDone = true;
      core.ops.op_room_started(number, "");
    }, (error) => core.ops.op_room_started(number, startFailed(error)));
    return STARTING;
  } catch (error) {
    core.ops.op_room_started(number, startFailed(error));
    return START_FAILED;
  }
}

function startFailed(error) {
  console.error("onRequest error", error);
  return textFor(error, "Uncaught exception when making a request", REQUEST_FAILED);
}

// --- HTTP ---------------------------------------------------------------------------------------------------------

function request(number, id, method, url, headers, body, cf, viaStub) {
  const room = enterRoom(number);
  const { server } = room;
  if (!server.onRequest || !(viaStub || server.declaresRequest)) {
    const text = viaStub ? "Invalid onRequest handler" : "No onRequest handler";
    if (!viaStub) console.warn("fetch error", new Error(text));
    respondText(room, id, 500, text);
    return;
  }
  try {
    const result = server.request(incomingRequest(id, method, url, headers, body, cfOf(cf)));
    if (isPromise(result)) {
      PromisePrototypeThen(
        PromiseResolve(result),
        (response) => answer(room, id, response, viaStub),
        (error) => requestFailed(room, id, error),
      );
    } else {
      answer(room, id, result, viaStub);
    }
  } catch (error) {
    requestFailed(room, id, error);
  }
}

const NOT_A_RESPONSE = "Incorrect type for Promise: the Promise did not resolve to 'Response'.";
const SOCKET_UNASKED = "Worker tried to return a WebSocket in a response to a request which did not contain " +
  'the header "Upgrade: websocket".';

// What was returned in place of a Response, and by whom: nothing else tells, because no code of the project has thrown.
function returned(room, value) {
  const kind = value === undefined || value === null ? `${value}` : `a value of type ${typeof value}`;
  return `${NOT_A_RESPONSE} The \`onRequest\` of ${partyNamed(room.partyName)} returned ${kind}: return a Response.`;
}

function answer(room, id, response, viaStub) {
  if (!isResponse(response)) {
    fetchFailed(room, id, new TypeError(NOT_A_RESPONSE), viaStub, new TypeError(returned(room, response)));
    return;
  }
  if (response[kWebSocket] !== undefined || toInnerResponse(response).status === 101) {
    fetchFailed(room, id, new TypeError(SOCKET_UNASKED), viaStub);
    return;
  }
  try {
    respond(room, id, response);
  } catch (error) {
    fetchFailed(room, id, error, viaStub);
  }
}

// What the edge of the original reports: a warning, and the message with status 500. A stub's fetch rejects instead. The log
// may have an error that says more.
function fetchFailed(room, id, error, viaStub, logged = error) {
  if (viaStub) {
    reject(room, id, messageOf(error, ""));
    return;
  }
  console.warn("fetch error", logged);
  respondText(room, id, 500, textFor(error, "", REQUEST_FAILED));
}

function requestFailed(room, id, error) {
  console.error("onRequest error", error);
  respondText(room, id, statusOf(error), textFor(error, "Uncaught exception when making a request", REQUEST_FAILED));
}

// A number that can be a status is one (spec 1.4). The codes of databases, of Node and of the DOM are not.
function statusOf(error) {
  const code = codeOf(error);
  return code >= 200 && code <= 599 ? code : 500;
}

// --- WebSockets ---------------------------------------------------------------------------------------------------

function connect(number, index, pk, url, headers, cf) {
  const room = enterRoom(number);
  const { server } = room;
  const connection = connections.createConnection(room, index, pk, url);
  const ctx = { request: incomingRequest(NO_REQUEST, "GET", url, headers, undefined, cfOf(cf)) };
  try {
    const tags = server.tags(connection, ctx);
    if (isPromise(tags)) {
      PromisePrototypeThen(
        PromiseResolve(tags),
        (list) => tagged(connection, ctx, list),
        (error) => connectFailed(connection, error),
      );
    } else {
      tagged(connection, ctx, tags);
    }
  } catch (error) {
    connectFailed(connection, error);
  }
}

function tagged(connection, ctx, tags) {
  const room = connection[kRoom];
  const { server } = room;
  try {
    // What a connection was given before it was accepted is kept where the room can find it again after hibernation.
    connections.setTags(connection, tags);
    const state = server.hibernate ? connections.valueOf(connection) : undefined;
    if (state) connections.setState(connection, state);
    connections.register(connection);
    const result = server.connect(connection, ctx);
    if (isPromise(result)) {
      PromisePrototypeThen(
        PromiseResolve(result),
        () => connections.accept(room, connection[kIndex]),
        (error) => connectFailed(connection, error),
      );
    } else {
      connections.accept(room, connection[kIndex]);
    }
  } catch (error) {
    connectFailed(connection, error);
  }
}

// The handshake succeeds, then the socket is closed with the message (spec 1.4); nothing of the connection stays, and no
// handler hears of it again: what the client still says goes to a socket without listeners.
function connectFailed(connection, error) {
  console.error("Error when connecting");
  console.error(error);
  connections.unregister(connection);
  const index = connection[kIndex];
  const room = connection[kRoom];
  connections.accept(room, index);
  connection[kState] = CLOSING;
  connection[kClosedHere] = true;
  closeHost(room, index, 1011, textFor(error, "Uncaught exception when connecting", REQUEST_FAILED));
  accept(fromHost(room, index));
}

function message(number, index, data) {
  const room = enterRoom(number);
  const socket = room.sockets[index];
  if (!isConnection(socket)) {
    deliverFromHost(room, index, messageEvent(data));
    return;
  }
  const heard = isHeard(socket);
  const event = heard ? new MessageEvent("message", { data }) : null;
  if (heard) callHandler(socket, event);
  const { server } = room;
  if (server.onMessage) {
    try {
      const result = server.message(data, socket);
      if (isPromise(result)) PromisePrototypeThen(PromiseResolve(result), undefined, reportHandlerError);
    } catch (error) {
      reportHandlerError(error);
    }
  }
  if (heard) callListeners(socket, event);
}

function reportHandlerError(error) {
  console.error(error);
}

const { Connection } = connections;
const { eventTargetData, MessageEvent } = core.loadExtScript("ext:deno_web/02_event.js");

function isConnection(socket) {
  return ObjectPrototypeIsPrototypeOf(Connection.prototype, socket);
}

// Whether user code listens on the socket itself: most rooms have handlers only.
function isHeard(socket) {
  return socket[kHandlers] !== null || socket[eventTargetData] !== undefined;
}

// What `readyState` says while onClose or onError runs (spec 2.5).
const STATE_AFTER = {
  __proto__: null,
  [ENDED_BY_PEER]: CLOSING,
  [ENDED_HERE]: CLOSED,
  [ENDED_LOST]: OPEN,
  [ENDED_FAILED]: CLOSED,
};

function end(number, index, how, code, reason) {
  const room = enterRoom(number);
  const socket = room.sockets[index];
  if (!isConnection(socket)) {
    deliverFromHost(room, index, closeEvent(code, reason, how));
    return;
  }
  forget(room, index);
  connections.unregister(socket);
  socket[kState] = STATE_AFTER[how];
  const heard = isHeard(socket);
  const failure = how === ENDED_FAILED ? new Error("internal error") : null;
  const event = !heard
    ? null
    : failure === null
    ? finished(code, reason, isClean(how, code))
    : failedEvent(failure, `Uncaught Error: ${failure.message}`);
  if (heard) callHandler(socket, event);
  try {
    const { server } = room;
    const result = failure === null ? server.closed(socket) : server.failed(socket, failure);
    if (isPromise(result)) PromisePrototypeThen(PromiseResolve(result), undefined, reportHandlerError);
  } catch (error) {
    reportHandlerError(error);
  }
  if (heard) callListeners(socket, event);
}

// --- alarms -------------------------------------------------------------------------------------------------------

function alarm(number, token) {
  const { server } = enterRoom(number);
  const done = () => core.ops.op_room_alarm_done(number, token, true);
  const failedRun = (error) => {
    console.error("onAlarm error", error);
    core.ops.op_room_alarm_done(number, token, false);
  };
  try {
    const result = server.alarm();
    if (isPromise(result)) PromisePrototypeThen(PromiseResolve(result), done, failedRun);
    else done();
  } catch (error) {
    failedRun(error);
  }
}

return { alarm, connect, end, isPromise, message, request, start };
})();

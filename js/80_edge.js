// The edge isolate: the *static* handlers of every party, outside of any room (spec 1.3 to 1.6, 2.10, 2.12).
// The process has one, so that module state lasts from request to request, as users expect. `this` in a static handler is the
// class. The host asks `describe` once which handlers exist, and calls only those.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypePush, JSONParse, ObjectHasOwn, ObjectKeys, PromisePrototypeThen, PromiseResolve, ReflectApply, SafeMap, String, TypeError } = primordials;
const { roomOf } = core.loadExtScript("ext:partyrun/04_rooms.js");
const { console } = core.loadExtScript("ext:partyrun/10_console.js");
const { FIRST_ROOM, NO_RESOURCE, NO_RETRY } = core.loadExtScript("ext:partyrun/01_wire.js");
const { incomingRequest, isRequest, isResponse, kCf, kWebSocket, serializeHeaders, takeBody, toInnerRequest, toInnerResponse } =
  core.loadExtScript("ext:partyrun/30_http.js");
const { respond, respondText, setReason } = core.loadExtScript("ext:partyrun/31_responses.js");
const { kIndex, passOn, takeWaiting } = core.loadExtScript("ext:partyrun/34_sockets.js");
const { accept: acceptSocket, fromHost, kPeer } = core.loadExtScript("ext:partyrun/36_socket.js");
const { bindPair } = core.loadExtScript("ext:partyrun/37_pair.js");
const { accept } = core.loadExtScript("ext:partyrun/40_connections.js");
const { createParties } = core.loadExtScript("ext:partyrun/60_parties.js");
const { createAssets } = core.loadExtScript("ext:partyrun/61_assets.js");
const { createResources } = core.loadExtScript("ext:partyrun/58_resources.js");
const { cfOf } = core.loadExtScript("ext:partyrun/65_cf.js");
const { FAILED, partyNamed, textFor } = core.loadExtScript("ext:partyrun/17_failures.js");

const servers = new SafeMap();
// What an isolate of the edge has in place of a room.
let edge;
let lobbyParts;

// --- what a module declares ---------------------------------------------------------------------------------------

const INSTANCE_HANDLERS = ["onConnect", "onRequest", "onMessage", "onClose", "onError", "onAlarm"];
const STATIC_HANDLERS = ["unstable_onFetch", "onFetch", "onBeforeConnect", "onBeforeRequest"];

// The checks of the original when a module is loaded (spec 2.1). A text is a reason not to start.
function validate(exported, warn) {
  if (exported === undefined) return "The module has no default export: export a class or an object with handlers.";
  const isClass = typeof exported === "function";
  if (!isClass && (typeof exported !== "object" || exported === null)) {
    return "The default export must be a class or an object with handlers.";
  }
  for (let i = 0; i < INSTANCE_HANDLERS.length; i++) {
    const name = INSTANCE_HANDLERS[i];
    if (ObjectHasOwn(exported, name) && typeof exported[name] !== "function") return `.${name} should be a function`;
  }
  const holder = isClass ? exported.prototype ?? {} : exported;
  for (let i = 0; i < STATIC_HANDLERS.length; i++) {
    const name = STATIC_HANDLERS[i];
    if (!(name in holder)) continue;
    if (typeof holder[name] !== "function") return `.${name} should be a function`;
    if (isClass) {
      warn(`.${name} is present on the class instance, but it should be defined as a static method`);
    }
  }
  return null;
}

function describe(entries, info, took) {
  edge = roomOf(FIRST_ROOM);
  const parties = createParties(edge, info.parties);
  lobbyParts = { env: JSONParse(info.env), parties, ...createResources(edge, JSONParse(info.resources)) };
  const described = [];
  const names = ObjectKeys(entries);
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    const exported = entries[name].default;
    const problem = validate(exported, (text) => console.warn(text));
    if (problem !== null) return { problem: [name, problem], parties: [] };
    servers.set(name, exported);
    ArrayPrototypePush(described, {
      name,
      before_connect: exported.onBeforeConnect !== undefined,
      before_request: exported.onBeforeRequest !== undefined,
      // user code: its class.
      request: (typeof exported === "function" ? exported.prototype?.onRequest : exported.onRequest) !== undefined,
      fetch: (exported.onFetch ?? exported.unstable_onFetch) !== undefined,
      socket: exported.onSocket !== undefined,
      cron: exported.onCron !== undefined,
      import_ms: took[name] ?? 0,
    });
  }
  return { problem: null, parties: described };
}

function createLobby(id, handler) {
  const { env, parties, ai, vectorize, bindings } = lobbyParts;
  const assets = createAssets(edge);
  const analytics = { writeDataPoint() {} };
  // The order of the keys is that of the original, for code that lists them.
  if (id === undefined) return { env, ai, parties, vectorize, analytics, assets, bindings };
  return handler === "onBeforeConnect"
    ? { id, env, ai, assets, parties, vectorize, analytics, bindings }
    : { id, env, ai, parties, assets, vectorize, analytics, bindings };
}

class ExecutionContext {
  waitUntil(promise) {
    core.ops.op_edge_wait(1);
    const done = () => core.ops.op_edge_wait(-1);
    PromisePrototypeThen(PromiseResolve(promise), done, (error) => {
      done();
      console.error("waitUntil error", error);
    });
  }
  passThroughOnException() {}
}

// --- onBeforeConnect, onBeforeRequest (spec 1.5) -------------------------------------------------------------------

async function before(id, name, party, room, method, url, headers, body, cf) {
  const exported = servers.get(party);
  const handler = exported[name];
  if (typeof handler !== "function") {
    edgeFailed(id, new TypeError(`.${name} must be a function`));
    return;
  }
  const request = incomingRequest(id, method, url, headers, body, cfOf(cf));
  let result;
  try {
    // user code: its promise is waited for as it says.
    result = await ReflectApply(handler, exported, [request, createLobby(room, name), new ExecutionContext()]);
  } catch (error) {
    console.error(`${name} error`, error);
    respondText(edge, id, 401, textFor(error, error === "" ? "Unauthorised" : "", "Unauthorized"));
    return;
  }
  try {
    if (isResponse(result)) answer(id, result);
    else if (isRequest(result)) forward(id, result);
    else if (name === "onBeforeConnect") forward(id, request);
    else edgeFailed(id, new TypeError(`Invalid URL: ${String(result)}`), notARequest(name, party, result));
  } catch (error) {
    edgeFailed(id, error);
  }
}

// The log says more than the original's message, which speaks of what it did with the value.
function notARequest(name, party, value) {
  const kind = value === undefined || value === null ? `${value}` : `a value of type ${typeof value}`;
  return new TypeError(`The \`${name}\` of ${partyNamed(party)} returned ${kind}: return the request, or a Response.`);
}

// Hands the request on to the room. One that was made anew has lost its `cf`.
function forward(id, request) {
  const inner = toInnerRequest(request);
  const body = takeBody(inner.body);
  core.ops.op_edge_forward(
    id,
    inner.method,
    inner.url(),
    serializeHeaders(inner.headerList),
    typeof body === "string" ? core.encode(body) : typeof body === "object" ? body : null,
    typeof body === "number" ? body : NO_RESOURCE,
    request[kCf] !== undefined,
  );
}

// The log may have an error that says more.
function edgeFailed(id, error, logged = error) {
  console.warn("fetch error", logged);
  respondText(edge, id, 500, textFor(error, "", FAILED));
}

// A 101 answer carries one end of a pair, or the socket of another room: the host joins it to the client's.
function answer(id, response) {
  const end = response[kWebSocket];
  if (end === undefined) {
    respond(edge, id, response);
    return;
  }
  const headers = serializeHeaders(toInnerResponse(response).headerList);
  const index = core.ops.op_edge_accept(id, headers);
  if (end[kPeer] !== null) {
    bindPair(end, edge, index);
    return;
  }
  passOn(takeWaiting(end), edge, index);
  edge.sockets[end[kIndex]] = undefined;
  core.ops.op_edge_relay(index, end[kIndex]);
}

// --- onFetch, onSocket, onCron ------------------------------------------------------------------------------------

async function fetch(id, method, url, headers, body, cf) {
  const exported = servers.get("main");
  const handler = exported.onFetch ?? exported.unstable_onFetch;
  try {
    const request = incomingRequest(id, method, url, headers, body, cfOf(cf));
    // user code: as above.
    const result = await ReflectApply(handler, exported, [request, createLobby(), new ExecutionContext()]);
    if (!result) core.ops.op_edge_pass(id);
    else if (isResponse(result)) answer(id, result);
    else throw new TypeError("Incorrect type for Promise: the Promise did not resolve to 'Response'.");
  } catch (error) {
    edgeFailed(id, error);
  }
}

async function socket(id, url, headers, cf) {
  const exported = servers.get("main");
  const index = core.ops.op_edge_open(id);
  const accepted = fromHost(edge, index);
  acceptSocket(accepted);
  accepted.request = incomingRequest(id, "GET", url, headers, undefined, cfOf(cf));
  try {
    // user code: as above.
    await exported.onSocket(accepted, createLobby(), new ExecutionContext());
    accept(edge, index);
  } catch (error) {
    console.warn("fetch error", error);
    edge.sockets[index] = undefined;
    core.ops.op_edge_refuse(index, textFor(error, "", FAILED));
  }
}

async function cron(id, name, expression, scheduledTime) {
  const exported = servers.get("main");
  let retry = true;
  const event = {
    scheduledTime,
    cron: expression,
    name,
    noRetry() {
      retry = false;
    },
  };
  try {
    // user code: as above.
    await exported.onCron(event, createLobby(), new ExecutionContext());
    respondText(edge, id, 200, `ran cron ${name}: ${expression}`);
  } catch (error) {
    // The host takes this reason for a mark; no client sees it.
    if (!retry) setReason(edge, id, NO_RETRY);
    edgeFailed(id, error);
  }
}

return { before, cron, describe, fetch, socket };
})();

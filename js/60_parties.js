// Other parties: `room.context.parties.NAME.get(id)` and `lobby.parties` (spec 2.9).
// A stub calls the room directly, without the `onBefore...` handlers. The host percent-encodes the id once, for the room's name
// and for the URL, so a stub and a URL lead to the same room.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { Error, String, StringPrototypeSlice, StringPrototypeStartsWith, TypeError } = primordials;
const { NO_RESOURCE, NO_SOCKET } = core.loadExtScript("ext:partyrun/01_wire.js");
const { beginCall, endCall, withTraceFields } = core.loadExtScript("ext:partyrun/02_traces.js");
const { incomingResponse, isRequest, kCf, kWebSocket, Request, serializeHeaders, takeBody, toInnerRequest } = core
  .loadExtScript("ext:partyrun/30_http.js");
const { HeadersPrototypeSet, RequestPrototypeGetHeaders } = core.loadExtScript("ext:partyrun/06_captured.js");
const { accept, fromHost, openSocket } = core.loadExtScript("ext:partyrun/36_socket.js");

// fetch(), fetch("/path", init?), fetch(init), fetch(request), fetch("/path", request)
function splitArguments(first, second) {
  if (first === undefined || first === null || first === "") return { path: "", init: second };
  if (typeof first === "string") {
    if (!StringPrototypeStartsWith(first, "/")) throw new Error("Path must start with /");
    return { path: first, init: second };
  }
  return { path: "", init: first };
}

function requestOf(url, init) {
  // Only the method, the headers and the body of a Request count: its URL is discarded (spec 2.9).
  if (isRequest(init)) return init;
  return new Request(url, init ?? undefined);
}

async function send(room, party, id, path, init) {
  const url = core.ops.op_party_url(party, id, path);
  const request = requestOf(url, init);
  const inner = toInnerRequest(request);
  const body = takeBody(inner.body);
  const isText = typeof body === "string";
  const call = beginCall(room.number, inner.method, url);
  const fields = call === undefined ? inner.headerList : withTraceFields(call, inner.headerList);
  const reply = await core.ops.op_party_fetch(
    room.number,
    [party, id, path],
    inner.method,
    serializeHeaders(fields),
    isText ? core.encode(body) : typeof body === "object" ? body : null,
    typeof body === "number" ? body : NO_RESOURCE,
    // A request that came from outside keeps its `cf` when it is handed on.
    request[kCf] !== undefined,
  );
  if (call !== undefined) endCall(call, reply.error === null ? reply.status : 0);
  if (reply.error !== null) throw new TypeError(reply.error);
  const response = incomingResponse(
    reply.status,
    reply.reason,
    reply.headers,
    reply.bytes ?? (reply.resource === NO_RESOURCE ? undefined : reply.resource),
    url,
  );
  if (reply.socket !== NO_SOCKET) response[kWebSocket] = fromHost(room, reply.socket);
  return response;
}

class Stub {
  constructor(room, party, id) {
    this.fetch = (first, second) => {
      const { path, init } = splitArguments(first, second);
      return send(room, party, id, path, init);
    };
    this.socket = async (first, second) => {
      const { path, init } = splitArguments(first, second);
      const request = new Request(core.ops.op_party_url(party, id, path), isRequest(init) ? init : init ?? undefined);
      HeadersPrototypeSet(RequestPrototypeGetHeaders(request), "upgrade", "websocket");
      const response = await send(room, party, id, path, request);
      const socket = response[kWebSocket];
      if (socket === undefined) throw new Error("Expected a websocket response");
      accept(socket);
      return socket;
    };
    this.connect = () => {
      const url = core.ops.op_party_url(party, id, "");
      return openSocket(room, "ws" + StringPrototypeSlice(url, 4));
    };
  }
}

// One entry a configured party, then `main` (spec 2.9); an unknown name is undefined.
function createParties(room, names) {
  const parties = {};
  for (let i = 0; i < names.length; i++) {
    const party = names[i];
    parties[party] = {
      get(id) {
        return new Stub(room, party, String(id));
      },
    };
  }
  return parties;
}

return { createParties };
})();

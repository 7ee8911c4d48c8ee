// `fetch` of user code: deno_fetch's, behind the output gate. What a room asks of another server leaves, like everything that
// it says, only when what it has written is durable (spec 3.6). A request with `Upgrade: websocket` opens a WebSocket, whose
// end comes with the answer as `response.webSocket` (spec 2.7).
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ObjectDefineProperty, PromiseReject, StringPrototypeReplace, StringPrototypeToLowerCase, TypeError } = primordials;
const { fetch: webFetch } = core.loadExtScript("ext:deno_fetch/26_fetch.js");
const { incomingResponse, kWebSocket, Request, serializeHeaders, toInnerRequest, toInnerResponse } = core.loadExtScript(
  "ext:partyrun/30_http.js",
);
const { handOn } = core.loadExtScript("ext:partyrun/28_bodies.js");
const { getReadableStreamResourceBacking } = core.loadExtScript("ext:deno_web/06_streams.js");

let openSocket;

function fetch(input, init = undefined) {
  let request;
  try {
    if (arguments.length === 0) {
      throw new TypeError("Failed to execute 'fetch': 1 argument required, but only 0 present");
    }
    request = new Request(input, init);
    handOn(toInnerRequest(request));
  } catch (error) {
    return PromiseReject(error);
  }
  if (StringPrototypeToLowerCase(headerOf(request, "upgrade")) === "websocket") return upgraded(request);
  // Nothing leaves: the promise is rejected at once.
  if (request.signal.aborted) return webFetch(request);
  return send(request);
}

async function send(request) {
  // With nothing to wait for the request begins at once, so that an abort that follows at once reaches its body.
  if (core.ops.op_storage_pending()) await core.ops.op_storage_sync();
  const response = await webFetch(request);
  bound(response);
  return response;
}
ObjectDefineProperty(fetch, "length", { __proto__: null, value: 1, configurable: true });

// Holds the answer's body to the limits (limits: answer_bytes_max, answer_inflated_bytes_max).
function bound(response) {
  const { body } = toInnerResponse(response);
  if (body === null) return;
  const backing = getReadableStreamResourceBacking(body.streamOrStatic);
  if (backing) core.ops.op_answer_bound(backing.rid);
}

function headerOf(request, wanted) {
  const list = toInnerRequest(request).headerList;
  for (let i = 0; i < list.length; i++) {
    if (StringPrototypeToLowerCase(list[i][0]) === wanted) return list[i][1];
  }
  return "";
}

async function upgraded(request) {
  const inner = toInnerRequest(request);
  const href = inner.url();
  const url = StringPrototypeReplace(href, "http", "ws");
  const protocols = headerOf(request, "sec-websocket-protocol");
  const { socket, reply } = await openSocket(url, protocols, serializeHeaders(inner.headerList));
  const body = reply.bytes ?? undefined;
  const response = incomingResponse(reply.status, reply.reason, reply.headers, body, href);
  if (socket !== null) response[kWebSocket] = socket;
  return response;
}

core.defineGlobalProperties(globalThis, { fetch: core.propWritable(fetch) });

return {
  fetch,
  // 35_socket.js, which comes later, tells how a socket is opened.
  setOpenSocket(open) {
    openSocket = open;
  },
};
})();

// Hands a Response to the host, as the answer to one of the room's requests.
"use strict";

(function () {
const { core } = __bootstrap;
const { PACKED } = core.loadExtScript("ext:partyrun/01_wire.js");
const { hot } = core.loadExtScript("ext:partyrun/25_hot.js");
const { kPacked, serializeHeaders, staticHeaders, takeBody, takeStatic, TEXT_HEADERS, toInnerResponse } = core.loadExtScript(
  "ext:partyrun/30_http.js",
);

function respond({ number }, id, response) {
  const simple = response[kPacked] === undefined ? takeStatic(response) : undefined;
  if (typeof simple === "string") return hot.op_response_static(number, id, 200, staticHeaders(response), simple);
  if (simple !== undefined) return hot.op_response_bytes(number, id, 200, staticHeaders(response), simple);
  const inner = toInnerResponse(response);
  const body = takeBody(inner.body);
  const headers = serializeHeaders(inner.headerList);
  if (inner.statusMessage !== "") core.ops.op_response_reason(number, id, inner.statusMessage);
  const status = response[kPacked] === undefined ? inner.status : inner.status + PACKED;
  if (body === null) hot.op_response_static(number, id, status, headers, "");
  else if (typeof body === "string") hot.op_response_static(number, id, status, headers, body);
  else if (typeof body === "number") core.ops.op_response_stream(number, id, status, headers, body);
  else hot.op_response_bytes(number, id, status, headers, body);
}

function respondText(room, id, status, text) {
  hot.op_response_static(room.number, id, status, TEXT_HEADERS, text);
}

// A stub's fetch rejects with the message.
function reject(room, id, message) {
  core.ops.op_response_reject(room.number, id, message);
}

// The reason phrase of the response that follows.
function setReason(room, id, reason) {
  core.ops.op_response_reason(room.number, id, reason);
}

return { reject, respond, respondText, setReason };
})();

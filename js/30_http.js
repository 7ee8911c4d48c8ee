// Request and Response of deno_fetch, with what Workers add to them: `request.cf` and `response.webSocket`.
// `incomingRequest` makes a Request from what the host hands over; 31_responses.js takes the Response back. Headers cross as one
// string of `name\nvalue\n` pairs. Neither part can hold a line feed (RFC 9110, section 5.5), and one string costs less than an
// array of arrays.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  ArrayPrototypePush,
  Number,
  ObjectDefineProperty,
  ObjectPrototypeIsPrototypeOf,
  RangeError,
  ReflectApply,
  ReflectConstruct,
  SafeWeakSet,
  StringPrototypeSplit,
  StringPrototypeToLowerCase,
  Symbol,
  SymbolHasInstance,
  TypeError,
  TypedArrayPrototypeGetByteLength,
  ObjectSetPrototypeOf,
  WeakSetPrototypeAdd,
  WeakSetPrototypeHas,
} = primordials;

const { RequestPrototypeGetHeaders, ResponsePrototypeGetBody, ResponsePrototypeGetHeaders } = core.loadExtScript("ext:partyrun/06_captured.js");
const { InnerBody } = core.loadExtScript("ext:deno_fetch/22_body.js");
const { fromInnerRequest, toInnerRequest, Request: WebRequest } = core.loadExtScript(
  "ext:deno_fetch/23_request.js",
);
const {
  fromInnerResponse,
  getInnerResponse,
  Response: WebResponse,
  SERVE_FAST_HEADER_CONTENT_TYPE,
  SERVE_FAST_HEADER_DEFAULT_TEXT,
  serveFastBodyKey,
  serveFastConsumedKey,
  serveFastContentTypeKey,
  serveFastHeaderKindKey,
  serveFastStatusKey,
  toInnerResponse: innerResponse,
} = core.loadExtScript("ext:deno_fetch/23_response.js");
const { readableStreamForRid, resourceForReadableStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { CLONE_REQUEST, CLONE_RESPONSE } = core.loadExtScript("ext:partyrun/01_wire.js");
const { cloneAll, refuse } = core.loadExtScript("ext:partyrun/00_kinds.js");
const { copyHeaders } = core.loadExtScript("ext:partyrun/27_values.js");
const { headersFromHeaderList } = core.loadExtScript("ext:deno_fetch/20_headers.js");
const { recover } = core.loadExtScript("ext:partyrun/28_bodies.js");

const kCf = Symbol("cf");
const kWebSocket = Symbol("webSocket");
const kHostId = Symbol("host request");
const kFixedLength = Symbol("fixed length");
const kPacked = Symbol("the body is in its coding already");

// Streams of bytes that are in the coding which the answer they came with names.
const packedStreams = new SafeWeakSet();

// A constructor that keeps the wrapped class's prototype, so that `instanceof`, subclasses and static methods are unchanged.
// `before` may refuse or replace the first argument, `after` adds to the object.
function extend(Base, name, before, after) {
  const Wrapper = {
    [name]: function (input, init) {
      if (new.target === undefined) {
        throw new TypeError(`Class constructor ${name} cannot be invoked without 'new'`);
      }
      const first = before(input, init);
      const object = new.target === Wrapper
        ? new Base(first, init)
        : ReflectConstruct(Base, [first, init], new.target);
      after(object, input, init);
      return object;
    },
  }[name];
  ObjectSetPrototypeOf(Wrapper, Base);
  ObjectDefineProperty(Wrapper, "prototype", { __proto__: null, value: Base.prototype, writable: false });
  ObjectDefineProperty(Wrapper, "length", { __proto__: null, value: Base.length, configurable: true });
  ObjectDefineProperty(Base.prototype, "constructor", {
    __proto__: null,
    value: Wrapper,
    writable: true,
    configurable: true,
  });
  return Wrapper;
}

const unchanged = (input) => input;

const Request = extend(WebRequest, "Request", unchanged, (request, input, init) => {
  recover(toInnerRequest(request));
  const cf = init?.cf ?? input?.[kCf];
  if (cf !== undefined) request[kCf] = cf;
  const id = input?.[kHostId];
  if (id !== undefined) request[kHostId] = id;
});

const WRONG_STATUS = "Responses may only be constructed with status codes in the range 200 to 599, inclusive.";

// The rules of Workers for a status: 101 needs a socket, and an empty text is no body.
function checkBody(body, init) {
  // user code: what it gave, maybe a Response.
  const given = init?.status;
  if (given === undefined || given === 200) return body;
  const status = Number(given);
  // user code: as above.
  const isSocket = status === 101 && init.webSocket !== undefined && init.webSocket !== null;
  if (!isSocket && !(status >= 200 && status <= 599)) throw new RangeError(WRONG_STATUS);
  const hasNone = status === 101 || status === 204 || status === 205 || status === 304;
  if (!hasNone || body === null || body === undefined || body === "") return hasNone ? null : body;
  throw new TypeError("Response with null body status (101, 204, 205, or 304) cannot have a body.");
}

const Response = extend(WebResponse, "Response", checkBody, (response, body, init) => {
  // Other bodies stay as lazy as deno_fetch makes them (`takeStatic`).
  if (typeof body === "object" && body !== null) {
    const inner = toInnerResponse(response);
    recover(inner);
    // The readable side of a FixedLengthStream tells its length, so that the answer has a Content-Length.
    if (body[kFixedLength] !== undefined) inner.body.length = body[kFixedLength];
  }
  // user code: as above.
  const webSocket = init?.webSocket;
  if (webSocket !== undefined && webSocket !== null) response[kWebSocket] = webSocket;
  if (isPacked(body, init)) response[kPacked] = true;
});

// With `encodeBody: "manual"` a body is in the coding that `content-encoding` names; without, gzip and br are made of it when it
// leaves. A copy of a response is as the response is.
function isPacked(body, init) {
  const encodeBody = init?.encodeBody;
  if (encodeBody === "manual" || init?.[kPacked] === true) return true;
  if (encodeBody !== undefined && encodeBody !== "automatic") throw new TypeError(`encodeBody: unexpected value: ${encodeBody}`);
  return typeof body === "object" && body !== null && WeakSetPrototypeHas(packedStreams, body);
}

// For an answer of another server whose body is passed on as it came.
function keepPacked(response) {
  response[kPacked] = true;
  WeakSetPrototypeAdd(packedStreams, ResponsePrototypeGetBody(response));
}

const { clone } = WebResponse.prototype;

ObjectDefineProperty(WebResponse.prototype, "clone", {
  __proto__: null,
  configurable: true,
  enumerable: true,
  writable: true,
  value: {
    clone() {
      const copy = ReflectApply(clone, this, []);
      if (this[kPacked] !== undefined) copy[kPacked] = true;
      return copy;
    },
  }.clone,
});

ObjectDefineProperty(Request.prototype, "cf", {
  __proto__: null,
  configurable: true,
  enumerable: true,
  get() {
    const cf = this[kCf];
    // The placeholder of an incoming request is made when it is read (spec 2.13).
    if (typeof cf === "function") return this[kCf] = cf();
    return cf;
  },
});
ObjectDefineProperty(Response.prototype, "webSocket", {
  __proto__: null,
  configurable: true,
  enumerable: true,
  get() {
    return this[kWebSocket] ?? null;
  },
});
core.defineGlobalProperties(globalThis, {
  Request: core.propNonEnumerable(Request),
  Response: core.propNonEnumerable(Response),
});

function parseHeaders(text) {
  const list = [];
  if (text === "") return list;
  const parts = StringPrototypeSplit(text, "\n");
  for (let i = 0; i + 1 < parts.length; i += 2) ArrayPrototypePush(list, [parts[i], parts[i + 1]]);
  return list;
}

function serializeHeaders(list) {
  let text = "";
  for (let i = 0; i < list.length; i++) text += StringPrototypeToLowerCase(list[i][0]) + "\n" + list[i][1] + "\n";
  return text;
}

// `body` is undefined (none), a Uint8Array (complete) or a number (a host resource to read it from).
function innerBodyOf(body) {
  if (body === undefined || body === null) return null;
  if (typeof body === "number") return new InnerBody(readableStreamForRid(body));
  const inner = new InnerBody({ body, consumed: false });
  inner.length = TypedArrayPrototypeGetByteLength(body);
  return inner;
}

// What deno_fetch's `newInnerRequest` makes, with its accessors on the prototype: on each object they cost more than the rest of it.
class InnerRequest {
  constructor(method, url, headers, body) {
    this.method = method;
    this.headersText = headers;
    this.headers = null;
    this.body = body;
    this.redirectMode = "manual";
    this.redirectCount = 0;
    this.urlList = [() => url];
    this.urlListProcessed = [url];
    this.clientRid = null;
    this.blobUrlEntry = null;
  }
  get headerList() {
    if (this.headers === null) this.headers = parseHeaders(this.headersText);
    return this.headers;
  }
  set headerList(list) {
    this.headers = list;
  }
  url() {
    return this.urlListProcessed[0];
  }
  currentUrl() {
    const last = this.urlList.length - 1;
    if (this.urlListProcessed[last] === undefined) this.urlListProcessed[last] = this.urlList[last]();
    return this.urlListProcessed[last];
  }
}
ObjectSetPrototypeOf(InnerRequest.prototype, null);

function incomingRequest(id, method, url, headers, body, cf) {
  const request = fromInnerRequest(new InnerRequest(method, url, headers, innerBodyOf(body)), "request");
  request[kHostId] = id;
  if (cf !== undefined) request[kCf] = cf;
  return request;
}

function incomingResponse(status, statusText, headers, body, url) {
  return fromInnerResponse({
    type: "default",
    body: innerBodyOf(body),
    headerList: parseHeaders(headers),
    urlList: [url],
    status,
    statusMessage: statusText,
    aborted: false,
    url() {
      return url;
    },
  }, "response");
}

// A body that has left through `takeStatic` is used.
function toInnerResponse(response) {
  const inner = innerResponse(response);
  if (response[serveFastConsumedKey] && inner.body !== null) inner.body.streamOrStatic.consumed = true;
  return inner;
}

function isResponse(value) {
  return ObjectPrototypeIsPrototypeOf(WebResponse.prototype, value);
}

function isRequest(value) {
  return ObjectPrototypeIsPrototypeOf(WebRequest.prototype, value);
}

ObjectDefineProperty(Response, SymbolHasInstance, { __proto__: null, value: isResponse });
ObjectDefineProperty(Request, SymbolHasInstance, { __proto__: null, value: isRequest });

// --- structured clones (27_values.js) ---------------------------------------------------------------------------------

function refuseBody(inner) {
  if (inner.body !== null) refuse("ReadableStream can only be serialized for RPC.");
}

function headersOf(inner) {
  return headersFromHeaderList(inner.headerList, "none");
}

function requestParts() {
  const inner = toInnerRequest(this);
  refuseBody(inner);
  const init = { method: inner.method, headers: headersOf(inner), body: null, redirect: inner.redirectMode };
  const cf = this[kCf];
  if (cf !== undefined) init.cf = typeof cf === "function" ? cf() : cf;
  return [CLONE_REQUEST, inner.url(), init];
}

function requestOf({ 0: url, 1: init }) {
  const { method = "GET", redirect = "follow", cf } = init;
  const request = new Request(url, { __proto__: null, method, redirect, cf });
  // own: what was read of the clone.
  copyHeaders(init.headers, RequestPrototypeGetHeaders(request));
  return request;
}

cloneAll(Request.prototype, CLONE_REQUEST, requestParts, requestOf);

function responseParts() {
  const inner = toInnerResponse(this);
  refuseBody(inner);
  if (this[kWebSocket] !== undefined || inner.status < 200) {
    refuse('Could not serialize object of type "WebSocket". This type does not support serialization.');
  }
  return [CLONE_RESPONSE, null, { status: inner.status, statusText: inner.statusMessage, headers: headersOf(inner) }];
}

function responseOf({ 1: init }) {
  const { status = 200, statusText = "" } = init;
  const response = new Response(null, { __proto__: null, status, statusText });
  // own: what was read of the clone.
  copyHeaders(init.headers, ResponsePrototypeGetHeaders(response));
  return response;
}

cloneAll(Response.prototype, CLONE_RESPONSE, responseParts, responseOf);

const BODY_USED =
  "Body has already been used. It can only be used once. Use tee() first if you need to read it twice.";

// What a body is, for the host: null, a string, a Uint8Array, or the id of a resource from which the stream is read.
function takeBody(body) {
  if (body === null) return null;
  if (body.unusable()) throw new TypeError(BODY_USED);
  const { streamOrStatic } = body;
  if (streamOrStatic.body !== undefined && streamOrStatic.consumed === false) {
    streamOrStatic.consumed = true;
    return streamOrStatic.body;
  }
  return resourceForReadableStream(body.stream, body.length);
}

const TEXT_HEADERS = "content-type\ntext/plain;charset=UTF-8\n";

// The body of a response of status 200 whose body is a string or bytes that nobody has touched, and whose headers are
// what its constructor gives it; undefined for all others. `staticHeaders` are the headers of such a response.
function takeStatic(response) {
  if (response[serveFastStatusKey] !== 200 || response[serveFastConsumedKey]) return undefined;
  const { body, headerList } = getInnerResponse(response);
  if (headerList.length > 0 || (body !== null && body.streamOrStatic.consumed !== false)) return undefined;
  response[serveFastConsumedKey] = true;
  if (body !== null) body.streamOrStatic.consumed = true;
  return response[serveFastBodyKey];
}

function staticHeaders(response) {
  const kind = response[serveFastHeaderKindKey];
  if (kind === SERVE_FAST_HEADER_DEFAULT_TEXT) return TEXT_HEADERS;
  return kind === SERVE_FAST_HEADER_CONTENT_TYPE ? `content-type\n${response[serveFastContentTypeKey]}\n` : "";
}

return {
  incomingRequest,
  incomingResponse,
  isRequest,
  isResponse,
  keepPacked,
  kCf,
  kFixedLength,
  kHostId,
  kPacked,
  kWebSocket,
  Request,
  Response,
  serializeHeaders,
  staticHeaders,
  takeBody,
  takeStatic,
  TEXT_HEADERS,
  toInnerRequest,
  toInnerResponse,
};
})();

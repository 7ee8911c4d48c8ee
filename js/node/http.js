// `node:http` and `node:https`: `request` and `get` over fetch, so that they share pools, TLS, proxies and limits with the other
// requests of a room. Redirects are not followed, and bodies are not decoded twice. `createServer` can be called, but listening
// fails: a project's servers are its rooms.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayIsArray, ArrayPrototypePush, ArrayPrototypePushApply, decodeURIComponent, Error, ErrorPrototype, MapPrototypeDelete,
  MapPrototypeGet, MapPrototypeHas, MapPrototypeSet, ObjectAssign, ObjectKeys, ObjectPrototypeIsPrototypeOf, PromisePrototypeCatch,
  PromisePrototypeThen, RegExpPrototypeTest, SafeArrayIterator, SafeMap, SafeRegExp, String, StringPrototypeIncludes, StringPrototypeSlice,
  StringPrototypeStartsWith, StringPrototypeToLowerCase, StringPrototypeToUpperCase } = primordials;
const { builtin, script } = core.loadExtScript("ext:partyrun/node/loader.js");
const { absentFunction } = core.loadExtScript("ext:partyrun/node/absent.js");
const { Readable, Writable } = builtin("node:stream");
const { EventEmitter } = core.loadExtScript("ext:deno_node/_events.mjs");
const { asBuffer, encoded, joined } = core.loadExtScript("ext:partyrun/node/buffers.js");
const { nextTick } = core.loadExtScript("ext:partyrun/node/platform.js");
const { AbortController } = core.loadExtScript("ext:deno_web/03_abort_signal.js");
const { ReadableStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { headersEntries } = core.loadExtScript("ext:deno_fetch/20_headers.js");
const { URL, URLPrototype } = core.loadExtScript("ext:deno_web/00_url.js");
const { forgivingBase64Encode } = core.loadExtScript("ext:deno_web/00_infra.js");
const {
  AbortControllerPrototypeAbort,
  AbortControllerPrototypeGetSignal,
  HeadersPrototypeAppend,
  ReadableStreamDefaultControllerPrototypeClose,
  ReadableStreamDefaultControllerPrototypeEnqueue,
  ReadableStreamDefaultControllerPrototypeGetDesiredSize,
  ReadableStreamDefaultReaderPrototypeCancel,
  ReadableStreamDefaultReaderPrototypeRead,
  ReadableStreamPrototypeGetReader,
  RequestPrototypeGetHeaders,
  ResponsePrototypeGetBody,
  ResponsePrototypeGetHeaders,
  ResponsePrototypeGetStatus,
  ResponsePrototypeGetStatusText,
  URLPrototypeGetHostname,
  URLPrototypeGetHref,
  URLPrototypeGetPassword,
  URLPrototypeGetPathname,
  URLPrototypeGetPort,
  URLPrototypeGetProtocol,
  URLPrototypeGetSearch,
  URLPrototypeGetUsername,
} = core.loadExtScript("ext:partyrun/06_captured.js");
const { Request } = core.loadExtScript("ext:partyrun/30_http.js");
const { fetch } = core.loadExtScript("ext:partyrun/32_fetch.js");
const timers = core.loadExtScript("ext:partyrun/20_timers.js");
const errors = script("ext:deno_node/internal/errors.ts");

const METHODS = ["ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "M-SEARCH", "MERGE",
  "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE", "NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE", "PUT",
  "QUERY", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE"];
const STATUS_CODES = { 100: "Continue", 101: "Switching Protocols", 102: "Processing", 103: "Early Hints", 200: "OK",
  201: "Created", 202: "Accepted", 203: "Non-Authoritative Information", 204: "No Content", 205: "Reset Content",
  206: "Partial Content", 207: "Multi-Status", 208: "Already Reported", 226: "IM Used", 300: "Multiple Choices",
  301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified", 305: "Use Proxy", 307: "Temporary Redirect",
  308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden",
  404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required",
  408: "Request Timeout", 409: "Conflict", 410: "Gone", 411: "Length Required", 412: "Precondition Failed",
  413: "Payload Too Large", 414: "URI Too Long", 415: "Unsupported Media Type", 416: "Range Not Satisfiable",
  417: "Expectation Failed", 418: "I'm a Teapot", 421: "Misdirected Request", 422: "Unprocessable Entity", 423: "Locked",
  424: "Failed Dependency", 425: "Too Early", 426: "Upgrade Required", 428: "Precondition Required", 429: "Too Many Requests",
  431: "Request Header Fields Too Large", 451: "Unavailable For Legal Reasons", 500: "Internal Server Error",
  501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
  505: "HTTP Version Not Supported", 506: "Variant Also Negotiates", 507: "Insufficient Storage", 508: "Loop Detected",
  509: "Bandwidth Limit Exceeded", 510: "Not Extended", 511: "Network Authentication Required" };

const token = new SafeRegExp("^[\\^_`a-zA-Z\\-0-9!#$%&'*+.|~]+$");
const badValue = new SafeRegExp("[^\\t\\x20-\\x7e\\x80-\\xff]");

function validateHeaderName(name) {
  if (typeof name !== "string" || !RegExpPrototypeTest(token, name)) {
    throw new errors.ERR_INVALID_HTTP_TOKEN("Header name", name);
  }
}

function validateHeaderValue(name, value) {
  if (value === undefined) throw new errors.ERR_HTTP_INVALID_HEADER_VALUE(value, name);
  if (RegExpPrototypeTest(badValue, String(value))) throw new errors.ERR_INVALID_CHAR("header content", name);
}

// Connections are pooled by the host for the whole process; an agent is kept for programs that pass one on.
class Agent extends EventEmitter {
  constructor(options) {
    super();
    this.options = { ...options };
    this.keepAlive = options?.keepAlive ?? false;
    this.maxSockets = options?.maxSockets ?? Infinity;
    this.maxFreeSockets = options?.maxFreeSockets ?? 256;
    this.maxTotalSockets = options?.maxTotalSockets ?? Infinity;
    this.requests = {};
    this.sockets = {};
    this.freeSockets = {};
    this.protocol = options?.protocol ?? "http:";
    this.defaultPort = options?.defaultPort ?? 80;
  }

  destroy() {}

  getName(options = {}) {
    return `${options.host ?? "localhost"}:${options.port ?? ""}:${options.localAddress ?? ""}`;
  }
}

class IncomingMessage extends Readable {
  constructor(response) {
    super();
    this.statusCode = ResponsePrototypeGetStatus(response);
    this.statusMessage = ResponsePrototypeGetStatusText(response);
    this.httpVersion = "1.1";
    this.httpVersionMajor = 1;
    this.httpVersionMinor = 1;
    this.headers = {};
    this.headersDistinct = {};
    this.rawHeaders = [];
    this.trailers = {};
    this.rawTrailers = [];
    this.complete = false;
    this.aborted = false;
    this.url = "";
    this.method = null;
    this.socket = this.connection = new EventEmitter();
    const list = headersEntries(ResponsePrototypeGetHeaders(response));
    for (let i = 0; i < list.length; i++) {
      const { 0: name, 1: value } = list[i];
      ArrayPrototypePush(this.rawHeaders, name, value);
      ArrayPrototypePush(this.headersDistinct[name] ??= [], value);
      if (name === "set-cookie") ArrayPrototypePush(this.headers[name] ??= [], value);
      else this.headers[name] = this.headers[name] === undefined ? value : `${this.headers[name]}, ${value}`;
    }
    const body = ResponsePrototypeGetBody(response);
    this.#reader = body === null ? null : ReadableStreamPrototypeGetReader(body);
  }

  #reader;

  _read() {
    if (this.#reader === null) {
      this.complete = true;
      this.push(null);
      return;
    }
    PromisePrototypeThen(ReadableStreamDefaultReaderPrototypeRead(this.#reader), ({ done, value }) => {
      if (done) this.complete = true;
      this.push(done ? null : asBuffer(value));
    }, (error) => {
      this.aborted = true;
      this.destroy(ObjectAssign(new Error("aborted"), { code: "ECONNRESET", cause: error }));
    });
  }

  _destroy(error, done) {
    if (!this.complete && this.#reader !== null) {
      PromisePrototypeCatch(ReadableStreamDefaultReaderPrototypeCancel(this.#reader, error ?? undefined), () => {});
    }
    done(error);
  }

  setTimeout(_delay, callback) {
    if (callback) this.once("timeout", callback);
    return this;
  }
}

function credentialsOf(url) {
  const name = url === undefined ? "" : URLPrototypeGetUsername(url);
  return name === "" ? "" : `${decodeURIComponent(name)}:${decodeURIComponent(URLPrototypeGetPassword(url))}`;
}

// What the three forms of `request(url?, options?, callback?)` mean.
function target(defaults, first, second, third) {
  let url;
  let options = first;
  let callback = second;
  if (typeof first === "string" || ObjectPrototypeIsPrototypeOf(URLPrototype, first)) {
    url = new URL(first);
    options = typeof second === "function" || second === undefined || second === null ? {} : second;
    callback = typeof second === "function" ? second : third;
  }
  options = { ...options };
  if (options.path !== undefined && StringPrototypeIncludes(String(options.path), " ")) throw new errors.ERR_UNESCAPED_CHARACTERS("Request path");
  const of = (get) => url === undefined ? undefined : get(url);
  const protocol = options.protocol ?? of(URLPrototypeGetProtocol) ?? options.agent?.protocol ?? defaults.protocol;
  if (protocol !== "http:" && protocol !== "https:") throw new errors.ERR_INVALID_PROTOCOL(protocol, defaults.protocol);
  // user code: what it gave.
  const host = options.hostname ?? options.host ?? of(URLPrototypeGetHostname) ?? "localhost";
  const port = options.port ?? of(URLPrototypeGetPort) ?? "";
  const path = options.path ?? (url === undefined ? "/" : URLPrototypeGetPathname(url) + URLPrototypeGetSearch(url));
  const name = StringPrototypeIncludes(host, ":") && !StringPrototypeStartsWith(host, "[") ? `[${host}]` : host;
  const place = new URL(`${protocol}//${name}${port === "" || port === null ? "" : `:${port}`}`);
  const auth = options.auth ?? credentialsOf(url);
  return { options, callback, auth, protocol, host, path, url: URLPrototypeGetHref(new URL(path, place)) };
}

// The values of two headers in one list.
function bothOf(before, value) {
  const list = ArrayIsArray(before) ? [...new SafeArrayIterator(before)] : [before];
  if (ArrayIsArray(value)) ArrayPrototypePushApply(list, value);
  else ArrayPrototypePush(list, value);
  return list;
}

class ClientRequest extends Writable {
  #target;
  #headers = new SafeMap();
  #chunks = [];
  #controller = new AbortController();
  #body = null;
  #sent = false;
  #timer = undefined;

  constructor(defaults, first, second, third) {
    // The request lives on after its body has ended: until the answer has.
    super({ autoDestroy: false, emitClose: false });
    const place = this.#target = target(defaults, first, second, third);
    const { options } = place;
    this.method = StringPrototypeToUpperCase(options.method ?? "GET");
    if (!RegExpPrototypeTest(token, this.method)) throw new errors.ERR_INVALID_HTTP_TOKEN("Method", this.method);
    this.path = place.path;
    this.host = place.host;
    this.protocol = place.protocol;
    this.agent = options.agent ?? defaults.agent;
    this.aborted = false;
    this.headersSent = false;
    this.reusedSocket = false;
    this.maxHeadersCount = null;
    this.res = null;
    this.socket = this.connection = ObjectAssign(new EventEmitter(), {
      setKeepAlive() {},
      setNoDelay() {},
      setTimeout() {},
      destroy: (error) => this.destroy(error),
      encrypted: place.protocol === "https:",
    });
    const { headers } = options;
    if (ArrayIsArray(headers)) for (let i = 0; i + 1 < headers.length; i += 2) this.setHeader(headers[i], headers[i + 1]);
    else if (headers) {
      const names = ObjectKeys(headers);
      for (let i = 0; i < names.length; i++) if (headers[names[i]] !== undefined) this.setHeader(names[i], headers[names[i]]);
    }
    if (place.auth && !this.hasHeader("authorization")) {
      this.setHeader("authorization", `Basic ${forgivingBase64Encode(core.encode(place.auth))}`);
    }
    if (place.callback) this.once("response", place.callback);
    if (options.timeout) this.setTimeout(options.timeout);
    // user code: the signal may be one of a package.
    options.signal?.addEventListener("abort", () => this.destroy(new errors.AbortError()), { once: true });
    nextTick(() => this.emit("socket", this.socket));
  }

  setHeader(name, value) {
    if (this.headersSent) throw new errors.ERR_HTTP_HEADERS_SENT("set");
    validateHeaderName(name);
    const list = ArrayIsArray(value) ? value : [value];
    for (let i = 0; i < list.length; i++) validateHeaderValue(name, list[i]);
    MapPrototypeSet(this.#headers, StringPrototypeToLowerCase(name), { name, value });
    return this;
  }

  getHeader(name) {
    return MapPrototypeGet(this.#headers, StringPrototypeToLowerCase(name))?.value;
  }

  hasHeader(name) {
    return MapPrototypeHas(this.#headers, StringPrototypeToLowerCase(name));
  }

  removeHeader(name) {
    MapPrototypeDelete(this.#headers, StringPrototypeToLowerCase(name));
  }

  getHeaders() {
    const all = { __proto__: null };
    // own: a SafeMap.
    for (const { 0: name, 1: { value } } of this.#headers) all[name] = value;
    return all;
  }

  getHeaderNames() {
    return ObjectKeys(this.getHeaders());
  }

  getRawHeaderNames() {
    const names = [];
    // own: a SafeMap.
    for (const { 1: { name } } of this.#headers) ArrayPrototypePush(names, name);
    return names;
  }

  appendHeader(name, value) {
    const before = this.getHeader(name);
    return this.setHeader(name, before === undefined ? value : bothOf(before, value));
  }

  setTimeout(delay, callback) {
    if (callback) this.once("timeout", callback);
    timers.clearTimeout(this.#timer);
    if (delay > 0) this.#timer = timers.setTimeout(() => this.emit("timeout"), delay);
    return this;
  }

  setNoDelay() {}
  setSocketKeepAlive() {}

  flushHeaders() {
    this.#send();
  }

  abort() {
    if (this.aborted) return;
    this.aborted = true;
    nextTick(() => this.emit("abort"));
    this.destroy();
  }

  _write(chunk, encoding, done) {
    const bytes = typeof chunk === "string" ? encoded(chunk, encoding) : chunk;
    if (this.#body !== null) {
      // own: of `#stream`.
      this.#body.write(bytes, done);
      return;
    }
    // A body that is complete before long is sent with its length; a longer one is streamed.
    ArrayPrototypePush(this.#chunks, bytes);
    if (this.#chunks.length > 16) this.#stream();
    done();
  }

  _final(done) {
    if (this.#body !== null) this.#body.end();
    else this.#send(this.#chunks.length === 0 ? undefined : joined(this.#chunks));
    done();
  }

  #stream() {
    let pull = null;
    let stream;
    const waiting = this.#chunks;
    this.#chunks = [];
    const body = new ReadableStream({
      start(controller) {
        stream = controller;
        for (let i = 0; i < waiting.length; i++) ReadableStreamDefaultControllerPrototypeEnqueue(controller, waiting[i]);
      },
      pull() {
        const next = pull;
        pull = null;
        next?.();
      },
      cancel: (reason) => void this.destroy(ObjectPrototypeIsPrototypeOf(ErrorPrototype, reason) ? reason : undefined),
    });
    this.#body = {
      write(bytes, done) {
        ReadableStreamDefaultControllerPrototypeEnqueue(stream, bytes);
        if (ReadableStreamDefaultControllerPrototypeGetDesiredSize(stream) > 0) done();
        else pull = done;
      },
      end: () => ReadableStreamDefaultControllerPrototypeClose(stream),
    };
    this.#send(body);
  }

  async #send(body) {
    if (this.#sent) return;
    this.#sent = true;
    this.headersSent = true;
    try {
      const withBody = this.method !== "GET" && this.method !== "HEAD";
      const request = new Request(this.#target.url, {
        __proto__: null,
        method: this.method,
        body: withBody ? body : undefined,
        duplex: "half",
        redirect: "manual",
        signal: AbortControllerPrototypeGetSignal(this.#controller),
      });
      this.#writeHeaders(RequestPrototypeGetHeaders(request));
      this.#answered(await fetch(request));
    } catch (error) {
      this.destroy(connectionError(error));
    }
  }

  #writeHeaders(headers) {
    // own: a SafeMap.
    for (const { 0: name, 1: { value } } of this.#headers) {
      if (name === "host" || name === "connection" || name === "transfer-encoding" || name === "content-length") continue;
      const list = ArrayIsArray(value) ? value : [value];
      for (let i = 0; i < list.length; i++) HeadersPrototypeAppend(headers, name, String(list[i]));
    }
  }

  #answered(response) {
    timers.clearTimeout(this.#timer);
    if (this.destroyed) return;
    const message = this.res = new IncomingMessage(response);
    message.req = this;
    if (!this.emit("response", message)) message.resume();
    message.once("close", () => this.emit("close"));
  }

  _destroy(error, done) {
    timers.clearTimeout(this.#timer);
    if (this.res === null) AbortControllerPrototypeAbort(this.#controller);
    else if (!this.res.complete) this.res.destroy(error ?? undefined);
    if (error === null && this.res === null) {
      error = ObjectAssign(new Error("socket hang up"), { code: "ECONNRESET" });
    }
    done(error);
    if (this.res === null) nextTick(() => this.emit("close"));
  }
}

// The code by which programs tell what went wrong: the host's, if it was the connection.
function connectionError(error) {
  const code = error?.cause?.code ?? "ECONNRESET";
  // What the operator does not allow needs its reason.
  const message = code === "EACCES" ? error.cause.message : error?.message;
  return ObjectAssign(new Error(message ?? "fetch failed"), { code, cause: error });
}

class Server extends EventEmitter {
  listen = absentFunction("node:http", "Server.listen");
  close(callback) {
    callback?.();
    return this;
  }
  address() {
    return null;
  }
}

function library(protocol, defaultPort) {
  const agent = new Agent({ protocol, defaultPort });
  const defaults = { protocol, agent };
  class OwnAgent extends Agent {
    constructor(options) {
      super({ protocol, defaultPort, ...options });
    }
  }
  const request = (first, second, third) => new ClientRequest(defaults, first, second, third);
  const get = (first, second, third) => {
    const made = request(first, second, third);
    made.end();
    return made;
  };
  return {
    Agent: OwnAgent,
    ClientRequest,
    createServer: () => new Server(),
    get,
    globalAgent: agent,
    IncomingMessage,
    maxHeaderSize: 16384,
    METHODS,
    OutgoingMessage: Writable,
    request,
    Server,
    ServerResponse: absentFunction(`node:${StringPrototypeSlice(protocol, 0, -1)}`, "ServerResponse"),
    setMaxIdleHTTPParsers() {},
    STATUS_CODES,
    validateHeaderName,
    validateHeaderValue,
  };
}

return { http: library("http:", 80), https: library("https:", 443) };
})();

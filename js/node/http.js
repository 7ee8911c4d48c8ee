// `node:http` and `node:https`: `request` and `get` over fetch, so that pooling, TLS, proxies and limits are those of every
// other request that a room sends. Answers are not followed and not decoded twice: a redirect comes back as it is. Servers are
// the project's rooms; `createServer` can be called, listening cannot.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayIsArray, ArrayPrototypePush, Error, ObjectAssign, ObjectEntries, ObjectKeys,
  RegExpPrototypeTest, SafeMap, SafeRegExp, String, StringPrototypeSlice, StringPrototypeStartsWith, StringPrototypeToLowerCase,
  StringPrototypeToUpperCase } = primordials;
const { builtin, script } = core.loadExtScript("ext:partyrun/node/loader.js");
const { absentFunction } = core.loadExtScript("ext:partyrun/node/absent.js");
const { Readable, Writable } = builtin("node:stream");
const { EventEmitter } = core.loadExtScript("ext:deno_node/_events.mjs");
const { Buffer } = core.loadExtScript("ext:deno_node/internal/buffer.mjs");
const { AbortController } = core.loadExtScript("ext:deno_web/03_abort_signal.js");
const { ReadableStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { Headers } = core.loadExtScript("ext:deno_fetch/20_headers.js");
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
    this.statusCode = response.status;
    this.statusMessage = response.statusText;
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
    for (const [name, value] of response.headers) {
      ArrayPrototypePush(this.rawHeaders, name, value);
      ArrayPrototypePush(this.headersDistinct[name] ??= [], value);
      if (name === "set-cookie") ArrayPrototypePush(this.headers[name] ??= [], value);
      else this.headers[name] = this.headers[name] === undefined ? value : `${this.headers[name]}, ${value}`;
    }
    this.#reader = response.body?.getReader() ?? null;
  }

  #reader;

  _read() {
    if (this.#reader === null) {
      this.complete = true;
      this.push(null);
      return;
    }
    this.#reader.read().then(({ done, value }) => {
      if (done) this.complete = true;
      this.push(done ? null : Buffer.from(value.buffer, value.byteOffset, value.byteLength));
    }, (error) => {
      this.aborted = true;
      this.destroy(ObjectAssign(new Error("aborted"), { code: "ECONNRESET", cause: error }));
    });
  }

  _destroy(error, done) {
    if (!this.complete) this.#reader?.cancel(error ?? undefined).then(() => {}, () => {});
    done(error);
  }

  setTimeout(_delay, callback) {
    if (callback) this.once("timeout", callback);
    return this;
  }
}

// What the three forms of `request(url?, options?, callback?)` mean.
function target(defaults, first, second, third) {
  let url;
  let options = first;
  let callback = second;
  if (typeof first === "string" || first instanceof URL) {
    url = new URL(first);
    options = typeof second === "function" || second === undefined || second === null ? {} : second;
    callback = typeof second === "function" ? second : third;
  }
  options = { ...options };
  if (options.path !== undefined && / /.test(options.path)) throw new errors.ERR_UNESCAPED_CHARACTERS("Request path");
  const protocol = options.protocol ?? url?.protocol ?? options.agent?.protocol ?? defaults.protocol;
  if (protocol !== "http:" && protocol !== "https:") throw new errors.ERR_INVALID_PROTOCOL(protocol, defaults.protocol);
  const host = options.hostname ?? options.host ?? url?.hostname ?? "localhost";
  const port = options.port ?? url?.port ?? "";
  const path = options.path ?? (url === undefined ? "/" : url.pathname + url.search);
  const name = host.includes(":") && !StringPrototypeStartsWith(host, "[") ? `[${host}]` : host;
  const place = new URL(`${protocol}//${name}${port === "" || port === null ? "" : `:${port}`}`);
  const auth = options.auth ?? (url?.username ? `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` : "");
  return { options, callback, auth, protocol, host, path, url: new URL(path, place).href };
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
    else if (headers) for (const [name, value] of ObjectEntries(headers)) if (value !== undefined) this.setHeader(name, value);
    if (place.auth && !this.hasHeader("authorization")) {
      this.setHeader("authorization", `Basic ${Buffer.from(place.auth).toString("base64")}`);
    }
    if (place.callback) this.once("response", place.callback);
    if (options.timeout) this.setTimeout(options.timeout);
    options.signal?.addEventListener("abort", () => this.destroy(new errors.AbortError()), { once: true });
    queueMicrotask(() => this.emit("socket", this.socket));
  }

  setHeader(name, value) {
    if (this.headersSent) throw new errors.ERR_HTTP_HEADERS_SENT("set");
    validateHeaderName(name);
    for (const each of ArrayIsArray(value) ? value : [value]) validateHeaderValue(name, each);
    this.#headers.set(StringPrototypeToLowerCase(name), { name, value });
    return this;
  }

  getHeader(name) {
    return this.#headers.get(StringPrototypeToLowerCase(name))?.value;
  }

  hasHeader(name) {
    return this.#headers.has(StringPrototypeToLowerCase(name));
  }

  removeHeader(name) {
    this.#headers.delete(StringPrototypeToLowerCase(name));
  }

  getHeaders() {
    const all = { __proto__: null };
    for (const [name, { value }] of this.#headers) all[name] = value;
    return all;
  }

  getHeaderNames() {
    return ObjectKeys(this.getHeaders());
  }

  getRawHeaderNames() {
    return [...this.#headers.values()].map(({ name }) => name);
  }

  appendHeader(name, value) {
    const before = this.getHeader(name);
    return this.setHeader(name, before === undefined ? value : [].concat(before, value));
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
    queueMicrotask(() => this.emit("abort"));
    this.destroy();
  }

  _write(chunk, encoding, done) {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk;
    if (this.#body !== null) {
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
    else this.#send(this.#chunks.length === 0 ? undefined : Buffer.concat(this.#chunks));
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
        for (const chunk of waiting) controller.enqueue(chunk);
      },
      pull() {
        const next = pull;
        pull = null;
        next?.();
      },
      cancel: (reason) => void this.destroy(reason instanceof Error ? reason : undefined),
    });
    this.#body = {
      write(bytes, done) {
        stream.enqueue(bytes);
        if (stream.desiredSize > 0) done();
        else pull = done;
      },
      end: () => stream.close(),
    };
    this.#send(body);
  }

  async #send(body) {
    if (this.#sent) return;
    this.#sent = true;
    this.headersSent = true;
    try {
      const headers = new Headers();
      for (const [name, { value }] of this.#headers) {
        if (name === "host" || name === "connection" || name === "transfer-encoding" || name === "content-length") continue;
        for (const each of ArrayIsArray(value) ? value : [value]) headers.append(name, String(each));
      }
      const withBody = this.method !== "GET" && this.method !== "HEAD";
      const response = await fetch(this.#target.url, {
        method: this.method,
        headers,
        body: withBody ? body : undefined,
        duplex: "half",
        redirect: "manual",
        signal: this.#controller.signal,
      });
      this.#answered(response);
    } catch (error) {
      this.destroy(connectionError(error));
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
    if (this.res === null) this.#controller.abort();
    else if (!this.res.complete) this.res.destroy(error ?? undefined);
    if (error === null && this.res === null) {
      error = ObjectAssign(new Error("socket hang up"), { code: "ECONNRESET" });
    }
    done(error);
    if (this.res === null) queueMicrotask(() => this.emit("close"));
  }
}

// The codes by which programs tell what went wrong.
function connectionError(error) {
  let text = "";
  for (let cause = error, depth = 0; cause && depth < 5; cause = cause.cause, depth++) text += ` ${cause.message}`;
  const code = /not valid for name/i.test(text)
    ? "ERR_TLS_CERT_ALTNAME_INVALID"
    : /invalid peer certificate: expired/i.test(text)
    ? "CERT_HAS_EXPIRED"
    : /invalid peer certificate/i.test(text)
    ? "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
    : /refused/i.test(text)
    ? "ECONNREFUSED"
    : /dns|lookup|resolve/i.test(text)
    ? "ENOTFOUND"
    : /timed? ?out/i.test(text)
    ? "ETIMEDOUT"
    : "ECONNRESET";
  return ObjectAssign(new Error(error?.message ?? "fetch failed"), { code, cause: error });
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

// `node:tls` and `cloudflare:sockets`, over the connections of net.js. Certificates are checked by the host with the trust
// that fetch has; `ca`, `rejectUnauthorized: false`, `cert` and `key` add to it for one connection.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayIsArray, ArrayPrototypeJoin, ArrayPrototypePush, Number, ObjectAssign, Promise, PromisePrototypeCatch, PromisePrototypeThen,
  String,
  StringPrototypeLastIndexOf, StringPrototypeSlice, StringPrototypeToLowerCase, TypeError, Uint8Array } = primordials;
const { builtin } = core.loadExtScript("ext:partyrun/node/loader.js");
const { absentFunction } = core.loadExtScript("ext:partyrun/node/absent.js");
const { Connection, Socket, systemError } = core.loadExtScript("ext:partyrun/node/net.js");
const { bytesOf } = core.loadExtScript("ext:partyrun/03_bytes.js");
const {
  ReadableByteStreamControllerPrototypeClose,
  ReadableByteStreamControllerPrototypeEnqueue,
  ReadableByteStreamControllerPrototypeGetByobRequest,
  ReadableStreamBYOBRequestPrototypeRespond,
} = core.loadExtScript("ext:partyrun/06_captured.js");
const { ReadableStream, WritableStream } = core.loadExtScript("ext:deno_web/06_streams.js");

function texts(value) {
  if (value === undefined || value === null) return [];
  const given = ArrayIsArray(value) ? value : [value];
  const list = [];
  for (let i = 0; i < given.length; i++) ArrayPrototypePush(list, String(given[i]));
  return list;
}

function secureOptions(options, host) {
  const context = options.secureContext ?? options;
  return {
    name: options.servername || host || "localhost",
    ca: texts(context.ca),
    alpn: texts(options.ALPNProtocols),
    acceptAny: options.rejectUnauthorized === false,
    certificate: context.cert === undefined ? null : ArrayPrototypeJoin(texts(context.cert), "\n"),
    key: context.key === undefined ? null : ArrayPrototypeJoin(texts(context.key), "\n"),
  };
}

class TLSSocket extends Socket {
  #secured = null;

  constructor(socket, options = {}) {
    super(options);
    this.encrypted = true;
    this.authorized = false;
    this.authorizationError = null;
    this.alpnProtocol = false;
    this.connecting = true;
    if (socket) {
      socket.on("error", (error) => this.destroy(error));
      socket._whenConnected(() => this.#secure(socket._detach(), options, options.host));
    } else {
      const host = options.host ?? "localhost";
      const port = Number(options.port);
      PromisePrototypeThen(
        Connection.open(host, port),
        (connection) => this.#secure(connection, options, host),
        (error) => this.destroy(systemError(error, "connect", { host, port })),
      );
    }
  }

  async #secure(connection, options, host) {
    try {
      // own: a Connection.
      const secured = await connection.secure(secureOptions(options, host ?? connection.opened.remote_address));
      if (this.destroyed) {
        // own: a Connection.
        secured.close();
        return;
      }
      this.#secured = secured.secured;
      this.authorized = options.rejectUnauthorized !== false;
      this.alpnProtocol = secured.secured.alpn ?? false;
      this._attach(secured);
      this.emit("secureConnect");
      this.emit("secure");
    } catch (error) {
      this.destroy(ObjectAssign(error, { code: error.code ?? "ECONNRESET" }));
    }
  }

  getProtocol() {
    return this.#secured?.protocol ?? null;
  }

  getCipher() {
    const name = this.#secured?.cipher ?? undefined;
    return { name, standardName: name, version: this.getProtocol() };
  }

  getPeerCertificate() {
    if (this.#secured === null || this.#secured.certificate.length === 0) return {};
    const { X509Certificate } = builtin("node:crypto");
    return new X509Certificate(new Uint8Array(this.#secured.certificate)).toLegacyObject();
  }

  getPeerX509Certificate() {
    const { X509Certificate } = builtin("node:crypto");
    return new X509Certificate(new Uint8Array(this.#secured.certificate));
  }

  getSession() {}
  getFinished() {}
  getPeerFinished() {}
  isSessionReused() {
    return false;
  }
  setServername() {}
  setMaxSendFragment() {
    return true;
  }
  enableTrace() {}
}

function connect(...args) {
  const callback = typeof args[args.length - 1] === "function" ? args[args.length - 1] : undefined;
  let options = {};
  if (typeof args[0] === "object" && args[0] !== null) options = { ...args[0] };
  else {
    options.port = args[0];
    if (typeof args[1] === "string") options.host = args[1];
    const rest = typeof args[1] === "object" ? args[1] : typeof args[2] === "object" ? args[2] : undefined;
    options = { ...options, ...rest };
  }
  const socket = new TLSSocket(options.socket, options);
  if (callback) socket.once("secureConnect", callback);
  if (options.timeout) socket.setTimeout(options.timeout);
  return socket;
}

const tls = {
  checkServerIdentity: () => undefined,
  connect,
  createSecureContext: (options = {}) => ({ ...options }),
  createServer: absentFunction("node:tls", "createServer"),
  DEFAULT_CIPHERS: "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
  DEFAULT_ECDH_CURVE: "auto",
  DEFAULT_MAX_VERSION: "TLSv1.3",
  DEFAULT_MIN_VERSION: "TLSv1.2",
  getCiphers: () => ["tls_aes_128_gcm_sha256", "tls_aes_256_gcm_sha384", "tls_chacha20_poly1305_sha256"],
  rootCertificates: [],
  SecureContext: absentFunction("node:tls", "SecureContext"),
  Server: absentFunction("node:tls", "Server"),
  TLSSocket,
};

// --- cloudflare:sockets -------------------------------------------------------------------------------------------

// "host:port" or { hostname, port }
function address(place) {
  // user code: what it gave.
  if (typeof place === "object" && place !== null) return { hostname: String(place.hostname), port: Number(place.port) };
  const text = String(place);
  const colon = StringPrototypeLastIndexOf(text, ":");
  const port = colon < 0 ? NaN : Number(StringPrototypeSlice(text, colon + 1));
  if (!(port >= 0 && port <= 65535)) throw new TypeError("The specified address is missing port.");
  return { hostname: StringPrototypeSlice(text, 0, colon), port };
}

class CloudflareSocket {
  #connecting;
  #hostname;
  #closed;
  #resolveClosed;
  #rejectClosed;
  #taken = false;

  constructor(connecting, hostname, options) {
    this.#connecting = connecting;
    this.#hostname = hostname;
    this.secureTransport = StringPrototypeToLowerCase(options?.secureTransport ?? "off");
    this.upgraded = false;
    this.#closed = new Promise((resolve, reject) => {
      this.#resolveClosed = resolve;
      this.#rejectClosed = reject;
    });
    PromisePrototypeCatch(this.#closed, () => {});
    this.opened = PromisePrototypeThen(connecting, (connection) => ({
      remoteAddress: `${connection.opened.remote_address}:${connection.opened.remote_port}`,
      localAddress: `${connection.opened.local_address}:${connection.opened.local_port}`,
    }));
    PromisePrototypeCatch(this.opened, (error) => this.#rejectClosed(error));
    this.readable = new ReadableStream({ type: "bytes", pull: (controller) => this.#pull(controller), cancel: () => {} });
    this.writable = new WritableStream({
      write: (chunk) => this.#write(chunk),
      close: async () => {
        if (this.#taken) return;
        // own: a Connection.
        await (await connecting).end();
      },
      abort: () => this.close(),
    });
  }

  get closed() {
    return this.#closed;
  }

  async #pull(controller) {
    // own: of `Connection.open`.
    const connection = await this.#connecting;
    try {
      // own: a Connection.
      const bytes = await connection.read();
      if (this.#taken) return;
      if (bytes === undefined) {
        ReadableByteStreamControllerPrototypeClose(controller);
        const request = ReadableByteStreamControllerPrototypeGetByobRequest(controller);
        if (request !== null) ReadableStreamBYOBRequestPrototypeRespond(request, 0);
        this.#resolveClosed();
        return;
      }
      ReadableByteStreamControllerPrototypeEnqueue(controller, bytesOf(bytes));
    } catch (error) {
      if (this.#taken) return;
      this.#rejectClosed(error);
      throw error;
    }
  }

  async #write(chunk) {
    const bytes = bytesOf(chunk);
    if (bytes === null) {
      throw new TypeError(
        "This TransformStream is being used as a byte stream, but received an object of non-ArrayBuffer/ArrayBufferView " +
          "type on its writable side.",
      );
    }
    // own: a Connection.
    await (await this.#connecting).write(bytes);
  }

  async close() {
    this.#taken = true;
    try {
      // own: a Connection.
      (await this.#connecting).close();
    } finally {
      this.#resolveClosed();
    }
  }

  startTls(options) {
    if (this.secureTransport !== "starttls") {
      throw new TypeError("The `secureTransport` socket option must be set to 'starttls' for startTls to be used.");
    }
    if (this.#taken) throw new TypeError("The socket was upgraded already.");
    this.#taken = true;
    this.upgraded = true;
    const name = options?.expectedServerHostname ?? this.#hostname;
    const secured = PromisePrototypeThen(this.#connecting, (connection) => connection.secure({ name }));
    // Clients take this for the end of the handshake: it comes after everything that they do with the new socket now.
    PromisePrototypeThen(secured, this.#resolveClosed, this.#resolveClosed);
    return new CloudflareSocket(secured, name, { secureTransport: "on" });
  }
}

const cloudflareSockets = {
  connect(place, options) {
    const { hostname, port } = address(place);
    let connecting = Connection.open(hostname, port);
    if (options?.secureTransport === "on") {
      connecting = PromisePrototypeThen(connecting, (connection) => connection.secure({ name: hostname }));
    }
    return new CloudflareSocket(connecting, hostname, options);
  },
};

return { cloudflareSockets, tls };
})();

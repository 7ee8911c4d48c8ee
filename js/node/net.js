// `node:net`: TCP sockets as Duplex streams over the host's connections. There are no servers: partyrun is what listens.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypePush, Error, Number, NumberIsInteger, ObjectAssign, PromisePrototypeThen, ReflectApply, RegExpPrototypeTest, SafeRegExp, String,
  StringPrototypeIncludes, StringPrototypeSplit, TypeError, Uint8Array } = primordials;
const { afterWrites } = core.loadExtScript("ext:partyrun/29_output_gate.js");
const { builtin, script } = core.loadExtScript("ext:partyrun/node/loader.js");
const { absentFunction } = core.loadExtScript("ext:partyrun/node/absent.js");
const { Duplex } = builtin("node:stream");
const { part } = core.loadExtScript("ext:partyrun/03_bytes.js");
const { URLPrototypeGetHostname } = core.loadExtScript("ext:partyrun/06_captured.js");
const { URL } = core.loadExtScript("ext:deno_web/00_url.js");
const { asBuffer, encoded, joined } = core.loadExtScript("ext:partyrun/node/buffers.js");
const { op_node_net_connect, op_node_net_secure } = core.loadExtScript("ext:partyrun/node/ops.js");
const timers = core.loadExtScript("ext:partyrun/20_timers.js");
const errors = script("ext:deno_node/internal/errors.ts");

const READ_BYTES = 64 * 1024;

// The error of Node for one of the host, which has the code.
function systemError(error, syscall, place) {
  const code = error?.code;
  if (typeof code !== "string") return error;
  // What the operator does not allow needs a reason.
  const why = code === "EACCES" ? ` (${error.message})` : "";
  const made = new Error(`${syscall} ${code}${place === undefined ? "" : ` ${place.host}:${place.port}`}${why}`);
  return ObjectAssign(made, { code, errno: code, syscall, ...place, cause: error });
}

// A connection of the host: bytes in both directions, by the ops that all resources have.
class Connection {
  constructor(opened) {
    this.rid = opened.resource;
    this.opened = opened;
  }

  static async open(host, port) {
    return new Connection(await afterWrites(() => op_node_net_connect(host, port)));
  }

  // Undefined at the end.
  async read() {
    const buffer = new Uint8Array(READ_BYTES);
    const count = await core.read(this.rid, buffer);
    return count === 0 ? undefined : asBuffer(part(buffer, 0, count));
  }

  async write(bytes) {
    await afterWrites(() => core.writeAll(this.rid, bytes));
  }

  async end() {
    await afterWrites(() => core.shutdown(this.rid));
  }

  close() {
    core.tryClose(this.rid);
  }

  async secure(options) {
    const asked = {
      name: options.name,
      ca: options.ca ?? [],
      alpn: options.alpn ?? [],
      accept_any: options.acceptAny ?? false,
      certificate: options.certificate ?? null,
      key: options.key ?? null,
    };
    const secured = await afterWrites(() => op_node_net_secure(this.rid, asked));
    const connection = new Connection({ ...this.opened, resource: secured.resource });
    connection.secured = secured;
    return connection;
  }
}

const ipv4 = new SafeRegExp("^(?:(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)(?:\\.(?!$)|$)){4}$");

function isIPv4(text) {
  return RegExpPrototypeTest(ipv4, `${text}`);
}

function isIPv6(text) {
  const address = StringPrototypeSplit(`${text}`, "%")[0];
  if (!StringPrototypeIncludes(address, ":") || StringPrototypeIncludes(address, "]")) return false;
  try {
    return URLPrototypeGetHostname(new URL(`http://[${address}]`)) !== "";
  } catch {
    return false;
  }
}

function isIP(text) {
  return isIPv4(text) ? 4 : isIPv6(text) ? 6 : 0;
}

// connect(port, host?, callback?), connect({ port, host }, callback?)
function connectOptions(args) {
  const callback = typeof args[args.length - 1] === "function" ? args[args.length - 1] : undefined;
  if (typeof args[0] === "object" && args[0] !== null) return { options: args[0], callback };
  if (typeof args[0] === "string" && !NumberIsInteger(Number(args[0]))) return { options: { path: args[0] }, callback };
  return { options: { port: args[0], host: typeof args[1] === "string" ? args[1] : undefined }, callback };
}

class Socket extends Duplex {
  #connection = null;
  #reading = false;
  #timeout = 0;
  #timer = undefined;
  #waiting = null;

  constructor(options) {
    super({ allowHalfOpen: options?.allowHalfOpen ?? false, autoDestroy: true, emitClose: true });
    this.connecting = false;
    this.bytesRead = 0;
    this.bytesWritten = 0;
    // user code: the signal may be one of a package.
    options?.signal?.addEventListener("abort", () => this.destroy(new errors.AbortError()), { once: true });
  }

  get pending() {
    return this.#connection === null;
  }

  get readyState() {
    if (this.connecting) return "opening";
    if (this.#connection === null) return "closed";
    return this.readable ? (this.writable ? "open" : "readOnly") : this.writable ? "writeOnly" : "closed";
  }

  connect(...args) {
    const { options, callback } = connectOptions(args);
    if (callback) this.once("connect", callback);
    if (options.path !== undefined) throw new TypeError("node:net: sockets of the file system are not available in partyrun");
    const port = Number(options.port);
    if (!NumberIsInteger(port) || port < 0 || port > 65535) throw new errors.ERR_SOCKET_BAD_PORT("options.port", options.port, true);
    const host = options.host === undefined || options.host === null || options.host === "" ? "localhost" : String(options.host);
    this.connecting = true;
    this.#open(host, port);
    return this;
  }

  async #open(host, port) {
    try {
      const connection = await Connection.open(host, port);
      // own: a Connection.
      if (this.destroyed) connection.close();
      else this._attach(connection);
    } catch (error) {
      this.connecting = false;
      this.destroy(systemError(error, "connect", { host, port }));
    }
  }

  // Also how a TLS socket takes over the connection of a bare one.
  _attach(connection) {
    this.#connection = connection;
    this.connecting = false;
    const { opened } = connection;
    this.localAddress = opened.local_address;
    this.localPort = opened.local_port;
    this.remoteAddress = opened.remote_address;
    this.remotePort = opened.remote_port;
    this.remoteFamily = isIPv6(opened.remote_address) ? "IPv6" : "IPv4";
    this.#active();
    this.emit("connect");
    this.emit("ready");
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.();
    if (this.#reading) this.#pump();
  }

  // Gives the connection away; this socket stays a shell that is open until the other one closes it.
  _detach() {
    const connection = this.#connection;
    this.#connection = null;
    return connection;
  }

  _whenConnected(task) {
    if (this.#connection !== null) task();
    else this.#waiting = task;
  }

  _read() {
    if (this.#reading) return;
    this.#reading = true;
    if (this.#connection !== null) this.#pump();
  }

  async #pump() {
    const connection = this.#connection;
    try {
      while (this.#reading && this.#connection === connection) {
        // own: a Connection.
        const bytes = await connection.read();
        if (this.#connection !== connection || this.destroyed) return;
        this.#active();
        if (bytes === undefined) {
          this.#reading = false;
          this.push(null);
          return;
        }
        this.bytesRead += bytes.length;
        this.#reading = this.push(bytes);
      }
    } catch (error) {
      // A read that was cancelled, because the connection is being secured or closed, is nobody's error.
      if (this.#connection === connection && !this.destroyed) this.destroy(systemError(error, "read"));
    }
  }

  _write(chunk, encoding, done) {
    const bytes = typeof chunk === "string" ? encoded(chunk, encoding) : chunk;
    this._whenConnected(() => {
      this.#active();
      // own: a Connection.
      PromisePrototypeThen(this.#connection.write(bytes), () => {
        this.bytesWritten += bytes.length;
        done();
      }, (error) => done(systemError(error, "write")));
    });
  }

  _writev(chunks, done) {
    const list = [];
    for (let i = 0; i < chunks.length; i++) {
      const { chunk, encoding } = chunks[i];
      ArrayPrototypePush(list, typeof chunk === "string" ? encoded(chunk, encoding) : chunk);
    }
    this._write(joined(list), undefined, done);
  }

  _final(done) {
    this._whenConnected(() => PromisePrototypeThen(this.#connection.end(), () => done(), () => done()));
  }

  _destroy(error, done) {
    timers.clearTimeout(this.#timer);
    // own: a Connection.
    this.#connection?.close();
    this.#connection = null;
    this.connecting = false;
    done(error);
    this._hadError = error !== null;
  }

  #active() {
    timers.clearTimeout(this.#timer);
    if (this.#timeout > 0) this.#timer = timers.setTimeout(() => this.emit("timeout"), this.#timeout);
  }

  setTimeout(delay, callback) {
    this.#timeout = delay;
    if (callback) this.once("timeout", callback);
    this.#active();
    return this;
  }

  setNoDelay() {
    return this;
  }
  setKeepAlive() {
    return this;
  }
  ref() {
    return this;
  }
  unref() {
    return this;
  }
  address() {
    return { address: this.localAddress, family: isIPv6(this.localAddress) ? "IPv6" : "IPv4", port: this.localPort };
  }
  destroySoon() {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }
  resetAndDestroy() {
    return this.destroy();
  }
}

function connect(...args) {
  const { options } = connectOptions(args);
  const socket = new Socket(options);
  if (options.timeout) socket.setTimeout(options.timeout);
  return ReflectApply(socket.connect, socket, args);
}

const net = {
  BlockList: absentFunction("node:net", "BlockList"),
  connect,
  createConnection: connect,
  createServer: absentFunction("node:net", "createServer"),
  getDefaultAutoSelectFamily: () => true,
  isIP,
  isIPv4,
  isIPv6,
  Server: absentFunction("node:net", "Server"),
  setDefaultAutoSelectFamily() {},
  Socket,
  SocketAddress: absentFunction("node:net", "SocketAddress"),
  Stream: Socket,
};

return { Connection, isIP, net, Socket, systemError };
})();

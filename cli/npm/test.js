// `partyrun/test`: starts a project in a process of its own and gives a test everything that it needs to know and to move. The
// types and the documentation are in test.d.ts.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import http from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const START_MS_MAX = 60_000;
const ANSWER_MS_MAX = 10_000;

// The program of this platform's package, or whatever the caller or the environment names.
function programOf(options) {
  const named = options.program ?? process.env.PARTYRUN;
  if (named !== undefined) return named;
  const name = `@partyrun/${process.platform}-${process.arch}/bin/partyrun`;
  try {
    return createRequire(import.meta.url).resolve(name);
  } catch {
    return "partyrun";
  }
}

// A name as a browser puts it into a path, and never more than one part of it.
function segment(name) {
  return encodeURI(name).replace(/[/?#]/g, encodeURIComponent);
}

function milliseconds(time) {
  if (typeof time === "number" && Number.isFinite(time) && time >= 0) return Math.round(time);
  const [, count, unit] = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(time) ?? [];
  const size = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit];
  if (size === undefined) throw new TypeError(`${JSON.stringify(time)} is no time: write milliseconds, or "90s", "5m", "1h", "2d".`);
  return Math.round(Number(count) * size);
}

// --- values, as the administrative API writes them (docs/admin.md, Storage) -----------------------------------------

const VIEWS = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array,
  Float64Array, BigInt64Array, BigUint64Array, DataView];
const ERRORS = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError];
const named = (all, name, other) => all.find((one) => one.name === name) ?? other;

const READ = {
  $undefined: () => undefined,
  $bigint: (text) => BigInt(text),
  $number: (text) => Number(text),
  $date: (text) => new Date(text ?? Number.NaN),
  $map: (entries) => new Map(entries.map(([key, value]) => [read(key), read(value)])),
  $set: (values) => new Set(values.map(read)),
  $regexp: ([source, flags]) => new RegExp(source, flags),
  $error: ({ name, message, stack }) => Object.assign(new (named(ERRORS, name, Error))(message), { name, stack }),
  $object: (entries) => Object.fromEntries(entries.map(([key, value]) => [key, read(value)])),
};

function read(json) {
  if (json === null || typeof json !== "object") return json;
  if (Array.isArray(json)) return json.map(read);
  if ("$bytes" in json) {
    const { buffer } = Uint8Array.from(Buffer.from(json.$bytes, "base64"));
    return json.of === undefined || json.of === "ArrayBuffer" ? buffer : new (named(VIEWS, json.of, Uint8Array))(buffer);
  }
  const [key] = Object.keys(json);
  if (Object.hasOwn(READ, key)) return READ[key](json[key]);
  if (key === "$circular" || key === "$text") {
    throw new TypeError("This value cannot be brought out of the server: it has a cycle, or objects of the platform.");
  }
  return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, read(value)]));
}

function written(value) {
  switch (typeof value) {
    case "undefined": return { $undefined: true };
    case "bigint": return { $bigint: `${value}` };
    case "number": return Number.isFinite(value) && !Object.is(value, -0) ? value : { $number: Object.is(value, -0) ? "-0" : `${value}` };
    case "string": case "boolean": return value;
    case "object": break;
    default: throw new TypeError(`A ${typeof value} cannot be stored.`);
  }
  if (value === null) return null;
  if (Array.isArray(value)) return value.map(written);
  if (value instanceof Date) return { $date: Number.isNaN(value.getTime()) ? null : value.toISOString() };
  if (value instanceof Map) return { $map: [...value].map(([key, inner]) => [written(key), written(inner)]) };
  if (value instanceof Set) return { $set: [...value].map(written) };
  if (value instanceof RegExp) return { $regexp: [value.source, value.flags] };
  if (value instanceof Error) return { $error: { name: value.name, message: value.message, stack: value.stack } };
  if (value instanceof ArrayBuffer) return { $bytes: Buffer.from(value).toString("base64"), of: "ArrayBuffer" };
  if (ArrayBuffer.isView(value)) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    // A Buffer of Node is a Uint8Array in a room.
    return { $bytes: bytes.toString("base64"), of: Buffer.isBuffer(value) ? "Uint8Array" : value.constructor.name };
  }
  const entries = Object.entries(value).map(([key, inner]) => [key, written(inner)]);
  return entries.some(([key]) => key.startsWith("$")) ? { $object: entries } : Object.fromEntries(entries);
}

// --- the process -----------------------------------------------------------------------------------------------------

class Process {
  output = [];
  #child;
  #lost = null;
  #waiting = new Set();

  constructor(program, args, options) {
    const child = spawn(program, args, { cwd: options.cwd, env: options.env, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    // A run of tests that ends has no server left behind.
    const end = () => child.kill("SIGKILL");
    process.once("exit", end);
    this.ended = new Promise((done) => {
      const lost = (why) => {
        this.#lost ??= why;
        process.removeListener("exit", end);
        for (const waiting of this.#waiting) waiting();
        done();
      };
      child.once("error", (error) => lost(`${program} cannot be started: ${error.message}. Is partyrun installed?`));
      child.once("exit", (code, signal) => lost(`The server has ended (${signal ?? `exit code ${code}`}).`));
    });
    for (const pipe of [child.stdout, child.stderr]) createInterface(pipe).on("line", (line) => this.#take(line, options.print));
  }

  get pid() {
    return this.#child.pid;
  }

  #take(line, print) {
    let event;
    try {
      event = JSON.parse(line);
    } catch {
      event = { type: "text", text: line };
    }
    this.output.push(event);
    if (print) process.stderr.write(`${line}\n`);
    for (const waiting of this.#waiting) waiting();
  }

  // The first event from `from` on that `wanted` likes.
  find(wanted, from, what, timeout) {
    return new Promise((done, fail) => {
      let at = from;
      const said = () => this.output.slice(-20).map((event) => event.text ?? JSON.stringify(event)).join("\n");
      const end = (settle, value) => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        settle(value);
      };
      const look = () => {
        for (; at < this.output.length; at++) if (wanted(this.output[at])) return end(done, this.output[at]);
        if (this.#lost !== null) end(fail, new Error(`${this.#lost}\n${said()}`));
      };
      const timer = setTimeout(() => end(fail, new Error(`${what} did not come within ${timeout} ms.\n${said()}`)), timeout);
      this.#waiting.add(look);
      look();
    });
  }

  signal(signal) {
    this.#child.kill(signal);
    return this.ended;
  }
}

// --- the administrative API ------------------------------------------------------------------------------------------

function ask(socket, token, method, path, body) {
  return new Promise((done, fail) => {
    const headers = { authorization: `Bearer ${token}`, host: "localhost" };
    const request = http.request({ socketPath: socket, method, path, headers, timeout: ANSWER_MS_MAX, agent: false }, (response) => {
      const pieces = [];
      response.on("data", (piece) => pieces.push(piece));
      response.on("error", fail);
      response.on("end", () => {
        const text = Buffer.concat(pieces).toString();
        const json = text === "" ? undefined : JSON.parse(text);
        if (response.statusCode < 400) return done(json);
        const error = new Error(json?.error?.message ?? `${method} ${path}: ${response.statusCode}`);
        fail(Object.assign(error, { code: json?.error?.code, status: response.statusCode }));
      });
    });
    request.on("timeout", () => request.destroy(new Error(`${method} ${path}: no answer within ${ANSWER_MS_MAX} ms`)));
    request.on("error", fail);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

class RoomStorage {
  #ask;

  constructor(ask) {
    this.#ask = ask;
  }

  async get(key) {
    try {
      return read((await this.#ask("GET", `/storage/${encodeURIComponent(key)}`)).value);
    } catch (error) {
      if (error.code === "not_found") return undefined;
      throw error;
    }
  }

  async list({ prefix = "" } = {}) {
    const found = new Map();
    for (let after; ; ) {
      const query = new URLSearchParams({ prefix, ...(after === undefined ? {} : { after }) });
      const { entries, next } = await this.#ask("GET", `/storage?${query}`);
      for (const { key } of entries) found.set(key, await this.get(key));
      if (next === null || next === undefined) return found;
      after = next;
    }
  }

  async put(key, value) {
    await this.#ask("PUT", `/storage/${encodeURIComponent(key)}`, { value: written(value) });
  }

  async delete(key) {
    await this.#ask("DELETE", `/storage/${encodeURIComponent(key)}`);
  }

  async deleteAll() {
    await this.#ask("DELETE", "/storage");
  }
}

class Room {
  #party;
  #name;
  #ask;

  constructor(server, ask, party, name) {
    // The id of a room is what stands in its URL, which is encoded once more here.
    const path = `/v1/rooms/${encodeURIComponent(party)}/${encodeURIComponent(segment(name))}`;
    this.#party = server;
    this.#ask = (method, rest, body) => ask(method, path + rest, body);
    this.#name = { party, room: name };
    this.id = segment(name);
    this.party = party;
    this.storage = new RoomStorage(this.#ask);
  }

  state() {
    return this.#ask("GET", "");
  }

  async alarm() {
    try {
      return (await this.state()).alarm_ms ?? null;
    } catch (error) {
      if (error.code === "not_found") return null;
      throw error;
    }
  }

  async hibernate() {
    await this.#ask("POST", "/hibernate");
  }

  async evict() {
    await this.#ask("POST", "/evict");
  }

  async reset() {
    await this.#ask("POST", "/reset");
  }

  fetch(init) {
    return this.#party.fetch(this.#party.path(this.#name), init);
  }

  connect(options) {
    return this.#party.connect({ ...this.#name, ...options });
  }
}

class Clock {
  #ask;

  constructor(ask) {
    this.#ask = ask;
  }

  async now() {
    return new Date((await this.#ask("GET", "/v1/clock")).now_ms);
  }

  async advance(time) {
    return new Date((await this.#ask("POST", "/v1/clock", { advance_ms: milliseconds(time) })).now_ms);
  }
}

// A WebSocket whose messages are waited for.
class Connection {
  #arrived = [];
  #waiting = [];
  #ended = null;

  constructor(socket) {
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => {
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#arrived.push(data);
      else waiting.done(data);
    });
    this.closed = new Promise((done) => {
      socket.addEventListener("close", ({ code, reason }) => {
        this.#ended = { code, reason };
        for (const { fail } of this.#waiting.splice(0)) fail(new Error(`The connection was closed with ${code}.`));
        done(this.#ended);
      });
    });
  }

  send(data) {
    this.socket.send(data);
  }

  next(timeout = ANSWER_MS_MAX) {
    if (this.#arrived.length > 0) return Promise.resolve(this.#arrived.shift());
    if (this.#ended !== null) return Promise.reject(new Error(`The connection was closed with ${this.#ended.code}.`));
    return new Promise((done, fail) => {
      const waiting = {
        done: (data) => { clearTimeout(timer); done(data); },
        fail: (error) => { clearTimeout(timer); fail(error); },
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        fail(new Error(`No message came within ${timeout} ms.`));
      }, timeout);
      this.#waiting.push(waiting);
    });
  }

  async json(timeout) {
    return JSON.parse(await this.next(timeout));
  }

  close(code, reason) {
    this.socket.close(code, reason);
    return this.closed;
  }
}

class Party {
  #options;
  #folder;
  #data;
  #token = randomBytes(24).toString("hex");
  #process;
  #port = 0;
  #ahead = 0;
  #stopped = false;
  #ask = (method, path, body) => ask(join(this.#folder, "admin"), this.#token, method, path, body);

  constructor(options) {
    this.#options = { ...options, project: resolve(options.project ?? ".") };
    this.#folder = mkdtempSync(join(tmpdir(), "partyrun-"));
    this.#data = options.persist === undefined ? join(this.#folder, "data") : resolve(options.persist);
    const clock = new Clock(this.#ask);
    this.clock = {
      now: () => clock.now(),
      advance: async (time) => {
        const now = await clock.advance(time);
        this.#ahead += milliseconds(time);
        return now;
      },
    };
  }

  async start() {
    const { project, script, env = {}, vars = {}, args = [], print = false, production = false } = this.#options;
    const given = Object.entries(vars).flatMap(([name, value]) => ["--var", `${name}=${value}`]);
    const what = script === undefined ? (production ? ["."] : []) : [script];
    const flags = ["--port", String(this.#port), "--host", "127.0.0.1", "--persist", this.#data, "--json", "--test-clock"];
    const all = [production ? "start" : "dev", ...what, ...flags, "--admin", `unix:${join(this.#folder, "admin")}`, ...given, ...args];
    // A process that was killed has left its socket.
    rmSync(join(this.#folder, "admin"), { force: true });
    const environment = { ...process.env, ...env, PARTYRUN_ADMIN_TOKEN: this.#token, PARTYRUN_SUPERVISOR: "off" };
    this.#process = new Process(programOf(this.#options), all, { cwd: project, env: environment, print });
    const ready = await this.#process.find(({ type }) => type === "ready", 0, "The server", START_MS_MAX);
    this.#port = ready.port;
    if (this.#ahead > 0) await this.#ask("POST", "/v1/clock", { advance_ms: this.#ahead });
    return this;
  }

  get port() {
    return this.#port;
  }

  get host() {
    return `127.0.0.1:${this.#port}`;
  }

  get output() {
    return this.#process.output;
  }

  path({ room = "room", party = "main" } = {}) {
    return party === "main" ? `/party/${segment(room)}` : `/parties/${segment(party)}/${segment(room)}`;
  }

  url(path = "/") {
    return `http://${this.host}${path}`;
  }

  fetch(path, init) {
    return fetch(this.url(path), init);
  }

  room(name, party = "main") {
    return new Room(this, this.#ask, party, name);
  }

  rooms() {
    return this.#ask("GET", "/v1/rooms").then(({ rooms }) => rooms);
  }

  async connect({ room = "room", party = "main", id, query = {}, protocols } = {}) {
    const WebSocket = await this.#socketClass();
    const asked = new URLSearchParams({ ...(id === undefined ? {} : { _pk: id }), ...query });
    const text = `${asked}` === "" ? "" : `?${asked}`;
    const socket = new WebSocket(`ws://${this.host}${this.path({ room, party })}${text}`, protocols);
    const connection = new Connection(socket);
    await new Promise((done, fail) => {
      socket.addEventListener("open", done, { once: true });
      socket.addEventListener("close", ({ code }) => fail(new Error(`The room ${party}/${room} took no connection (${code}).`)));
      // Its close event comes next. A listener keeps `ws` from throwing.
      socket.addEventListener("error", () => {});
    });
    return connection;
  }

  async partySocket(options) {
    const found = await this.#import("partysocket", "npm install --save-dev partysocket");
    const PartySocket = found.PartySocket ?? found.default.PartySocket;
    return new PartySocket({ host: this.host, WebSocket: await this.#socketClass(), ...options });
  }

  log(text, { from = 0, timeout = ANSWER_MS_MAX } = {}) {
    const wanted = (event) => (event.text ?? "").includes(text);
    return this.#process.find(wanted, from, `The line ${JSON.stringify(text)}`, timeout);
  }

  async restart() {
    await this.#process.signal("SIGTERM");
    return this.start();
  }

  async kill() {
    await this.#process.signal("SIGKILL");
    return this.start();
  }

  async stop() {
    if (this.#stopped) return;
    this.#stopped = true;
    await this.#process?.signal("SIGTERM");
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose")]() {
    await this.stop();
  }

  // Node has none before version 22.
  async #socketClass() {
    if (globalThis.WebSocket !== undefined) return globalThis.WebSocket;
    return (await this.#import("ws", "Node has no WebSocket before version 22: npm install --save-dev ws")).default;
  }

  // A package of the project.
  async #import(name, advice) {
    try {
      const found = createRequire(join(this.#options.project, "package.json")).resolve(name);
      return await import(pathToFileURL(found).href);
    } catch (error) {
      throw new Error(`The package ${name} is missing. ${advice}`, { cause: error });
    }
  }
}

export async function start(options = {}) {
  const party = new Party(options);
  try {
    return await party.start();
  } catch (error) {
    await party.stop();
    throw error;
  }
}

// A room's life in short, run once while the snapshot is built: functions that have run are in the snapshot as bytecode,
// so that no room has to compile them again. What is used here is what small servers use. partyrun's own ops have no
// host at that time: they are replaced by functions that note what they were given.
"use strict";

(function () {
const table = globalThis.__partyrun;
const { core } = globalThis.__bootstrap;
const { hot, ops } = core.loadExtScript("ext:partyrun/25_hot.js");
const real = { __proto__: null };
const said = [];
const ANSWERS = { __proto__: null, op_storage_get: null, op_storage_get_many: [], op_storage_list: [] };

function replace(names) {
  for (const name of names) {
    real[name] = ops[name];
    ops[name] = (...args) => {
      said.push(`${name.slice("op_".length)} ${args.join(" ")}`);
      return name in ANSWERS ? ANSWERS[name] : 0;
    };
    if (name in hot) hot[name] = ops[name];
  }
}

// A console cannot be made in a snapshot, and has nothing to say here.
const realConsole = Object.getOwnPropertyDescriptor(globalThis, "console");
const quiet = new Proxy({}, { get: (_target, name) => (...args) => said.push(`console ${name} ${args.map((a) => a?.stack ?? a)}`) });
Object.defineProperty(globalThis, "console", { configurable: true, value: quiet });

function restore() {
  Object.defineProperty(globalThis, "console", realConsole);
  for (const name in real) {
    ops[name] = real[name];
    if (name in hot) hot[name] = real[name];
  }
}

// A snapshot that was only half warmed would be slower for reasons that nobody sees, so that everything is looked at.
function check() {
  const wrong = said.find((line) => line.startsWith("console") || line.startsWith("room_reset"));
  if (wrong !== undefined) throw new Error(wrong);
  const expected = [
    "connection_accept 0 0",
    "broadcast_text 0 text",
    "broadcast_text 0 left",
    /^response_(static|bytes) 0 1 200 /,
    /^response_(static|bytes) 0 2 200 /,
    /^response_(static|bytes) 0 3 201 /,
  ];
  for (const one of expected) {
    const heard = said.some((line) => typeof one === "string" ? line === one : one.test(line));
    if (!heard) throw new Error(`"${one}" is missing in: ${said.join("; ")}`);
  }
}
const ROOM = 0;
const URL_TEXT = "http://127.0.0.1:1999/party/warm?name=a";
const HEADERS = "host\n127.0.0.1:1999\naccept\n*/*\ncontent-type\napplication/json\n";

class Server {
  constructor(room) {
    this.room = room;
  }

  async onStart() {
    await this.room.storage.get("history");
  }

  getConnectionTags(_connection, ctx) {
    return [new URL(ctx.request.url).searchParams.get("name") ?? ""];
  }

  onConnect(connection, ctx) {
    ctx.request.headers.get("host");
    connection.setState({ n: 1 });
    connection.send(JSON.stringify({ id: connection.id, uri: connection.uri, state: connection.state }));
  }

  async onMessage(message, sender) {
    sender.send(message);
    if (typeof message !== "string") return;
    this.room.broadcast(message, [sender.id]);
    for (const connection of this.room.getConnections()) this.room.getConnection(connection.id)?.send(message);
    await this.room.storage.put("history", [message, this.room.id, new Date(0)]);
    await this.room.storage.list({ limit: 1 });
    sender.close();
  }

  onClose() {
    this.room.broadcast("left");
  }

  async onRequest(request) {
    if (request.method === "POST") {
      const { value } = await request.json();
      return Response.json({ value, url: request.url }, { status: 201, headers: { "x-warm": "1" } });
    }
    if (request.headers.get("accept") === "json") return Response.json({ room: this.room.id });
    return new Response("text", { headers: new Headers({ "content-type": "text/plain" }) });
  }
}

globalThis.__warm = {
  live(names) {
    replace(names);
    table.evaluate(() => ({ main: () => ({ default: Server }), parties: {} }));
    table.load("main");
    const info = { id: "warm", party: "main", internalId: "0", env: "{}", parties: ["main"], resources: "{}" };
    table.start(ROOM, info, []);
  },
  events() {
    table.connect(ROOM, 0, "id", URL_TEXT, HEADERS, true);
    table.message(ROOM, 0, "text");
    table.message(ROOM, 0, new ArrayBuffer(2));
    table.request(ROOM, 1, "GET", URL_TEXT, HEADERS, undefined, true, false);
    table.request(ROOM, 2, "GET", URL_TEXT, "accept\njson\n", undefined, true, false);
    const body = new TextEncoder().encode('{"value":1}');
    table.request(ROOM, 3, "POST", URL_TEXT, HEADERS, body, true, false);
  },
  leave() {
    try {
      table.end(ROOM, 0, 0, 1000, "");
    } finally {
      table.cool();
      restore();
      delete globalThis.__warm;
    }
    check();
  },
};
})();

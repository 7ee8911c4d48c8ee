// Everything that the types must know, for the test that runs `tsc` over it. Nothing here is run.
import { connect } from "cloudflare:sockets";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type * as Party from "partyrun/server";

type State = { name: string; tags: string[] };

export default class Everything implements Party.Server {
  readonly options: Party.ServerOptions = { hibernate: true };

  constructor(readonly room: Party.Room) {}

  static async onFetch(request: Party.Request, lobby: Party.FetchLobby, ctx: Party.ExecutionContext) {
    ctx.waitUntil(lobby.parties.other!.get("a").fetch("/path", { method: "POST" }));
    return request.url.endsWith("/none") ? null : await lobby.assets.fetch("/index.html");
  }

  static onSocket(socket: Party.FetchSocket) {
    socket.send(socket.request.url);
  }

  static onBeforeRequest(request: Party.Request) {
    return request.headers.has("x") ? request : new Response("no", { status: 401 });
  }

  static async onBeforeConnect(request: Party.Request, lobby: Party.Lobby) {
    return lobby.id === "closed" ? new Response("no", { status: 401 }) : request;
  }

  static onCron(cron: Party.Cron, lobby: Party.CronLobby) {
    return new Response(`${cron.name} ${cron.cron} ${cron.scheduledTime} ${typeof lobby.env.SECRET}`);
  }

  async onStart() {
    await this.room.blockConcurrencyWhile(async () => {});
    const list = await this.room.storage.list<State>({ prefix: "a", reverse: true, limit: 3 });
    await this.room.storage.transaction(async (transaction) => transaction.put("count", list.size));
    await this.room.storage.setAlarm(Date.now() + 1000);
  }

  getConnectionTags(_connection: Party.Connection, { request }: Party.ConnectionContext) {
    return [`${request.cf?.country ?? "nowhere"}`];
  }

  onConnect(connection: Party.Connection<State>) {
    connection.setState({ name: connection.id, tags: [] });
    connection.setState((before) => ({ name: before?.name ?? "", tags: ["x"] }));
    // @ts-expect-error a state is changed with setState only
    connection.state!.name = "other";
    // @ts-expect-error a state of another shape
    connection.setState({ nom: "x" });
  }

  onMessage(message: string | ArrayBuffer | ArrayBufferView, sender: Party.Connection<State>) {
    this.room.broadcast(message, [sender.id]);
    for (const { state } of this.room.getConnections<State>("tag")) state?.tags.at(0);
    sender.close(4000, "bye");
  }

  async onRequest(request: Party.Request) {
    const { kv, r2 } = this.room.context.bindings;
    await kv.cache!.put("k", "v", { expirationTtl: 60 });
    await r2.files!.put("k", await request.arrayBuffer());
    const socket = await this.room.context.parties.other!.get("b").socket();
    socket.addEventListener("message", (event) => console.log(event.data));
    await scheduler.wait(10);
    const same = crypto.subtle.timingSafeEqual(Buffer.from("a"), Buffer.from("b"));
    const hash = createHash("sha256").update(process.env.SECRET ?? "").digest("hex");
    const tcp = connect("localhost:5432");
    await tcp.close();
    return new HTMLRewriter()
      .on("a", { element: (link) => void link.setAttribute("rel", "nofollow") })
      .transform(new Response(`${same} ${hash}`));
  }

  onClose(connection: Party.Connection) {
    console.log(connection.uri);
  }

  onError(_connection: Party.Connection, error: Error) {
    console.error(error.message);
  }

  async onAlarm() {
    await this.room.storage.deleteAll();
  }
}

Everything satisfies Party.Worker;

// The older form, and one with a mistake in it.
export const older: Party.PartyKitServer = {
  onConnect: (connection, room) => connection.send(room.id),
  onRequest: (_request, room) => new Response(room.name),
};
export const wrong: Party.PartyKitServer = {
  // @ts-expect-error a handler that returns no Response
  onRequest: () => "text",
};

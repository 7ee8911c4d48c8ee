// What library.test.mjs tests the testing library with.
export default class Server {
  options = { hibernate: true };
  lives = `${Math.random()}`;

  constructor(room) {
    this.room = room;
  }

  static async onCron(cron, lobby) {
    await lobby.parties.main.get("crons").fetch({ method: "POST", body: new Date().toISOString().slice(0, 13) });
    return new Response("ran");
  }

  async onRequest(request) {
    const { storage, context } = this.room;
    const url = new URL(request.url);
    switch (url.searchParams.get("do")) {
      case "timers": {
        this.ran = [];
        const begun = Date.now();
        const note = (name) => () => this.ran.push([name, Math.round((Date.now() - begun) / 60_000)]);
        setTimeout(note("later"), 20 * 60_000);
        setTimeout(note("sooner"), 10 * 60_000);
        clearTimeout(setTimeout(note("never"), 5 * 60_000));
        let count = 0;
        const interval = setInterval(() => {
          note("each")();
          if (++count === 3) clearInterval(interval);
        }, 15 * 60_000);
        return new Response("set");
      }
      case "ran":
        return Response.json(this.ran);
      case "times":
        return Response.json([Date.now(), new Date().getTime(), new Date(5).getTime(), performance.now(), `${Date().length}`,
          new Date() instanceof Date, new (class extends Date {})().getTime(), Date.UTC(2020), new Date().constructor === Date]);
      case "alarm":
        await storage.setAlarm(Date.now() + 24 * 3_600_000);
        return new Response("set");
      case "kv":
        await context.bindings.kv.cache.put("k", "v", { expirationTtl: 3600 });
        return new Response("put");
      case "kv-get":
        return new Response(await context.bindings.kv.cache.get("k"));
      case "value":
        await storage.put("value", { map: new Map([["a", 1n]]), at: new Date(0), bytes: new Uint8Array([1, 2]), set: new Set([NaN]),
          text: /a/g, inner: [undefined, null, -0], $date: 1 });
        return new Response("put");
      case "life":
        return new Response(this.lives);
    }
    if (request.method === "POST") await storage.put(`at ${await request.text()}`, true);
    return new Response("ok");
  }

  async onAlarm() {
    await this.room.storage.put("alarm", Date.now());
    this.room.broadcast("alarm");
  }

  onMessage(message, connection) {
    connection.send(`${this.lives} ${message}`);
  }
}

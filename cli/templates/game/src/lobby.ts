import type * as Party from "partyrun/server";

type Game = { id: string; names: string[]; isOver: boolean; at: number };

// A game of which nothing was heard for so long is left out.
const KEPT_MS = 10 * 60_000;

// The one room of this party knows which games there are. It is in memory only while a game changes: the many who look at
// the list keep their sockets, and cost next to nothing.
export default class Lobby implements Party.Server {
  readonly options = { hibernate: true };

  constructor(readonly room: Party.Room) {}

  // Only rooms of this project tell the lobby of games: what they send does not pass here.
  static onBeforeRequest() {
    return new Response("Not found", { status: 404 });
  }

  async onConnect(connection: Party.Connection) {
    connection.send(await this.list());
  }

  async onRequest(request: Party.Request) {
    const game = await request.json<Omit<Game, "at">>();
    if (game.names.length === 0) await this.room.storage.delete(`game:${game.id}`);
    else await this.room.storage.put<Game>(`game:${game.id}`, { ...game, at: Date.now() });
    await this.room.storage.setAlarm(Date.now() + KEPT_MS);
    this.room.broadcast(await this.list());
    return new Response("ok");
  }

  async onAlarm() {
    const games = await this.games();
    const old = games.filter(({ at }) => at <= Date.now() - KEPT_MS);
    await this.room.storage.delete(old.map(({ id }) => `game:${id}`));
    if (old.length < games.length) await this.room.storage.setAlarm(Date.now() + KEPT_MS);
    this.room.broadcast(await this.list());
  }

  private async games(): Promise<Game[]> {
    const games = await this.room.storage.list<Game>({ prefix: "game:" });
    return [...games.values()].sort((a, b) => a.names.length - b.names.length || b.at - a.at);
  }

  private async list(): Promise<string> {
    return JSON.stringify((await this.games()).slice(0, 100));
  }
}

Lobby satisfies Party.Worker;

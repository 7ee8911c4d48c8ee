import type * as Party from "partyrun/server";

// One instance of this class lives in every room: /party/ROOM.
export default class Server implements Party.Server {
  constructor(readonly room: Party.Room) {}

  onConnect(connection: Party.Connection) {
    connection.send("Welcome to the room.");
    this.room.broadcast("Somebody joined.", [connection.id]);
  }

  onMessage(message: string, sender: Party.Connection) {
    this.room.broadcast(message, [sender.id]);
  }

  async onRequest(_request: Party.Request) {
    const visits = ((await this.room.storage.get<number>("visits")) ?? 0) + 1;
    await this.room.storage.put("visits", visits);
    return Response.json({ room: this.room.id, visits });
  }
}

Server satisfies Party.Worker;

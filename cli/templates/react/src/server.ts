import type * as Party from "partykit/server";

export default class Counter implements Party.Server {
  count = 0;

  constructor(readonly room: Party.Room) {}

  async onStart() {
    this.count = (await this.room.storage.get<number>("count")) ?? 0;
  }

  onConnect(connection: Party.Connection) {
    connection.send(String(this.count));
  }

  async onMessage() {
    this.count += 1;
    await this.room.storage.put("count", this.count);
    this.room.broadcast(String(this.count));
  }
}

Counter satisfies Party.Worker;

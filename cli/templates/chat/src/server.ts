import type * as Party from "partykit/server";

type Message = { from: string; text: string; at: number };

// How many messages a newcomer sees.
const REMEMBERED = 50;

export default class Chat implements Party.Server {
  // The room leaves memory while nobody speaks; its sockets stay open.
  readonly options = { hibernate: true };

  constructor(readonly room: Party.Room) {}

  async onConnect(connection: Party.Connection<string>, { request }: Party.ConnectionContext) {
    connection.setState(new URL(request.url).searchParams.get("name") ?? "somebody");
    const messages = await this.room.storage.list<Message>({ prefix: "message:", reverse: true, limit: REMEMBERED });
    connection.send(JSON.stringify([...messages.values()].reverse()));
  }

  async onMessage(text: string, sender: Party.Connection<string>) {
    const message: Message = { from: sender.state ?? "somebody", text: text.slice(0, 1000), at: Date.now() };
    const key = `message:${String(message.at).padStart(15, "0")}:${crypto.randomUUID()}`;
    await this.room.storage.put(key, message);
    this.room.broadcast(JSON.stringify([message]));
  }
}

Chat satisfies Party.Worker;

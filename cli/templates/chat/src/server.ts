import type * as Party from "partyrun/server";

type Message = { from: string; text: string; at: number };

// How many messages a newcomer sees.
const REMEMBERED = 50;

export default class Chat implements Party.Server {
  // The room leaves memory while nobody speaks; its sockets stay open.
  readonly options = { hibernate: true };

  constructor(readonly room: Party.Room) {}

  async onConnect(connection: Party.Connection<string>) {
    const messages = await this.room.storage.list<Message>({ prefix: "message:", reverse: true, limit: REMEMBERED });
    connection.send(JSON.stringify([...messages.values()].reverse()));
  }

  async onMessage(data: string, sender: Party.Connection<string>) {
    const { name, text } = parse(data);
    if (name) sender.setState(name.slice(0, 40));
    if (text) await this.say(sender.state ?? "somebody", text.slice(0, 1000));
  }

  private async say(from: string, text: string) {
    const message: Message = { from, text, at: Date.now() };
    // Keys are sorted as text: padded, the oldest is the first.
    const key = `message:${String(message.at).padStart(15, "0")}:${crypto.randomUUID()}`;
    await this.room.storage.put(key, message);
    this.room.broadcast(JSON.stringify([message]));
  }
}

// Anybody may send anything.
function parse(data: string): { name?: string; text?: string } {
  try {
    const { name, text } = JSON.parse(data) ?? {};
    return { name: typeof name === "string" ? name.trim() : "", text: typeof text === "string" ? text.trim() : "" };
  } catch {
    return {};
  }
}

Chat satisfies Party.Worker;

import type * as Party from "partyrun/server";

import { NAME_LENGTH_MAX, TEXT_LENGTH_MAX } from "./messages";
import type { FromClient, FromServer, Message } from "./messages";

// How many messages who joins is shown.
const SHOWN = 100;

type Person = { name: string };

// One instance of this class lives in every room.
export default class Chat implements Party.Server {
  // The room leaves memory while nobody speaks; its sockets stay open.
  readonly options = { hibernate: true };

  constructor(readonly room: Party.Room) {}

  async onConnect(connection: Party.Connection<Person>) {
    const newest = await this.room.storage.list<Message>({ prefix: "message:", reverse: true, limit: SHOWN });
    const history: FromServer = { type: "history", messages: [...newest.values()].reverse() };
    connection.send(JSON.stringify(history));
  }

  async onMessage(data: string, sender: Party.Connection<Person>) {
    const heard = parse(data);
    if (heard?.type === "name" && heard.name) {
      sender.setState({ name: heard.name.slice(0, NAME_LENGTH_MAX) });
      this.tellWhoIsHere();
    } else if (heard?.type === "say" && heard.text && sender.state) {
      await this.say(sender.state.name, heard.text.slice(0, TEXT_LENGTH_MAX));
    }
  }

  onClose(gone: Party.Connection<Person>) {
    this.tellWhoIsHere(gone.id);
  }

  private async say(from: string, text: string) {
    const message: Message = { id: crypto.randomUUID(), from, text, at: Date.now() };
    // Keys are sorted as text: padded, the oldest is the first.
    const key = `message:${String(message.at).padStart(15, "0")}:${message.id}`;
    await this.room.storage.put(key, message);
    this.tell({ type: "said", message });
  }

  private tellWhoIsHere(goneId?: string) {
    const here = [...this.room.getConnections<Person>()].filter(({ id }) => id !== goneId);
    const names = new Set(here.flatMap(({ state }) => (state ? [state.name] : [])));
    this.tell({ type: "people", names: [...names].sort() });
  }

  private tell(what: FromServer) {
    this.room.broadcast(JSON.stringify(what));
  }
}

// Anybody may send anything.
function parse(data: string): FromClient | null {
  try {
    const { type, name, text } = JSON.parse(data) ?? {};
    if (type === "name" && typeof name === "string") return { type, name: name.trim() };
    if (type === "say" && typeof text === "string") return { type, text: text.trim() };
  } catch {
    // No JSON.
  }
  return null;
}

Chat satisfies Party.Worker;

import type * as Party from "partyrun/server";

import { answer, nameOfModel, type Turn } from "./model";

type Message = { id: string; from: string; text: string; isAnswer?: true; failed?: true };
type Heard = { name?: string; text?: string; stop?: boolean };

// How many messages a newcomer sees, and how many the model gets with each question.
const SHOWN = 100;
const REMEMBERED = 20;

// Everybody in a room talks to the same assistant, and sees its answers while they are written.
export default class Assistant implements Party.Server {
  private messages: Message[] = [];
  private running: AbortController | null = null;

  constructor(readonly room: Party.Room) {}

  async onStart() {
    this.messages = (await this.room.storage.get<Message[]>("messages")) ?? [];
  }

  onConnect(connection: Party.Connection<string>) {
    const history = { type: "history", messages: this.messages, model: nameOfModel(this.room), busy: this.running !== null };
    connection.send(JSON.stringify(history));
  }

  async onMessage(data: string, sender: Party.Connection<string>) {
    const { name, text, stop } = parse(data);
    if (name) sender.setState(name.slice(0, 40));
    if (stop) this.running?.abort();
    if (text && !this.running) await this.ask(sender.state ?? "somebody", text.slice(0, 4000));
  }

  private async ask(from: string, text: string) {
    this.running = new AbortController();
    this.add({ from, text });
    await this.keep();
    const turns = this.messages.slice(-REMEMBERED).map(asTurn);
    const reply = this.add({ from: "Assistant", text: "", isAnswer: true });
    try {
      for await (const piece of answer(this.room, turns, this.running.signal)) {
        reply.text += piece;
        this.tell({ type: "more", id: reply.id, piece });
      }
    } catch (error) {
      if (!this.running.signal.aborted) {
        reply.failed = true;
        reply.text += `${reply.text && "\n"}${error instanceof Error ? error.message : error}`;
      }
    }
    this.running = null;
    await this.keep();
    this.tell({ type: "done", message: reply });
  }

  private async keep() {
    this.messages = this.messages.slice(-SHOWN);
    await this.room.storage.put("messages", this.messages);
  }

  private add(part: Omit<Message, "id">): Message {
    const message = { id: crypto.randomUUID(), ...part };
    this.messages.push(message);
    this.tell({ type: "message", message });
    return message;
  }

  private tell(what: object) {
    this.room.broadcast(JSON.stringify(what));
  }
}

function asTurn({ from, text, isAnswer }: Message): Turn {
  return isAnswer ? { role: "assistant", content: text } : { role: "user", content: `${from}: ${text}` };
}

// Anybody may send anything.
function parse(data: string): Heard {
  try {
    const { name, text, stop } = JSON.parse(data) ?? {};
    const line = (value: unknown) => (typeof value === "string" ? value.trim() : "");
    return { name: line(name), text: line(text), stop: stop === true };
  } catch {
    return {};
  }
}

Assistant satisfies Party.Worker;

import type * as Party from "partyrun/server";

// Answers come from any endpoint that speaks OpenAI's API. Name it in the file `.env`:
//
//   AI_URL=http://localhost:11434/v1
//   AI_MODEL=llama3.2
//   AI_KEY=...
//
// Without AI_URL they come from the party in mock.ts, which needs no network.

export type Turn = { role: "system" | "user" | "assistant"; content: string };

const SYSTEM: Turn = {
  role: "system",
  content: "You talk with several people in one room. Each message begins with the name of who wrote it. Answer briefly.",
};

const variable = (room: Party.Room, name: string) => (room.env[name] as string | undefined) || "";

export function nameOfModel(room: Party.Room): string {
  return variable(room, "AI_URL") ? variable(room, "AI_MODEL") || "default model" : "mock";
}

// The answer, piece by piece as it is written.
export async function* answer(room: Party.Room, turns: Turn[], signal: AbortSignal): AsyncGenerator<string> {
  const response = await request(room, JSON.stringify({
    model: variable(room, "AI_MODEL") || undefined,
    messages: [SYSTEM, ...turns],
    stream: true,
  }), signal);
  if (!response.ok || !response.body) {
    throw new Error(`The model answers with status ${response.status}: ${(await response.text()).slice(0, 500)}`);
  }
  for await (const line of lines(response.body)) {
    if (signal.aborted) return;
    if (!line.startsWith("data:")) continue;
    const data = line.slice("data:".length).trim();
    if (data === "[DONE]") return;
    const piece = JSON.parse(data).choices?.[0]?.delta?.content;
    if (piece) yield piece;
  }
}

function request(room: Party.Room, body: string, signal: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  const [url, key] = [variable(room, "AI_URL"), variable(room, "AI_KEY")];
  if (!url) {
    return room.context.parties.mock.get("mock").fetch("/chat/completions", { method: "POST", headers, body });
  }
  if (key) headers.authorization = `Bearer ${key}`;
  return fetch(`${url.replace(/\/+$/, "")}/chat/completions`, { method: "POST", headers, body, signal });
}

async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const part of body.pipeThrough(new TextDecoderStream())) {
    const [last, ...whole] = (rest + part).split("\n").reverse();
    yield* whole.reverse();
    rest = last;
  }
  yield rest;
}

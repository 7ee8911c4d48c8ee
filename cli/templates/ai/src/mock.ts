import type * as Party from "partyrun/server";

import type { Turn } from "./model";

// Stands in for a model: it answers as an endpoint of OpenAI's API streams, so that everything else is as with a real one.
export default class Mock implements Party.Server {
  // Only rooms of this project reach it.
  static onBeforeRequest() {
    return new Response("Not found", { status: 404 });
  }

  async onRequest(request: Party.Request) {
    const { messages } = await request.json<{ messages: Turn[] }>();
    const question = messages.at(-1)?.content ?? "";
    const text =
      `You asked: “${question.replace(/^[^:]*: /, "")}”. I am a stand-in that needs no network. ` +
      "Name a model in the file .env, and it will answer in my place: AI_URL, AI_MODEL and AI_KEY.";
    const { readable, writable } = new TransformStream<string, string>();
    void write(writable.getWriter(), text.split(/(?<= )/));
    return new Response(readable.pipeThrough(new TextEncoderStream()), {
      headers: { "content-type": "text/event-stream" },
    });
  }
}

async function write(writer: WritableStreamDefaultWriter<string>, words: string[]) {
  try {
    for (const content of words) {
      await writer.write(`data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`);
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    await writer.write("data: [DONE]\n\n");
    await writer.close();
  } catch {
    // Nobody reads any more.
  }
}

Mock satisfies Party.Worker;

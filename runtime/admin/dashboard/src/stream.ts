// Follows the live log: lines of JSON for as long as the page wants them, and again after the server was away.
//
// Nothing here grows: a line is handed on when it is whole, and the server drops lines for a page that reads too slowly and
// says how many.

import type { LogLine } from "./answers";
import { Refusal, ask, query } from "./api";

const AGAIN_AFTER_MS = 1500;
// Longer than any line that the server sends; what is longer is no line.
const LINE_CHARS_MAX = 1 << 20;

export interface Wanted {
  level: string;
  type: string;
  party: string;
  room: string;
  tail: number;
}

export async function follow(wanted: Wanted, signal: AbortSignal, add: (line: LogLine) => void, tell: (problem: Refusal | null) => void) {
  let last = "";
  while (!signal.aborted) {
    try {
      const response = await ask(`/v1/logs${query({ ...wanted })}`, { signal });
      tell(null);
      if (last !== "") add({ type: "again" });
      const since = last;
      for await (const line of lines(response.body!, signal)) {
        if (line.type === "alive" || line.type === "following") continue;
        // Those that were seen before the server was away come again.
        if (line.time !== undefined && line.time <= since) continue;
        last = line.time ?? last;
        add(line);
      }
    } catch (error) {
      if (signal.aborted) return;
      const refusal = error instanceof Refusal ? error : new Refusal(0, "down", "The server does not answer.");
      tell(refusal);
      // Asked again, it would say the same.
      if (refusal.status >= 400 && refusal.status < 500) return;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS));
  }
}

async function* lines(body: ReadableStream<Uint8Array>, signal: AbortSignal): AsyncGenerator<LogLine> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    while (!signal.aborted) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = parts.pop()!;
      if (rest.length > LINE_CHARS_MAX) rest = "";
      for (const part of parts) {
        if (part !== "") yield JSON.parse(part);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

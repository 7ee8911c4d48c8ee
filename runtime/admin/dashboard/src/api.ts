// Asks the API: with the token, and so that every page knows whether the server is there and takes that token.
//
// The token comes with the address in the fragment, which no server sees, or from the form. It stays in this tab
// (`sessionStorage`) and is sent as a header only.

import { useEffect, useState } from "preact/hooks";

const KEY = "partyrun-token";

export type Link = "up" | "down" | "denied";

// Why something was not answered.
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

let token = sessionStorage.getItem(KEY) ?? "";
let link: Link = token === "" ? "denied" : "up";
const listeners = new Set<(link: Link) => void>();

function become(next: Link) {
  if (next === link) return;
  link = next;
  listeners.forEach((listener) => listener(link));
}

// Takes the token out of the address, so that it stays in no history.
export function takeToken() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", `${location.pathname}#/`);
  setToken(decodeURIComponent(found[1]!));
}

export function setToken(next: string) {
  token = next;
  sessionStorage.setItem(KEY, next);
  become("up");
}

export function forgetToken() {
  token = "";
  sessionStorage.removeItem(KEY);
  become("denied");
}

export const hadToken = () => token !== "";

export function useLink(): Link {
  const [known, know] = useState(link);
  useEffect(() => {
    listeners.add(know);
    know(link);
    return () => void listeners.delete(know);
  }, []);
  return known;
}

export interface Asking {
  method?: string;
  body?: string | Blob;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

// Asks, and throws a `Refusal` unless it is done.
export async function ask(path: string, asking: Asking = {}): Promise<Response> {
  const asked = token;
  let response: Response;
  try {
    response = await fetch(path, {
      ...asking,
      headers: { ...asking.headers, authorization: `Bearer ${token}` },
      cache: "no-store",
    });
  } catch (error) {
    if (asking.signal?.aborted) throw error;
    become("down");
    throw new Refusal(0, "down", "The server does not answer.");
  }
  // An answer to another token than the one that is known now says nothing.
  if (response.status === 401 && asked === token) become("denied");
  else if (response.status !== 401) become("up");
  if (response.ok) return response;
  const text = await response.text();
  try {
    const { error } = JSON.parse(text);
    throw new Refusal(response.status, error.code, error.message);
  } catch (error) {
    throw error instanceof Refusal ? error : new Refusal(response.status, "failed", text || response.statusText);
  }
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await ask(path, { signal })).json();
}

// Names in paths. A segment of points alone is taken for a place in the tree of paths by every browser.
export function segment(name: string): string {
  if (name === "." || name === "..") {
    throw new Refusal(0, "name", `A browser cannot ask for "${name}". Use the commands of partyrun.`);
  }
  return encodeURIComponent(name);
}

export const pathOf = (party: string, room: string) => `/v1/rooms/${segment(party)}/${segment(room)}`;

export function query(parameters: Record<string, string | number | undefined | null>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text && `?${text}`;
}

export interface Polled<T> {
  data?: T;
  error?: Refusal;
  // Whether `data` is of another path than the one that is asked now.
  stale: boolean;
  again: () => void;
}

const AGAIN_AFTER_FAILURE_MS = 2000;

// What a path answers, asked again and again while somebody looks at the page.
export function usePoll<T>(path: string | null, everyMs: number): Polled<T> {
  const [known, know] = useState<{ path: string | null; data?: T; error?: Refusal }>({ path: null });
  const [round, turn] = useState(0);
  useEffect(() => {
    if (path === null) return;
    const gone = new AbortController();
    let timer = 0;
    let waits = false;
    const look = async () => {
      waits = false;
      let failed = false;
      try {
        const data = await get<T>(path, gone.signal);
        if (!gone.signal.aborted) know({ path, data });
      } catch (error) {
        if (gone.signal.aborted) return;
        failed = true;
        const refusal = error instanceof Refusal ? error : new Refusal(0, "failed", String(error));
        // What was seen last stays while the server is away.
        know((before) => ({ path, data: refusal.status === 404 ? undefined : before.data, error: refusal }));
      }
      if (gone.signal.aborted) return;
      timer = setTimeout(next, failed ? AGAIN_AFTER_FAILURE_MS : everyMs);
    };
    const next = () => {
      if (document.hidden) waits = true;
      else void look();
    };
    const seen = () => {
      if (waits && !document.hidden) void look();
    };
    document.addEventListener("visibilitychange", seen);
    void look();
    return () => {
      gone.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [path, everyMs, round]);
  return { data: known.data, error: known.error, stale: known.path !== path, again: () => turn((count) => count + 1) };
}

// A file that the browser saves.
export function save(name: string, content: Blob) {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

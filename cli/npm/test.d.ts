/**
 * Tests for a party: {@link start} runs a project in a process of its own, with its own port and data folder, and lets a test
 * open connections, move the clock, hibernate, evict, kill and restart rooms, and read what they have stored. It works with
 * every test runner, such as vitest and `node:test`.
 */

/** A time: milliseconds, or a number with a unit: `"500ms"`, `"90s"`, `"5m"`, `"1h"`, `"2d"`. */
export type Time = number | string;

/** What to start, and how. */
export interface StartOptions {
  /** The project's folder, with its `partykit.json` [default: the working folder]. */
  project?: string;
  /** The main party's file, in place of `main` in `partykit.json`. */
  script?: string;
  /** Variables of `room.env`. */
  vars?: Record<string, string>;
  /** The environment of the process, in addition to the one of the test. */
  env?: Record<string, string | undefined>;
  /** The data folder. It stays; without this option there is a new one, which is removed by {@link Party.stop}. */
  persist?: string;
  /** Runs `partyrun start` in place of `partyrun dev`. */
  production?: boolean;
  /** More flags of the command, for example `["--limit", "room_idle_max=1s"]`. */
  args?: string[];
  /** Prints what the server prints to the standard error, too. */
  print?: boolean;
  /** The program [default: the environment's `PARTYRUN`, or the one that the npm package brings, or `partyrun` of the path]. */
  program?: string;
}

/** Which room. */
export interface RoomName {
  /** The id of the room, as in its URL. */
  room?: string;
  /** The party [default: `main`]. */
  party?: string;
}

/** How to connect to a room. */
export interface ConnectOptions {
  /** The connection's id (`_pk`) [default: a new one]. */
  id?: string;
  /** The query of the URL. */
  query?: Record<string, string>;
  /** The WebSocket's subprotocols. */
  protocols?: string | string[];
}

/** A WebSocket to a room, whose messages can be waited for. */
export interface Connection {
  /** The WebSocket itself. */
  readonly socket: WebSocket;
  /** Resolves when the connection has ended. */
  readonly closed: Promise<{ code: number; reason: string }>;
  /** Sends a message. */
  send(data: string | ArrayBufferLike | ArrayBufferView): void;
  /** The next message that was not taken yet; rejects if none comes within `timeout` milliseconds [default: 10,000]. */
  next(timeout?: number): Promise<string | ArrayBuffer>;
  /** The next message, read as JSON. */
  json<T = unknown>(timeout?: number): Promise<T>;
  /** Closes the connection, and resolves when it has ended. */
  close(code?: number, reason?: string): Promise<{ code: number; reason: string }>;
}

/** What a room has stored. A room in memory answers itself, with what it sees; others stay out of memory. */
export interface RoomStorage {
  /** The value under a key, or `undefined`. */
  get<T = unknown>(key: string): Promise<T | undefined>;
  /** All entries whose keys begin with the prefix, in the order of their keys. */
  list<T = unknown>(options?: { prefix?: string }): Promise<Map<string, T>>;
  /** Stores a value. It takes its turn behind the room's events, and is on disk when the promise resolves. */
  put(key: string, value: unknown): Promise<void>;
  /** Deletes a key. */
  delete(key: string): Promise<void>;
  /** Deletes all keys. */
  deleteAll(): Promise<void>;
}

/** What the server knows of a room; more fields are described by the administrative API. */
export interface RoomState {
  /** Whether it has an isolate, is in memory without one, or is only stored. */
  state: "live" | "hibernated" | "resting" | "busy";
  [more: string]: unknown;
}

/** A room of the server. Naming one doesn't bring it into memory. */
export interface Room {
  /** Its id. */
  readonly id: string;
  /** Its party. */
  readonly party: string;
  /** What it has stored. */
  readonly storage: RoomStorage;
  /** What the server knows of it. */
  state(): Promise<RoomState>;
  /** When its alarm is due, in milliseconds since 1970, or `null`. */
  alarm(): Promise<number | null>;
  /** Takes it out of memory and keeps its connections: the next event finds a new instance. Rejects if it is busy, or a connection needs it. */
  hibernate(): Promise<void>;
  /** Closes its connections with 1012 and takes it out of memory. Rejects if it is busy. */
  evict(): Promise<void>;
  /** Ends its life at once, as a limit would: connections close with 1011, running handlers are dropped, durable writes stay. */
  reset(): Promise<void>;
  /** Sends a request to it. */
  fetch(init?: RequestInit): Promise<Response>;
  /** Connects to it. */
  connect(options?: ConnectOptions): Promise<Connection>;
}

/** The clock that `Date`, `performance.now()`, timers, alarms, crons and expirations of KV go by. It only goes forward. */
export interface Clock {
  /** What time it is on the server. */
  now(): Promise<Date>;
  /**
   * Moves it. What has become due starts at once: timers in their order, intervals as often as they were moved over, alarms, and
   * each cron once. It is not waited for: wait for what it does. Limits of time and the waiting of `fetch` measure real time.
   */
  advance(time: Time): Promise<Date>;
}

/** A line of the server's log. */
export interface LogEvent {
  /** `console`, `request`, `note`, `warning`, `error`, `ready` and others. */
  type: string;
  /** What was printed. */
  text?: string;
  /** The room that printed it, as `PARTY/ROOM`. */
  from?: string;
  [more: string]: unknown;
}

/** A project that runs. */
export interface Party {
  /** Its port, which stays the same after {@link Party.restart} and {@link Party.kill}. */
  readonly port: number;
  /** Its address, as PartySocket takes it. */
  readonly host: string;
  /** What it has printed since it was started last. */
  readonly output: LogEvent[];
  /** The clock. */
  readonly clock: Clock;
  /** The URL of a path, such as `/party/lobby`. */
  url(path?: string): string;
  /** Sends a request to a path. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** A room. */
  room(id: string, party?: string): Room;
  /** The first page of the rooms that there are. */
  rooms(): Promise<Array<Record<string, unknown>>>;
  /** Opens a WebSocket. Before Node 22 it needs the package `ws`. */
  connect(options?: RoomName & ConnectOptions): Promise<Connection>;
  /** Opens a PartySocket, with the options of the package `partysocket`, which the project brings. */
  partySocket(options: { room: string; party?: string; id?: string; [more: string]: unknown }): Promise<any>;
  /** Waits for a line of the log with this text. */
  log(text: string, options?: { from?: number; timeout?: number }): Promise<LogEvent>;
  /** Stops the server as an update does and starts it again on the same data. */
  restart(): Promise<Party>;
  /** Kills the server as a power failure does and starts it again on the same data. The clock stays where it was moved to. */
  kill(): Promise<Party>;
  /** Stops it and removes its data, unless that was named. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts a project and resolves when it takes requests. If it cannot be started, the error has what it printed. */
export function start(options?: StartOptions): Promise<Party>;

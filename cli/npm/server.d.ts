// The types of a project's server code: what rooms and static handlers get, and what they may export.
// The names are those of `partykit/server`, so that either import works; the web platform's own types come from
// @cloudflare/workers-types.
import type {
  AnalyticsEngineDataset,
  DurableObjectState,
  DurableObjectStorage,
  ExecutionContext as WorkersExecutionContext,
  KVNamespace,
  R2Bucket,
  Request as WorkersRequest,
  ScheduledController,
  VectorizeIndex,
  WebSocket as WorkersWebSocket,
} from "@cloudflare/workers-types";

type Awaitable<T> = T | Promise<T>;
type AnyRequest = globalThis.Request | WorkersRequest;
type Message = string | ArrayBuffer | ArrayBufferView;

/** A request as handlers get it: the platform's `Request`, with `cf`. */
export interface Request extends WorkersRequest {}

/** A room's own key-value storage. Writes are durable before anything that was sent after them leaves the server. */
export interface Storage extends DurableObjectStorage {}

/** What a static handler may use to go on after its answer: `ctx.waitUntil(promise)`. */
export type ExecutionContext = WorkersExecutionContext;

/** What is known of a connection when it is made. */
export type ConnectionContext = {
  /** The request of the WebSocket's handshake, with its headers, cookies and query. */
  request: WorkersRequest;
};

/** Another room, for requests and WebSockets to it that never leave the process. */
export type Stub = {
  /** Sends a request to the room: `fetch()`, `fetch("/path", init)` or `fetch(request)`. */
  fetch(pathOrInit?: string | RequestInit | AnyRequest): Promise<Response>;
  fetch(path: string, init?: RequestInit | AnyRequest): Promise<Response>;
  /** Opens a WebSocket to the room, accepted already. */
  socket(pathOrInit?: string | RequestInit): Promise<WorkersWebSocket>;
  socket(path: string, init?: RequestInit): Promise<WorkersWebSocket>;
  /** @deprecated `await socket()` tells whether the room accepted. */
  connect: () => WorkersWebSocket;
};

/** All parties of the project by name: `parties.chat.get("lobby")` is the room `lobby` of the party `chat`. */
export type Parties = Record<string, { get(id: string): Stub }>;

/** What `context.ai` is: the settings of the endpoint that `ai` in partykit.json names. */
export type AI = Record<string, never>;

/** The local stores that `bindings` in partykit.json names. */
export type CustomBindings = {
  /** Object stores. */
  r2: Record<string, R2Bucket>;
  /** Key-value stores. */
  kv: Record<string, KVNamespace>;
};

/** The static files of `serve`. */
export type AssetFetcher = {
  /** The file of this path, or `null` where there is none. */
  fetch(path: string): Promise<Response | null>;
};

/** What else there is in the project. */
export type Context = {
  /** The other parties. */
  parties: Parties;
  /** The endpoint of `ai`; undefined where none is configured. */
  ai: AI;
  /** The vector indexes of `vectorize`. */
  vectorize: Record<string, VectorizeIndex>;
  /** The static files. */
  assets: AssetFetcher;
  /** The stores of `bindings`. */
  bindings: CustomBindings;
};

type Shared = {
  /** The variables of `vars`, environment files, `--var` and `--env-pass`. */
  env: Record<string, unknown>;
  /** The endpoint of `ai`. */
  ai: AI;
  /** The parties of the project. */
  parties: Parties;
  /** The vector indexes of `vectorize`. */
  vectorize: Context["vectorize"];
  /** Accepted, and kept nowhere. */
  analytics: AnalyticsEngineDataset;
  /** The static files. */
  assets: AssetFetcher;
  /** The stores of `bindings`. */
  bindings: CustomBindings;
};

/** What `onFetch` and `onSocket` get besides the request. */
export type FetchLobby = Shared;

/** What `onCron` gets besides the run. */
export type CronLobby = Shared;

/** What `onBeforeConnect` and `onBeforeRequest` get: the same, and the room that is asked for. */
export type Lobby = Shared & {
  /** The room's id, as in the URL. */
  id: string;
};

type Primitive = undefined | null | boolean | string | number;
type Immutable<T> = T extends Primitive
  ? T
  : T extends Array<infer U>
    ? ReadonlyArray<Immutable<U>>
    : T extends Map<infer K, infer V>
      ? ReadonlyMap<Immutable<K>, Immutable<V>>
      : T extends Set<infer M>
        ? ReadonlySet<Immutable<M>>
        : ImmutableObject<T>;
type ImmutableObject<T> = { readonly [K in keyof T]: Immutable<T[K]> };

/** What a connection remembers; it is changed with `setState` only. */
export type ConnectionState<T> = ImmutableObject<T> | null;

/** Makes the next state from the last one. */
export type ConnectionSetStateFn<T> = (previous: ConnectionState<T>) => T;

/** A WebSocket of a room. */
export type Connection<TState = unknown> = WorkersWebSocket & {
  /** Names the connection: what the client sent as `_pk`, else a new id. */
  id: string;
  /** The URL of the handshake. */
  uri: string;
  /** What `setState` has kept. */
  state: ConnectionState<TState>;
  /** Keeps a value of at most 2 KiB with the connection; it outlives hibernation. */
  setState(state: TState | ConnectionSetStateFn<TState> | null): ConnectionState<TState>;
  /** @deprecated The connection is the socket. */
  socket: WorkersWebSocket;
  /** @deprecated Use `setState`. */
  serializeAttachment<T = unknown>(attachment: T): void;
  /** @deprecated Use `state`. */
  deserializeAttachment<T = unknown>(): T | null;
};

/** One room: what its server gets. */
export type Room = {
  /** The room's id, as in the URL: `/party/:id` or `/parties/:party/:id`. */
  id: string;
  /** The name of the party: `main`, or one of `parties` in partykit.json. */
  name: string;
  /** A name made from party and id, as the hosted platform had it. Prefer `id`. */
  internalID: string;
  /** The variables of `vars`, environment files, `--var` and `--env-pass`. */
  env: Record<string, unknown>;
  /** The room's own storage. */
  storage: Storage;
  /** Holds all events of the room until the promise of `callback` is settled. */
  blockConcurrencyWhile: DurableObjectState["blockConcurrencyWhile"];
  /** What else there is in the project. */
  context: Context;
  /** Sends a message to all connections, but for those whose ids are in `without`. */
  broadcast: (message: Message, without?: string[] | undefined) => void;
  /** The connection with this id. */
  getConnection<TState = unknown>(id: string): Connection<TState> | undefined;
  /** All connections, or those that `getConnectionTags` gave this tag. */
  getConnections<TState = unknown>(tag?: string): Iterable<Connection<TState>>;
  /** Accepted, and kept nowhere. */
  analytics: AnalyticsEngineDataset;
  /** @deprecated Use `getConnections`. */
  connections: Map<string, Connection>;
  /** @deprecated Use `context.parties`. */
  parties: Parties;
};

/** @deprecated Use `Room`. */
export type Party = Room;

/** How a server wants to be run. */
export type ServerOptions = {
  /**
   * Whether the room leaves memory between events while its sockets stay open. Such rooms cost next to nothing while nobody
   * speaks; what they must remember is in storage and in the states of connections. Default: `false`.
   */
  hibernate?: boolean;
};

/** The server of a party: each room has one instance. */
export type Server = {
  /** How the server wants to be run. */
  readonly options?: ServerOptions;
  /** Tags of a new connection, at most nine with 256 characters each, for `getConnections(tag)`. */
  getConnectionTags?(connection: Connection, context: ConnectionContext): Awaitable<string[]>;
  /** Runs when the room starts in memory, before any other event; the place to load from storage. */
  onStart?(): Awaitable<void>;
  /** A WebSocket was opened. */
  onConnect?(connection: Connection, ctx: ConnectionContext): Awaitable<void>;
  /** A connection, or another room, has sent a message. */
  onMessage?(message: Message, sender: Connection): Awaitable<void>;
  /** A connection was closed. */
  onClose?(connection: Connection): Awaitable<void>;
  /** A connection failed. */
  onError?(connection: Connection, error: Error): Awaitable<void>;
  /** An HTTP request to the room. */
  onRequest?(request: Request): Awaitable<Response>;
  /** The alarm that `storage.setAlarm` has set is due. It is tried again if this throws. */
  onAlarm?(): Awaitable<void>;
};

/** A WebSocket outside of rooms. */
export type FetchSocket = WorkersWebSocket & {
  /** The request of its handshake. */
  request: Request;
};

/** A run of a cron: its `name` in partykit.json, its expression `cron` and the time `scheduledTime`. */
export type Cron = ScheduledController & {
  /** The name in `crons` of partykit.json. */
  name: string;
};

type ServerConstructor = { new (room: Room): Server };

/**
 * A server with its static handlers, which run outside of rooms. Write below the class: `MyServer satisfies Party.Worker;`
 */
export type Worker = ServerConstructor & {
  /** Answers what is neither a room nor a static file; nothing returned is "Not found". */
  onFetch?(request: Request, lobby: FetchLobby, ctx: ExecutionContext): Awaitable<Response | null | undefined>;
  /** Takes WebSockets that are for no room. */
  onSocket?(socket: FetchSocket, lobby: FetchLobby, ctx: ExecutionContext): Awaitable<void>;
  /** Sees each request for a room first: returns the request, changed or not, or a response in place of the room's. */
  onBeforeRequest?(request: Request, lobby: Lobby, ctx: ExecutionContext): Awaitable<Request | Response>;
  /** Sees each handshake for a room first: the place to check a token. */
  onBeforeConnect?(request: Request, lobby: Lobby, ctx: ExecutionContext): Awaitable<Request | Response>;
  /** Runs on the schedules of `crons` in partykit.json. */
  onCron?(controller: Cron, lobby: CronLobby, ctx: ExecutionContext): Awaitable<Response | void>;
};

/** The older form of a server: an object with handlers, which get the room as an argument. */
export type PartyKitServer = {
  /** @deprecated Use `onFetch`. */
  unstable_onFetch?: (
    request: Request,
    lobby: FetchLobby,
    ctx: ExecutionContext,
  ) => Awaitable<Response | null | undefined>;
  /** See {@link Worker}. */
  onFetch?: (request: Request, lobby: FetchLobby, ctx: ExecutionContext) => Awaitable<Response | null | undefined>;
  /** See {@link Worker}. */
  onSocket?(socket: FetchSocket, lobby: FetchLobby, ctx: ExecutionContext): Awaitable<void>;
  /** See {@link Worker}. */
  onBeforeRequest?: (request: Request, lobby: Lobby, ctx: ExecutionContext) => Awaitable<AnyRequest | Response>;
  /** See {@link Worker}. */
  onBeforeConnect?: (request: Request, lobby: Lobby, ctx: ExecutionContext) => Awaitable<AnyRequest | Response>;
  /** See {@link Worker}. */
  onCron?: (controller: Cron, lobby: CronLobby, ctx: ExecutionContext) => Awaitable<Response | void>;
  /** An HTTP request to the room. */
  onRequest?: (request: Request, room: Room) => Awaitable<Response>;
  /** The room's alarm is due. */
  onAlarm?: (room: Omit<Room, "id" | "parties">) => Awaitable<void>;
  /** A WebSocket was opened. */
  onConnect?: (connection: Connection, room: Room, ctx: ConnectionContext) => Awaitable<void>;
  /** A connection has sent a message. */
  onMessage?: (message: Message, connection: Connection, room: Room) => Awaitable<void>;
  /** A connection was closed. */
  onClose?: (connection: Connection, room: Room) => Awaitable<void>;
  /** A connection failed. */
  onError?: (connection: Connection, error: Error, room: Room) => Awaitable<void>;
};

// Older names of the same types.
/** @deprecated Use `Request`. */
export type PartyRequest = Request;
/** @deprecated Use `Storage`. */
export type PartyStorage = Storage;
/** @deprecated Use `Storage`. */
export type PartyKitStorage = Storage;
/** @deprecated Use `ConnectionContext`. */
export type PartyConnectionContext = ConnectionContext;
/** @deprecated Use `ConnectionContext`. */
export type PartyKitContext = ConnectionContext;
/** @deprecated Use `Stub`. */
export type PartyStub = Stub;
/** @deprecated Use `Context`. */
export type PartyContext = Context;
/** @deprecated Use `FetchLobby`. */
export type PartyFetchLobby = FetchLobby;
/** @deprecated Use `Lobby`. */
export type PartyLobby = Lobby;
/** @deprecated Use `ExecutionContext`. */
export type PartyExecutionContext = ExecutionContext;
/** @deprecated Use `Connection`. */
export type PartyConnection = Connection;
/** @deprecated Use `Server`. */
export type PartyServer = Server;
/** @deprecated Use `Worker`. */
export type PartyWorker = Worker;
/** @deprecated Use `Room`. */
export type PartyKitRoom = Room;
/** @deprecated Use `Connection`. */
export type PartyKitConnection = Connection;
/** @deprecated Use `ServerOptions`. */
export type PartyServerOptions = ServerOptions;
export {};

// What the API answers, as runtime/admin/openapi.json describes it; only what the pages use.

export type State = "live" | "hibernated" | "resting" | "busy";

export interface Room {
  party: string;
  room: string;
  state: State;
  sockets?: number;
  memory_bytes?: number;
  cpu_ms?: number;
  last_event_ms?: number | null;
  events_waiting?: number;
  alarm_ms?: number | null;
}

export interface Rooms {
  rooms: Room[];
  next: string | null;
}

export interface Connection {
  id: string;
  uri: string;
  tags: string[];
  state_bytes: number | null;
  queue_bytes: number;
}

export interface RoomDetails extends Room {
  alarms_running?: number;
  hibernates?: boolean;
  held?: boolean;
  requests_open?: number;
  inbox_bytes?: number;
  queued_bytes?: number;
  undurable_bytes?: number;
  connections?: Connection[];
  storage: { entries: number; bytes: number; more: boolean };
  errors: LogLine[];
}

export interface LogLine {
  n?: number;
  time?: string;
  type: string;
  level?: string;
  party?: string;
  room?: string;
  text?: string;
  count?: number;
}

export interface Entry {
  key: string;
  bytes: number;
  etag: string;
  type: string;
  text: string;
  failed: string | null;
}

export interface Entries {
  entries: Entry[];
  altered: string[];
  next: string | null;
}

export interface Value extends Entry {
  value: unknown;
  writable: boolean;
}

export interface Alarm {
  party: string;
  room: string;
  at_ms: number;
  failed_runs: number;
  running: boolean;
}

export interface Alarms {
  alarms: Alarm[];
  next: string | null;
}

export interface Cron {
  name: string;
  expression: string;
  next_ms: number | null;
  running: boolean;
  last: { at_ms: number; took_ms: number; succeeded: boolean } | null;
}

export interface Crons {
  crons: Cron[];
  has_handler: boolean;
}

export interface Party {
  name: string;
  on_request: boolean;
  on_before_connect: boolean;
  on_before_request: boolean;
  on_cron: boolean;
  import_ms: number;
}

export interface Server {
  version: string;
  command: "dev" | "start";
  pid: number;
  uptime_ms: number;
  project: string;
  release: string | null;
  bundle_hash: string | null;
  url: string;
  storage: string | null;
  parties: Party[];
  configuration: Record<string, unknown>;
  rooms: { live: number; hibernated: number };
  websockets: number;
  http_connections: number;
  spares: number;
  busy_threads: number;
  memory_bytes: number | null;
  cpu_ms: number | null;
}

export interface Limit {
  name: string;
  meaning: string;
  unit: string;
  beyond: string;
  value: string;
  used?: number;
  in_force?: number;
  share?: number;
}

export interface Limits {
  limits: Limit[];
}

export type Column = (number | null)[];

export interface History {
  every_ms: number;
  at_ms: number[];
  messages_in_per_second: Column;
  messages_out_per_second: Column;
  requests_per_second: Column;
  sockets: Column;
  cpus: Column;
  memory_bytes: Column;
  event_loop_delay_ms: Column;
  event_loop_delay_p99_ms: Column;
  commit_ms: Column;
  commit_p99_ms: Column;
}

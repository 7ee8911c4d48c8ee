// One room: what it is, who is connected, what went wrong, and what can be done to it.

import { useState } from "preact/hooks";
import type { Connection, LogLine, RoomDetails } from "./answers";
import { type Polled, ask, pathOf, query, segment, usePoll } from "./api";
import { bytes, counted, milliseconds, number } from "./format";
import { Badge, Dialog, Empty, Facts, Failed, Heading, Loading, Scroll, Time, attempt } from "./parts";
import { to } from "./route";
import { StoragePart } from "./storage";

const EVERY_MS = 2000;
const CONNECTIONS_FIRST = 100;
const CONNECTIONS_MORE = 1000;

type Act = "message" | "hibernate" | "evict" | "reset" | "alarm";

export function RoomPage({ party, room, part, parameters }: { party: string; room: string; part?: string; parameters: URLSearchParams }) {
  const [connections, list] = useState(CONNECTIONS_FIRST);
  const [act, open] = useState<Act | null>(null);
  let path: string;
  try {
    path = pathOf(party, room);
  } catch (error) {
    return <Empty title="This room cannot be shown here">{String((error as Error).message)}</Empty>;
  }
  return <Known {...{ party, room, part, parameters, path, connections, list, act, open }} />;
}

interface Parts {
  party: string;
  room: string;
  part?: string;
  parameters: URLSearchParams;
  path: string;
  connections: number;
  list: (count: number) => void;
  act: Act | null;
  open: (act: Act | null) => void;
}

function Known({ party, room, part, parameters, path, connections, list, act, open }: Parts) {
  const polled = usePoll<RoomDetails>(path + query({ connections }), EVERY_MS);
  const { data, error } = polled;
  const isAbsent = error?.status === 404;
  const inMemory = data !== undefined && data.state !== "resting";
  const here = ["rooms", party, room];
  return (
    <>
      <nav class="crumbs" aria-label="Where you are">
        <a href={to(["rooms"])}>Rooms</a>
      </nav>
      <Heading
        title={`${party}/${room}`}
        actions={
          <>
            {(data?.sockets ?? 0) > 0 && (
              <button type="button" onClick={() => open("message")}>
                Send message …
              </button>
            )}
            {inMemory && (
              <>
                {data.state !== "hibernated" && (
                  <button type="button" onClick={() => attempt(() => hibernate(path))}>
                    Hibernate
                  </button>
                )}
                <button type="button" onClick={() => open("evict")}>
                  Evict …
                </button>
                <button type="button" onClick={() => open("reset")}>
                  Reset …
                </button>
              </>
            )}
          </>
        }
      >
        <span class="party">{party}/</span>
        <span class="mono">{room}</span> {data && <Badge state={data.state} />}
      </Heading>
      <nav class="tabs" aria-label="Parts of the room">
        <a href={to(here)} aria-current={part === undefined ? "page" : undefined}>
          Overview
        </a>
        <a href={to([...here, "storage"])} aria-current={part === "storage" ? "page" : undefined}>
          Storage
          {data && <span class="count">{number(data.storage.entries)}{data.storage.more && "+"}</span>}
        </a>
        <a href={to(["log"], { party, room })}>Log</a>
      </nav>
      {part === "storage" ? (
        <StoragePart path={path} here={[...here, "storage"]} parameters={parameters} entries={data?.storage.entries} name={`${party}-${room}`} />
      ) : isAbsent ? (
        <Empty title="This room does not exist yet">
          It is not in memory and has stored nothing. A connection to it makes it, and so does a value that you{" "}
          <a href={to([...here, "storage"])}>write into its storage</a>.
        </Empty>
      ) : data === undefined ? (
        error ? <Failed error={error} what="room" /> : <Loading what="the room" />
      ) : (
        <Details {...{ polled: polled as Polled<RoomDetails> & { data: RoomDetails }, path, connections, list, open }} />
      )}
      {act === "message" && <SendDialog path={path} sockets={data?.sockets ?? 0} close={() => open(null)} />}
      {act === "alarm" && <AlarmDialog path={path} close={() => open(null)} done={polled.again} />}
      {act === "evict" && (
        <Dialog title={`Evict ${party}/${room}?`} action="Evict" danger close={() => open(null)} submit={() => attempt(() => post(path, "evict", "was evicted"))}>
          <p>
            {(data?.sockets ?? 0) > 0 ? `Its ${counted(data!.sockets!, "socket")} will be closed with 1012, so that clients reconnect. ` : ""}
            Then it leaves memory. What it has stored stays; what it has only in variables is lost.
          </p>
        </Dialog>
      )}
      {act === "reset" && (
        <Dialog title={`Reset ${party}/${room}?`} action="Reset" danger close={() => open(null)} submit={() => attempt(() => post(path, "reset", "was reset"))}>
          <p>
            Its life ends now: handlers that run are dropped where they are, and its sockets are closed with 1011. What is on disk stays; what it
            has only in variables is lost.
          </p>
        </Dialog>
      )}
    </>
  );
}

async function hibernate(path: string): Promise<string> {
  await ask(`${path}/hibernate`, { method: "POST" });
  return "The room has left memory.";
}

async function post(path: string, act: "evict" | "reset", done: string): Promise<string> {
  const { closed } = await (await ask(`${path}/${act}`, { method: "POST" })).json();
  return `The room ${done}; ${counted(closed, "socket")} closed.`;
}

function Details({ polled, path, connections, list, open }: {
  polled: Polled<RoomDetails> & { data: RoomDetails };
  path: string;
  connections: number;
  list: (count: number) => void;
  open: (act: Act) => void;
}) {
  const { data } = polled;
  const inMemory = data.state === "live" || data.state === "hibernated";
  const shown = data.connections ?? [];
  return (
    <>
      {data.state === "busy" && <p class="banner">The room is busy: an event of it, or of another room of its thread, has not ended.</p>}
      <Facts
        of={[
          ["Sockets", number(data.sockets)],
          ["Memory", inMemory ? bytes(data.memory_bytes) : "–"],
          ["CPU time", inMemory ? milliseconds(data.cpu_ms) : "–"],
          ["Last event", <Time ms={data.last_event_ms} />],
          ["Waiting events", number(data.events_waiting)],
          ["Open requests", number(data.requests_open)],
          ["Queued for sockets", bytes(data.queued_bytes)],
          ["Not yet on disk", bytes(data.undurable_bytes)],
          ["Storage", `${number(data.storage.entries)}${data.storage.more ? "+" : ""} · ${bytes(data.storage.bytes)}`],
          [
            "Alarm",
            <>
              <Time ms={data.alarm_ms} />{" "}
              <button type="button" class="link" onClick={() => open("alarm")}>
                {data.alarm_ms ? "Change" : "Set"} …
              </button>
            </>,
          ],
          ["Hibernates", data.hibernates === undefined ? "–" : data.hibernates ? "yes" : "no"],
          ["Held", data.held === undefined ? "–" : data.held ? "yes: events wait" : "no"],
        ]}
      />
      <section aria-labelledby="connections">
        <h2 id="connections" tabIndex={-1}>Connections</h2>
        {shown.length === 0 ? (
          <Empty title="Nobody is connected" />
        ) : (
          <>
            <Scroll label="Connections">
              <table>
                <caption class="hidden">Connections of the room</caption>
                <thead>
                  <tr>
                    <th scope="col">Id</th>
                    <th scope="col" class="wide">URI</th>
                    <th scope="col">Tags</th>
                    <th scope="col" class="number">State</th>
                    <th scope="col" class="number wide">Queue</th>
                    <th scope="col">
                      <span class="hidden">Close</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {shown.map((connection) => (
                    <ConnectionRow key={connection.id} connection={connection} path={path} done={polled.again} />
                  ))}
                </tbody>
              </table>
            </Scroll>
            {(data.sockets ?? 0) > shown.length && (
              <p class="hint">
                {number(shown.length)} of {number(data.sockets)} are shown.{" "}
                {connections < CONNECTIONS_MORE && (
                  <button type="button" class="link" onClick={() => list(CONNECTIONS_MORE)}>
                    Show {number(CONNECTIONS_MORE)}
                  </button>
                )}
              </p>
            )}
          </>
        )}
      </section>
      <section aria-labelledby="errors">
        <h2 id="errors">Last errors</h2>
        {data.errors.length === 0 ? (
          <Empty title="No errors">None is among the lines of the log that the server keeps.</Empty>
        ) : (
          <ol class="errors">
            {[...data.errors].reverse().map((line) => (
              <ErrorItem key={line.n} line={line} />
            ))}
          </ol>
        )}
      </section>
    </>
  );
}

function ConnectionRow({ connection, path, done }: { connection: Connection; path: string; done: () => void }) {
  const { id, uri, tags, state_bytes, queue_bytes } = connection;
  const close = async () => {
    await attempt(async () => {
      const { closed } = await (await ask(`${path}/connections/${segment(id)}`, { method: "DELETE" })).json();
      return `${counted(closed, "connection")} with the id ${id} closed.`;
    });
    done();
    // The button goes with its row.
    document.getElementById("connections")?.focus();
  };
  return (
    <tr>
      <th scope="row" class="mono">{id}</th>
      <td class="mono wide uri" title={uri}>{uri}</td>
      <td>{tags.length === 0 ? "–" : tags.map((tag) => <span key={tag} class="tag">{tag}</span>)}</td>
      <td class="number">{bytes(state_bytes)}</td>
      <td class="number wide">{bytes(queue_bytes)}</td>
      <td class="number">
        <button type="button" class="small" aria-label={`Close ${id}`} onClick={close}>
          Close
        </button>
      </td>
    </tr>
  );
}

// The first line says what happened, the others where: in the project's own files, as its source maps have them.
function ErrorItem({ line }: { line: LogLine }) {
  const [first, ...frames] = (line.text ?? "").split("\n");
  return (
    <li>
      <p>
        <strong>{first}</strong> {line.time && <Time ms={Date.parse(line.time)} />}
      </p>
      {frames.length > 0 && <pre>{frames.map((frame) => frame.trimStart()).join("\n")}</pre>}
    </li>
  );
}

function SendDialog({ path, sockets, close }: { path: string; sockets: number; close: () => void }) {
  const [text, type] = useState("");
  const send = () =>
    attempt(async () => {
      const body = JSON.stringify({ text });
      const { sent } = await (await ask(`${path}/broadcast`, { method: "POST", body })).json();
      return `Sent to ${counted(sent, "connection")}.`;
    });
  return (
    <Dialog title={`Send to ${counted(sockets, "connection")}`} action="Send" close={close} submit={send}>
      <label>
        Text
        <textarea rows={4} required value={text} onInput={(event) => type(event.currentTarget.value)} />
      </label>
      <p class="hint">All connections get it, behind what the room has sent before. The room itself does not see it.</p>
    </Dialog>
  );
}

function AlarmDialog({ path, close, done }: { path: string; close: () => void; done: () => void }) {
  const [when, type] = useState(local(Date.now() + 60_000));
  const set = async (at_ms: number | null) => {
    const body = JSON.stringify({ at_ms });
    await ask(`${path}/alarm`, { method: "PUT", body });
    done();
    return at_ms === null ? "The alarm was deleted." : "The alarm was set.";
  };
  const remove = async () => {
    if (await attempt(() => set(null))) close();
  };
  return (
    <Dialog title="Alarm" action="Set" close={close} submit={() => attempt(() => set(new Date(when).getTime()))}>
      <label>
        When, in your time zone
        <input type="datetime-local" step="1" required value={when} onInput={(event) => type(event.currentTarget.value)} />
      </label>
      <p class="hint">
        It takes the place of the one that is set.{" "}
        <button type="button" class="link" onClick={remove}>
          Delete the alarm
        </button>
      </p>
    </Dialog>
  );
}

// As the field has it: local, to the second.
function local(ms: number): string {
  const date = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return date.toISOString().slice(0, 19);
}

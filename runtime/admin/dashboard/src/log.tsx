// The live log: followed, filtered by the server, and bounded here. It may stay open for days.

import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { LogLine } from "./answers";
import type { Refusal } from "./api";
import { number } from "./format";
import { Empty, Heading, useSettled } from "./parts";
import { replace, to } from "./route";
import { follow } from "./stream";

const LINES_MAX = 1000;
const TAIL = 300;
// Lines are shown together; nobody reads faster.
const SHOWN_EVERY_MS = 150;
const TYPING_PAUSES_MS = 250;

const LEVELS = ["debug", "log", "info", "warn", "error"];
const TYPES: [name: string, title: string][] = [
  ["console", "Console"],
  ["request", "Requests"],
  ["close", "Closed sockets"],
  ["room", "Rooms"],
  ["warning,note", "Server"],
];

interface Row {
  line: LogLine;
  // Made once: what is the same is not compared again.
  shown: VNode;
}

let keys = 0;

export function LogPage({ parameters }: { parameters: URLSearchParams }) {
  const given = (name: string) => parameters.get(name) ?? "";
  const change = (changed: Record<string, string>) => replace(to(["log"], { ...Object.fromEntries(parameters), ...changed }));
  const types = given("type") === "" ? TYPES.map(([name]) => name) : given("type").split(" ");
  const [room, typeRoom] = useState(given("room"));
  const settledRoom = useSettled(room, TYPING_PAUSES_MS);
  const [text, type] = useState("");
  const [pauses, pause] = useState(false);
  const [rows, show] = useState<Row[]>([]);
  const [held, hold] = useState(0);
  const [problem, explain] = useState<Refusal | null>(null);
  const list = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const paused = useRef(false);
  const kept = useRef<Row[]>([]);
  useEffect(() => typeRoom(given("room")), [given("room")]);
  useEffect(() => {
    if (settledRoom !== given("room")) change({ room: settledRoom });
  }, [settledRoom]);

  const wanted = types.length === TYPES.length ? "" : types.join(",");
  useEffect(() => {
    const gone = new AbortController();
    kept.current = [];
    show([]);
    hold(0);
    let fresh: LogLine[] = [];
    let count = 0;
    let timer = 0;
    const flush = () => {
      timer = 0;
      const news = count;
      const rows = fresh.slice(-LINES_MAX).map((line) => ({ line, shown: <LogRow key={keys++} line={line} /> }));
      kept.current = [...kept.current, ...rows].slice(-LINES_MAX);
      fresh = [];
      count = 0;
      if (paused.current) hold((held) => held + news);
      else show(kept.current);
    };
    const add = (line: LogLine) => {
      fresh.push(line);
      count += 1;
      // The timers of a page that nobody sees run once a minute.
      if (fresh.length >= 2 * LINES_MAX) fresh = fresh.slice(-LINES_MAX);
      timer ||= setTimeout(flush, SHOWN_EVERY_MS);
    };
    void follow({ level: given("level"), type: wanted, party: given("party"), room: given("room"), tail: TAIL }, gone.signal, add, explain);
    return () => {
      gone.abort();
      clearTimeout(timer);
    };
  }, [given("level"), wanted, given("party"), given("room")]);

  useEffect(() => {
    if (atEnd.current && list.current) list.current.scrollTop = list.current.scrollHeight;
  }, [rows]);

  const toggle = () => {
    paused.current = !pauses;
    pause(!pauses);
    if (pauses) {
      atEnd.current = true;
      show(kept.current);
      hold(0);
    }
  };
  const clear = () => {
    kept.current = [];
    show([]);
    hold(0);
  };
  const looked = text.toLowerCase();
  const found = looked === "" ? rows : rows.filter(({ line }) => `${line.party}/${line.room} ${line.text}`.toLowerCase().includes(looked));
  return (
    <>
      <Heading
        title="Log"
        actions={
          <>
            <button type="button" class={pauses ? "primary" : undefined} onClick={toggle}>
              {pauses ? `Resume${held > 0 ? ` (${number(held)} new)` : ""}` : "Pause"}
            </button>
            <button type="button" onClick={clear}>
              Clear
            </button>
          </>
        }
      >
        Log
      </Heading>
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <label class="grow">
          Find in these lines
          <input type="search" placeholder="Text" value={text} onInput={(event) => type(event.currentTarget.value)} />
        </label>
        <label>
          Room
          <input type="text" placeholder="all" spellcheck={false} value={room} onInput={(event) => typeRoom(event.currentTarget.value)} />
        </label>
        <label>
          Level
          <select value={given("level")} onChange={(event) => change({ level: event.currentTarget.value })}>
            <option value="">all</option>
            {LEVELS.slice(1).map((level) => (
              <option key={level} value={level}>
                {level === "error" ? "error" : `${level} and above`}
              </option>
            ))}
          </select>
        </label>
        <fieldset>
          <legend>Show</legend>
          {TYPES.map(([name, title]) => (
            <label key={name} class="check">
              <input
                type="checkbox"
                checked={types.includes(name)}
                onChange={(event) => {
                  const now = TYPES.map(([other]) => other).filter((other) => (other === name ? event.currentTarget.checked : types.includes(other)));
                  // None of them would be all of them.
                  if (now.length > 0) change({ type: now.length === TYPES.length ? "" : now.join(" ") });
                  else event.currentTarget.checked = true;
                }}
              />
              {title}
            </label>
          ))}
        </fieldset>
      </form>
      {problem !== null && problem.code !== "down" && (
        <p class="banner bad" role="alert">
          {problem.message}
        </p>
      )}
      <div
        ref={list}
        class="log"
        role="log"
        aria-label="Lines"
        aria-live={pauses ? "off" : "polite"}
        tabIndex={0}
        onScroll={(event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
          atEnd.current = scrollHeight - scrollTop - clientHeight < 40;
        }}
      >
        <ol>{found.map(({ shown }) => shown)}</ol>
      </div>
      {rows.length === 0 && (
        <Empty title="No lines yet">What rooms print with console.log appears here, and from now on requests, closed sockets and what happens to rooms.</Empty>
      )}
      {rows.length > 0 && (
        <p class="hint">
          {looked === "" ? `${number(rows.length)} lines` : `${number(found.length)} of ${number(rows.length)} lines`}
          {rows.length >= LINES_MAX && `; only the last ${number(LINES_MAX)} are kept in this page`}
        </p>
      )}
    </>
  );
}

function LogRow({ line }: { line: LogLine }) {
  if (line.type === "lost") return <li class="mark">{number(line.count)} lines were lost here: they came faster than this page reads.</li>;
  if (line.type === "again") return <li class="mark">The server was away.</li>;
  return (
    <li class={`line is-${line.level}`}>
      <time dateTime={line.time} title={line.time}>
        {line.time?.slice(11, 23)}
      </time>
      <span class="level">{line.type === "console" ? line.level : line.type}</span>
      {line.room !== undefined ? (
        <a class="room" href={to(["rooms", line.party ?? "main", line.room])}>
          {line.party !== "main" && `${line.party}/`}
          {line.room}
        </a>
      ) : (
        <span class="room">–</span>
      )}
      <span class="text">{line.text}</span>
    </li>
  );
}

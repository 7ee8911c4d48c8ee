// The first page: how the server is now, how the last hour was, and which limits are near.

import { useEffect, useState } from "preact/hooks";
import type { Column, History, Limit, Limits, Server } from "./answers";
import { get, query, usePoll } from "./api";
import { Chart } from "./chart";
import { bytes, counted, milliseconds, number, span } from "./format";
import { Empty, Facts, Heading, Loading } from "./parts";
import { Meter } from "./server";
import { to } from "./route";

const CHARTS_EVERY_MS = 10_000;
const LIMITS_EVERY_MS = 10_000;
const NEAR_SHARE = 0.5;
const SAMPLES_MAX = 360;

export function Overview({ server }: { server?: Server }) {
  const { data: limits } = usePoll<Limits>("/v1/limits", LIMITS_EVERY_MS);
  const near = limits?.limits.filter((limit) => (limit.share ?? 0) >= NEAR_SHARE).sort((one, other) => other.share! - one.share!);
  return (
    <>
      <Heading title="Overview">Overview</Heading>
      {server === undefined ? <Loading what="the server" /> : <Now server={server} />}
      <Charts />
      <section aria-labelledby="near">
        <h2 id="near">Limits that are near</h2>
        {near === undefined ? (
          <Loading what="limits" />
        ) : near.length === 0 ? (
          <Empty title="None is used by half">
            <a href={to(["server"])}>All limits</a>
          </Empty>
        ) : (
          <ul class="near">
            {near.map((limit: Limit) => (
              <li key={limit.name}>
                <Meter limit={limit} />
                <p class="hint">
                  {limit.meaning} Beyond it: {limit.beyond}.
                </p>
              </li>
            ))}
          </ul>
        )}
      </section>
    </>
  );
}

function Now({ server }: { server: Server }) {
  return (
    <Facts
      of={[
        ["Live rooms", <a href={to(["rooms"], { state: "live" })}>{number(server.rooms.live)}</a>],
        ["Hibernated rooms", <a href={to(["rooms"], { state: "hibernated" })}>{number(server.rooms.hibernated)}</a>],
        ["WebSockets", number(server.websockets)],
        ["HTTP connections", number(server.http_connections)],
        ["Memory", bytes(server.memory_bytes)],
        ["CPU time", milliseconds(server.cpu_ms)],
        ["Running for", span(server.uptime_ms)],
        ["Errors", <a href={to(["log"], { level: "error" })}>in the log</a>],
        ["Busy threads", server.busy_threads === 0 ? "none" : <span class="bad">{counted(server.busy_threads, "thread")}</span>],
      ]}
    />
  );
}

// The samples of the last hour; once they are known, only new ones are asked for.
function useHistory(): History | undefined {
  const [history, know] = useState<History>();
  useEffect(() => {
    const gone = new AbortController();
    let known: History | undefined;
    let timer = 0;
    const look = async () => {
      try {
        const news = document.hidden ? undefined : await get<History>(`/v1/history${query({ after: known?.at_ms.at(-1) })}`, gone.signal);
        if (news) know((known = known ? joined(known, news) : news));
      } catch {
        // The banner says that the server is away, and the next round asks again.
      }
      if (!gone.signal.aborted) timer = setTimeout(look, CHARTS_EVERY_MS);
    };
    void look();
    return () => {
      gone.abort();
      clearTimeout(timer);
    };
  }, []);
  return history;
}

function joined(before: History, news: History): History {
  const pairs = Object.entries(before).map(([name, column]) => {
    const more = news[name as keyof History];
    return [name, Array.isArray(column) && Array.isArray(more) ? [...column, ...more].slice(-SAMPLES_MAX) : more];
  });
  return Object.fromEntries(pairs);
}

function Charts() {
  const history = useHistory();
  if (history === undefined) return <Loading what="charts" />;
  const times = history.at_ms;
  const of = (...pairs: [string, Column][]) => pairs.map(([name, values]) => ({ name, values }));
  const ms = (value: number | null) => (value === null ? "–" : value === 0 ? "0" : milliseconds(value));
  return (
    <section aria-labelledby="hour">
      <h2 id="hour">The last hour</h2>
      {times.length === 0 && <p class="hint">A point is added every {history.every_ms / 1000} seconds. The first one comes soon.</p>}
      <div class="charts">
        <Chart
          title="Messages and requests per second"
          times={times}
          shown={number}
          series={of(["in", history.messages_in_per_second], ["out", history.messages_out_per_second], ["requests", history.requests_per_second])}
        />
        <Chart title="Open sockets" times={times} shown={number} series={of(["sockets", history.sockets])} />
        <Chart title="CPUs in use" times={times} shown={number} series={of(["CPUs", history.cpus])} />
        <Chart title="Memory" binary times={times} shown={bytes} series={of(["resident", history.memory_bytes])} />
        <Chart
          title="Event-loop delay"
          times={times}
          shown={ms}
          series={of(["mean", history.event_loop_delay_ms], ["99 %", history.event_loop_delay_p99_ms])}
        />
        <Chart title="Time of a commit" times={times} shown={ms} series={of(["mean", history.commit_ms], ["99 %", history.commit_p99_ms])} />
      </div>
    </section>
  );
}

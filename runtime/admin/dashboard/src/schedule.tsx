// What is to come: crons of the configuration, and alarms of rooms. Both can be run now.

import { useState } from "preact/hooks";
import type { Alarm, Alarms, Cron, Crons } from "./answers";
import { ask, pathOf, query, segment, usePoll } from "./api";
import { milliseconds, number } from "./format";
import { Empty, Failed, Heading, Loading, Pages, Scroll, Time, attempt } from "./parts";
import { to } from "./route";

const EVERY_MS = 3000;
const PAGE_ALARMS = 50;

export function SchedulePage() {
  return (
    <>
      <Heading title="Alarms and crons">Alarms and crons</Heading>
      <CronsPart />
      <AlarmsPart />
    </>
  );
}

function CronsPart() {
  const crons = usePoll<Crons>("/v1/crons", EVERY_MS);
  const { data, error } = crons;
  return (
    <section aria-labelledby="crons">
      <h2 id="crons">Crons</h2>
      {data === undefined && (error ? <Failed error={error} what="crons" /> : <Loading what="crons" />)}
      {data !== undefined && !data.has_handler && data.crons.length > 0 && (
        <p class="banner">The main party has no static onCron, so that none of them does anything.</p>
      )}
      {data !== undefined && data.crons.length === 0 && (
        <Empty title="No crons">Name some under "crons" in partykit.json, and give the main party a static onCron.</Empty>
      )}
      {data !== undefined && data.crons.length > 0 && (
        <Scroll label="Crons">
          <table>
            <caption class="hidden">Crons</caption>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col" class="wide">When</th>
                <th scope="col" class="number">Next run</th>
                <th scope="col" class="number">Last run</th>
                <th scope="col">
                  <span class="hidden">Run now</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {data.crons.map((cron) => (
                <CronRow key={cron.name} cron={cron} may={data.has_handler} done={crons.again} />
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </section>
  );
}

function CronRow({ cron, may, done }: { cron: Cron; may: boolean; done: () => void }) {
  const [runs, mark] = useState(false);
  const run = async () => {
    mark(true);
    await attempt(async () => {
      const { succeeded } = await (await ask(`/v1/crons/${segment(cron.name)}/run`, { method: "POST" })).json();
      if (!succeeded) throw new Error(`The cron ${cron.name} ran and failed: the log says why.`);
      return `The cron ${cron.name} ran.`;
    });
    mark(false);
    done();
  };
  const { last } = cron;
  return (
    <tr>
      <th scope="row">{cron.name}</th>
      <td class="mono wide">{cron.expression}</td>
      <td class="number">{cron.running ? "running" : <Time ms={cron.next_ms} />}</td>
      <td class="number">
        {last === null ? (
          "–"
        ) : (
          <>
            <span class={last.succeeded ? "good" : "bad"}>{last.succeeded ? "succeeded" : "failed"}</span> <Time ms={last.at_ms} /> · {milliseconds(last.took_ms)}
          </>
        )}
      </td>
      <td class="number">
        <button type="button" class="small" aria-label={`Run now: ${cron.name}`} disabled={!may || runs || cron.running} onClick={run}>
          Run now
        </button>
      </td>
    </tr>
  );
}

function AlarmsPart() {
  const [places, go] = useState<(string | null)[]>([null]);
  const alarms = usePoll<Alarms>(`/v1/alarms${query({ limit: PAGE_ALARMS, after: places.at(-1) })}`, EVERY_MS);
  const { data, error, stale } = alarms;
  return (
    <section aria-labelledby="alarms">
      <h2 id="alarms">Alarms</h2>
      {data === undefined && (error ? <Failed error={error} what="alarms" /> : <Loading what="alarms" />)}
      {data !== undefined && data.alarms.length === 0 && places.length === 1 && (
        <Empty title="No alarm is set">A room sets one with room.storage.setAlarm.</Empty>
      )}
      {data !== undefined && (data.alarms.length > 0 || places.length > 1) && (
        <>
          <Scroll label="Alarms">
            <table class={stale ? "stale" : undefined}>
              <caption class="hidden">Alarms, the next first</caption>
              <thead>
                <tr>
                  <th scope="col">Room</th>
                  <th scope="col" class="number">When</th>
                  <th scope="col" class="number">Failed runs</th>
                  <th scope="col">
                    <span class="hidden">Run now</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {data.alarms.map((alarm) => (
                  <AlarmRow key={`${alarm.party}/${alarm.room}`} alarm={alarm} done={alarms.again} />
                ))}
              </tbody>
            </table>
          </Scroll>
          <Pages
            count={`${number(data.alarms.length)} on this page`}
            page={places.length - 1}
            hasNext={data.next !== null && !stale}
            previous={() => go(places.slice(0, -1))}
            next={() => data.next !== null && go([...places, data.next])}
          />
        </>
      )}
    </section>
  );
}

function AlarmRow({ alarm, done }: { alarm: Alarm; done: () => void }) {
  const { party, room } = alarm;
  const run = async () => {
    await attempt(async () => {
      await ask(`${pathOf(party, room)}/alarm`, { method: "PUT", body: JSON.stringify({ at_ms: Date.now() }) });
      return `The alarm of ${party}/${room} runs now.`;
    });
    done();
  };
  return (
    <tr>
      <th scope="row" class="name">
        <a href={to(["rooms", party, room])}>
          {party !== "main" && <span class="party">{party}/</span>}
          {room}
        </a>
      </th>
      <td class="number">{alarm.running ? "running" : <Time ms={alarm.at_ms} />}</td>
      <td class="number">{alarm.failed_runs > 0 ? <span class="bad">{number(alarm.failed_runs)}</span> : "–"}</td>
      <td class="number">
        <button type="button" class="small" aria-label={`Run now: the alarm of ${party}/${room}`} disabled={alarm.running} onClick={run}>
          Run now
        </button>
      </td>
    </tr>
  );
}

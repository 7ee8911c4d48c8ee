// What is served, how it is configured, and every limit with how near it is.

import type { Limit, Limits, Server } from "./answers";
import { usePoll } from "./api";
import { bytes, milliseconds, number, span } from "./format";
import { Failed, Facts, Heading, Loading, Scroll } from "./parts";

const EVERY_MS = 5000;

export function ServerPage({ server }: { server?: Server }) {
  return (
    <>
      <Heading title="Server">Server</Heading>
      {server === undefined ? <Loading what="the server" /> : <About server={server} />}
      <LimitsPart />
    </>
  );
}

function About({ server }: { server: Server }) {
  return (
    <>
      <Facts
        rows
        of={[
          ["Version", `partyrun ${server.version}`],
          ["Command", server.command],
          ["Project", server.project || "–"],
          ["Release", server.release ?? "–"],
          ["Code", server.bundle_hash === null ? "–" : <code title={server.bundle_hash}>{server.bundle_hash.slice(0, 12)}</code>],
          ["Address", server.url],
          ["Storage", server.storage ?? "in memory only"],
          ["Process", `${server.pid}, for ${span(server.uptime_ms)}`],
          ["Isolates made in advance", number(server.spares)],
        ]}
      />
      <section aria-labelledby="parties">
        <h2 id="parties">Parties</h2>
        <Scroll label="Parties">
          <table>
            <caption class="hidden">Parties</caption>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Static handlers</th>
                <th scope="col" class="number">Import</th>
              </tr>
            </thead>
            <tbody>
              {server.parties.map((party) => (
                <tr key={party.name}>
                  <th scope="row">{party.name}</th>
                  <td class="mono">
                    {[party.on_before_connect && "onBeforeConnect", party.on_before_request && "onBeforeRequest", party.on_cron && "onCron"]
                      .filter(Boolean)
                      .join(", ") || "–"}
                  </td>
                  <td class="number">{milliseconds(party.import_ms)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </section>
      <section aria-labelledby="configuration">
        <h2 id="configuration">Configuration</h2>
        <p class="hint">Of variables, definitions and the environment only names are known here: their values may be secrets.</p>
        <Facts rows of={Object.entries(server.configuration).map(([name, value]) => [name.replaceAll("_", " "), shown(value)])} />
      </section>
    </>
  );
}

function shown(value: unknown) {
  if (value === null || value === undefined) return "–";
  if (Array.isArray(value)) return value.length === 0 ? "–" : value.map(String).join(", ");
  if (typeof value === "object") {
    const pairs = Object.entries(value);
    return pairs.length === 0 ? "–" : pairs.map(([name, inner]) => `${name}: ${String(inner)}`).join(", ");
  }
  return String(value);
}

function LimitsPart() {
  const { data, error } = usePoll<Limits>("/v1/limits", EVERY_MS);
  if (data === undefined) return error ? <Failed error={error} what="limits" /> : <Loading what="limits" />;
  const counted = data.limits.filter((limit) => limit.share !== undefined).sort((one, other) => other.share! - one.share!);
  const others = data.limits.filter((limit) => limit.share === undefined);
  return (
    <section aria-labelledby="limits">
      <h2 id="limits">Limits</h2>
      <ul class="meters">
        {counted.map((limit) => (
          <li key={limit.name} title={limit.meaning}>
            <Meter limit={limit} />
          </li>
        ))}
      </ul>
      <details>
        <summary>{number(others.length)} limits that are not counted</summary>
        <Scroll label="Other limits">
          <table>
            <caption class="hidden">Limits that are not counted</caption>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col" class="number">Value</th>
                <th scope="col" class="wide">What</th>
                <th scope="col" class="wide">Beyond it</th>
              </tr>
            </thead>
            <tbody>
              {others.map((limit) => (
                <tr key={limit.name}>
                  <th scope="row" class="mono">{limit.name}</th>
                  <td class="number">{inUnit(limit.unit, limit.value)}</td>
                  <td class="wide text">{limit.meaning}</td>
                  <td class="wide text">{limit.beyond}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </details>
    </section>
  );
}

function inUnit(unit: string, value: number | string): string {
  const count = Number(value);
  if (Number.isNaN(count)) return String(value);
  return unit === "bytes" ? bytes(count) : number(count);
}

export function Meter({ limit }: { limit: Limit }) {
  const share = Math.min(1, limit.share ?? 0);
  const degree = share >= 0.9 ? "bad" : share >= 0.7 ? "warn" : "good";
  return (
    <div class="meter">
      <span class="mono">{limit.name}</span>
      <span class="used">
        {inUnit(limit.unit, limit.used ?? 0)} of {inUnit(limit.unit, limit.in_force ?? 0)} · {Math.round(share * 100)} %
      </span>
      <progress class={degree} max="1" value={share} aria-label={limit.name} />
    </div>
  );
}

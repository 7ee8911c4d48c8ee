// The numbers of the dashboard, for whoever compares versions: first paint, pages of many rooms by the API, and what the page
// holds in memory while rooms change. Start a server in an empty project, then this; it writes ROOMS rooms into its storage.
// usage: dashboard-numbers.mjs http://127.0.0.1:1998 TOKEN [ROOMS]
import { inBrowser } from "./browser.mjs";

const [, , admin, token, rooms = "10000"] = process.argv;
const count = Number(rooms);
const AT_ONCE = 32;
const ROUNDS = 20;
const CHANGES = 2000;

const ask = (path, asking = {}) => fetch(admin + path, { ...asking, headers: { authorization: `Bearer ${token}` } });
const name = (index) => `room-${String(index).padStart(6, "0")}`;
// The body is read, or its connection could not be used again.
const write = async (index) => (await ask(`/v1/rooms/main/${name(index)}/storage/n`, { method: "PUT", body: `{"value":${Math.random()}}` })).text();
const median = (values) => values.toSorted((one, other) => one - other)[values.length >> 1];

async function timed(work) {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

for (let index = 0; index < count; index += AT_ONCE) {
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - index) }, (_, more) => write(index + more)));
}
for (const path of ["/v1/rooms?limit=50", "/v1/rooms?limit=50&sort=last_event", `/v1/rooms?limit=50&prefix=${name(count - 1)}`, "/v1/history"]) {
  const times = [];
  for (let round = 0; round < ROUNDS; round++) times.push(await timed(async () => (await ask(path)).text()));
  console.log(`${path}: median ${median(times).toFixed(1)} ms, at most ${Math.max(...times).toFixed(1)} ms`);
}

await inBrowser(async (open) => {
  const page = await open(`${admin}/#token=${token}`);
  const paints = { "first-paint": [], "first-contentful-paint": [] };
  for (let round = 0; round < ROUNDS; round++) {
    await page.reload();
    await page.getByRole("heading", { name: "The last hour" }).waitFor();
    const entries = await page.evaluate(() => performance.getEntriesByType("paint").map((entry) => [entry.name, entry.startTime]));
    entries.forEach(([name, time]) => paints[name].push(time));
  }
  for (const [name, times] of Object.entries(paints)) console.log(`${name}: median ${median(times)} ms, at most ${Math.max(...times)} ms`);
  await page.goto(`${admin}/#/rooms`);
  await page.getByRole("link", { name: name(0) }).waitFor();
  const found = await timed(async () => {
    await page.getByRole("searchbox").fill(name(count - 1));
    await page.getByRole("link", { name: name(0) }).waitFor({ state: "detached" });
    await page.getByRole("link", { name: name(count - 1) }).waitFor();
  });
  console.log(`a room is found by search: ${Math.round(found)} ms, of which 200 wait for a pause in typing`);
  const inspector = await page.context().newCDPSession(page);
  await inspector.send("Performance.enable");
  for (const shown of ["rooms?sort=last_event", "log", ""]) {
    await page.goto(`${admin}/#/${shown}`);
    for (let change = 0; change < CHANGES; change++) await write(change % count);
    await inspector.send("HeapProfiler.collectGarbage");
    const { metrics } = await inspector.send("Performance.getMetrics");
    const of = (name) => metrics.find((metric) => metric.name === name).value;
    const { memory_bytes: memory } = await (await ask("/v1/server")).json();
    const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
    console.log(`${shown || "overview"} after ${CHANGES} changes: heap ${mib(of("JSHeapUsedSize"))}, ${of("Nodes")} nodes; the server ${mib(memory)}`);
  }
});

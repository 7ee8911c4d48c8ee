// The testing library against a real server; run by cli/tests/end_to_end/testing.rs.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { start } from "partyrun/test";

const HOUR = 3_600_000;
const MINUTE = 60_000;

let party;
before(async () => (party = await start({ project: "." })));
after(() => party.stop());

const text = async (room, what) => (await (await party.fetch(`${party.path({ room })}?do=${what}`)).text());
const json = async (room, what) => JSON.parse(await text(room, what));

// Waits until what is asked for is so.
async function until(what) {
  const end = Date.now() + 60_000;
  for (;;) {
    const found = await what();
    if (found) return found;
    assert.ok(Date.now() < end, `it never was so: ${what}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

test("timers run in their order when the clock is moved", async () => {
  await text("timers", "timers");
  await party.clock.advance("9m");
  assert.deepEqual(await json("timers", "ran"), []);
  await party.clock.advance(51 * MINUTE);
  const ran = await until(async () => {
    const ran = await json("timers", "ran");
    return ran.length === 5 && ran;
  });
  assert.deepEqual(ran.map(([name]) => name).filter((name) => name !== "each"), ["sooner", "later"]);
  assert.deepEqual(ran.map(([name]) => name).filter((name) => name === "each").length, 3);
  assert.ok(ran.every(([, minutes]) => minutes === 60), JSON.stringify(ran));
});

test("all clocks of a room agree", async () => {
  const before = await json("times", "times");
  await party.clock.advance("2h");
  const after = await json("times", "times");
  for (const at of [0, 1, 3, 6]) {
    const passed = after[at] - before[at];
    assert.ok(passed >= 2 * HOUR && passed < 2 * HOUR + 10 * MINUTE, `${at}: ${passed}`);
  }
  assert.deepEqual([after[2], after[5], after[7], after[8]], [5, true, Date.UTC(2020), true]);
  const ahead = (await party.clock.now()) - after[0];
  assert.ok(Math.abs(ahead) < 10 * MINUTE, `${ahead}`);
});

test("alarms, crons and expirations go by the same clock", async () => {
  const room = party.room("alarm");
  await text("alarm", "alarm");
  await text("kv", "kv");
  assert.equal(await text("kv", "kv-get"), "v");
  const due = await room.alarm();
  assert.ok(Math.abs(due - (await party.clock.now()) - 24 * HOUR) < 10 * MINUTE);
  const socket = await room.connect();
  await party.clock.advance("1d");
  assert.equal(await socket.next(), "alarm");
  assert.ok((await room.storage.get("alarm")) >= due);
  assert.equal(await room.alarm(), null);
  assert.equal(await text("kv", "kv-get"), "");
  const crons = party.room("crons");
  const runs = await until(async () => {
    const runs = await crons.storage.list({ prefix: "at " });
    return runs.size > 0 && runs;
  });
  const now = (await party.clock.now()).toISOString().slice(0, 13);
  await until(async () => (await crons.storage.get(`at ${now}`)) === true);
  assert.ok([...runs.keys()].every((key) => key.startsWith("at 2")));
});

test("rooms are hibernated, evicted and reset", async () => {
  const room = party.room("lives");
  const socket = await room.connect();
  const life = async () => {
    socket.send("x");
    return (await socket.next()).split(" ")[0];
  };
  const first = await life();
  await room.hibernate();
  assert.equal((await room.state()).state, "hibernated");
  const second = await life();
  assert.notEqual(first, second);
  await until(() => room.evict().then(() => true, (error) => error.code !== "busy" && assert.fail(error)));
  assert.equal((await socket.closed).code, 1012);
  const other = await room.connect();
  assert.ok((await party.rooms()).some(({ room }) => room === "lives"));
  await room.reset();
  assert.equal((await other.closed).code, 1011);
  assert.equal(await party.room("nobody").alarm(), null);
});

test("values come and go as they are", async () => {
  const room = party.room("all values?");
  await text("all values?", "value");
  assert.equal(room.id, "all%20values%3F");
  const value = await room.storage.get("value");
  const expected = { map: new Map([["a", 1n]]), at: new Date(0), bytes: new Uint8Array([1, 2]), set: new Set([NaN]), text: /a/g,
    inner: [undefined, null, -0], $date: 1 };
  assert.deepEqual(value, expected);
  await room.storage.put("copy", expected);
  assert.deepEqual(await room.storage.list(), new Map([["copy", expected], ["value", expected]]));
  await room.storage.delete("copy");
  assert.equal(await room.storage.get("copy"), undefined);
  await room.storage.deleteAll();
  assert.equal((await room.storage.list()).size, 0);
});

test("a server that was killed goes on where it was", async () => {
  const room = party.room("killed");
  await room.storage.put("k", 1);
  const { port } = party;
  const socket = await party.partySocket({ room: "killed", minReconnectionDelay: 1, maxReconnectionDelay: 50 });
  await new Promise((done) => socket.addEventListener("open", done, { once: true }));
  const reopened = new Promise((done) => socket.addEventListener("open", done, { once: true }));
  const before = await party.clock.now();
  await party.kill();
  assert.ok((await party.clock.now()) >= before);
  assert.deepEqual([await room.storage.get("k"), party.port], [1, port]);
  await reopened;
  socket.close();
  await party.restart();
  assert.equal(await room.storage.get("k"), 1);
});

test("what goes wrong is told", async () => {
  await assert.rejects(start({ project: ".", script: "none.js" }), /none\.js/);
  await assert.rejects(start({ program: "/nowhere/partyrun" }), /Is partyrun installed\?/);
  await assert.rejects(party.clock.advance("soon"), TypeError);
  await assert.rejects(party.room("x").storage.put("k", () => {}), /function cannot be stored/);
  const socket = await party.connect({ room: "quiet" });
  await assert.rejects(socket.next(20), /No message came within 20 ms/);
  await socket.close();
  await assert.rejects(socket.next(), /The connection was closed with/);
});

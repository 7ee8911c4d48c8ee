// The types of the testing library, as a test in TypeScript meets them.
import { start, type Connection, type Party, type Room } from "partyrun/test";

export async function use(): Promise<void> {
  const party: Party = await start({ project: ".", vars: { MODE: "test" }, args: ["--limit", "room_idle_max=1s"] });
  const room: Room = party.room("lobby");
  const connection: Connection = await room.connect({ id: "ada", query: { token: "x" } });
  connection.send("hello");
  const text: string | ArrayBuffer = await connection.next();
  const { code }: { code: number } = await connection.close(1000, "done");
  const score = await room.storage.get<number>("score");
  if (score !== undefined) score.toFixed();
  const later: Date = await party.clock.advance("1h");
  // @ts-expect-error: a connection needs the room as an object.
  await party.connect("lobby");
  // @ts-expect-error: the clock cannot be set.
  party.clock.set(later);
  await party.stop();
  console.log(text, code, await room.alarm());
}

// All rooms, in pages that the server makes: search, filters and order are in the address.

import { useEffect, useState } from "preact/hooks";
import type { Party, Room, Rooms } from "./answers";
import { query, usePoll } from "./api";
import { bytes, milliseconds, number } from "./format";
import { Badge, Empty, Failed, Heading, Loading, Pages, Scroll, Time, useSettled } from "./parts";
import { replace, to } from "./route";

const EVERY_MS = 2000;
const PAGE_ROOMS = 50;
const TYPING_PAUSES_MS = 200;

type Sort = "name" | "sockets" | "memory" | "cpu" | "last_event";

// Columns with the order that each stands for.
const COLUMNS: [title: string, sort: Sort | null, kind: string][] = [
  ["Room", "name", ""],
  ["State", null, ""],
  ["Sockets", "sockets", "number"],
  ["Memory", "memory", "number wide"],
  ["CPU time", "cpu", "number wide"],
  ["Last event", "last_event", "number"],
  ["Waiting", null, "number wide"],
  ["Alarm", null, "number wide"],
];

const STATES = ["all", "live", "hibernated", "resting"];

export function RoomsPage({ parameters, parties }: { parameters: URLSearchParams; parties: Party[] }) {
  const given = (name: string) => parameters.get(name) ?? "";
  const [prefix, type] = useState(given("prefix"));
  const settled = useSettled(prefix, TYPING_PAUSES_MS);
  const party = given("party");
  const state = STATES.includes(given("state")) ? given("state") : "all";
  const sort = COLUMNS.some(([, name]) => name === given("sort")) ? (given("sort") as Sort) : "name";
  // Where each page began, the first at the beginning of the list.
  const list = [given("prefix"), party, state, sort].join("\n");
  const [pages, turn] = useState<{ list: string; places: (string | null)[] }>({ list, places: [null] });
  const places = pages.list === list ? pages.places : [null];
  const go = (places: (string | null)[]) => turn({ list, places });
  const change = (changed: Record<string, string>) => {
    const now: Record<string, string> = { prefix: settled, party, state: state === "all" ? "" : state, sort: sort === "name" ? "" : sort, ...changed };
    replace(to(["rooms"], now));
  };
  useEffect(() => {
    if (settled !== given("prefix")) change({ prefix: settled });
  }, [settled]);
  // A link has changed the address.
  useEffect(() => type(given("prefix")), [given("prefix")]);
  const path = `/v1/rooms${query({ prefix: given("prefix"), party, state, sort, limit: PAGE_ROOMS, after: places.at(-1) })}`;
  const { data, error, stale } = usePoll<Rooms>(path, EVERY_MS);

  return (
    <>
      <Heading title="Rooms">Rooms</Heading>
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <label class="grow">
          Search
          <input
            type="search"
            placeholder="Beginning of a room's id"
            value={prefix}
            onInput={(event) => type(event.currentTarget.value)}
          />
        </label>
        {parties.length > 1 && (
          <label>
            Party
            <select value={party} onChange={(event) => change({ party: event.currentTarget.value })}>
              <option value="">all</option>
              {parties.map(({ name }) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
        )}
        <label>
          State
          <select value={state} onChange={(event) => change({ state: event.currentTarget.value })}>
            {STATES.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      </form>
      {data === undefined && error === undefined && <Loading what="rooms" />}
      {data === undefined && error !== undefined && <Failed error={error} what="rooms" />}
      {data !== undefined && data.rooms.length === 0 && <NoRooms prefix={given("prefix")} party={party} filtered={party !== "" || state !== "all"} />}
      {data !== undefined && data.rooms.length > 0 && (
        <>
          <Scroll label="Rooms">
            <table class={stale ? "stale" : undefined}>
              <caption class="hidden">Rooms, {sort === "name" ? "by name" : `the largest ${sort.replace("_", " ")} first`}</caption>
              <thead>
                <tr>
                  {COLUMNS.map(([title, order, kind]) => (
                    <th
                      key={title}
                      scope="col"
                      class={kind}
                      aria-sort={order === sort ? (order === "name" ? "ascending" : "descending") : undefined}
                    >
                      {order === null ? title : <Sorter title={title} current={order === sort} sort={() => change({ sort: order === "name" ? "" : order })} />}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {data.rooms.map((room) => (
                  <RoomRow key={`${room.party}/${room.room}`} room={room} />
                ))}
              </tbody>
            </table>
          </Scroll>
          <Pages
            count={`${number(data.rooms.length)} on this page`}
            page={places.length - 1}
            hasNext={data.next !== null && !stale}
            previous={() => go(places.slice(0, -1))}
            next={() => data.next !== null && go([...places, data.next])}
          />
        </>
      )}
    </>
  );
}

function Sorter({ title, current, sort }: { title: string; current: boolean; sort: () => void }) {
  return (
    <button type="button" class={current ? "sorter current" : "sorter"} onClick={sort}>
      {title}
      <span aria-hidden="true">{current ? (title === "Room" ? " ↑" : " ↓") : ""}</span>
    </button>
  );
}

function RoomRow({ room }: { room: Room }) {
  return (
    <tr>
      <th scope="row" class="name">
        <a href={to(["rooms", room.party, room.room])}>
          {room.party !== "main" && <span class="party">{room.party}/</span>}
          {room.room}
        </a>
      </th>
      <td>
        <Badge state={room.state} />
      </td>
      <td class="number">{number(room.sockets)}</td>
      <td class="number wide">{room.memory_bytes ? bytes(room.memory_bytes) : "–"}</td>
      <td class="number wide">{room.cpu_ms ? milliseconds(room.cpu_ms) : "–"}</td>
      <td class="number">
        <Time ms={room.last_event_ms} />
      </td>
      <td class="number wide">{room.events_waiting ? number(room.events_waiting) : "–"}</td>
      <td class="number wide">
        <Time ms={room.alarm_ms} />
      </td>
    </tr>
  );
}

function NoRooms({ prefix, party, filtered }: { prefix: string; party: string; filtered: boolean }) {
  if (prefix !== "") {
    const name = party || "main";
    return (
      <Empty title={`No room's id begins with “${prefix}”`}>
        {filtered ? "There may be some in other states or parties. " : "The search looks at beginnings of ids only. "}
        <a href={to(["rooms", name, prefix])}>
          Open {name}/{prefix}
        </a>{" "}
        to write its storage before it starts.
      </Empty>
    );
  }
  if (filtered) {
    return (
      <Empty title="No room is in this state">
        <a href={to(["rooms"])}>Show all rooms</a>
      </Empty>
    );
  }
  return <Empty title="No rooms yet">A room comes into being with the first connection or request to it, such as /party/lobby.</Empty>;
}

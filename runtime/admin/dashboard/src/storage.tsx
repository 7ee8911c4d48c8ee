// What a room has stored: a browser by prefix in pages, and an editor that never overwrites what the room wrote meanwhile.

import { useEffect, useState } from "preact/hooks";
import type { Entries, Entry, Value } from "./answers";
import { Refusal, ask, get, query, save, segment, usePoll } from "./api";
import { bytes, counted, number } from "./format";
import { Dialog, Empty, Failed, Loading, Pages, Scroll, attempt, tell, useSettled } from "./parts";
import { replace, to } from "./route";

const EVERY_MS = 3000;
const PAGE_ENTRIES = 50;
const TYPING_PAUSES_MS = 200;
// A longer value is shown by its beginning, until somebody asks for all of it.
const SHOWN_CHARS = 20_000;

export function StoragePart({ path, here, parameters, entries, name }: {
  path: string;
  here: string[];
  parameters: URLSearchParams;
  entries?: number;
  name: string;
}) {
  const open = parameters.get("key");
  const [prefix, type] = useState("");
  const settled = useSettled(prefix, TYPING_PAUSES_MS);
  const [pages, turn] = useState<{ prefix: string; places: (string | null)[] }>({ prefix: "", places: [null] });
  const places = pages.prefix === settled ? pages.places : [null];
  const [dialog, ask_] = useState<"new" | "clear" | "import" | null>(null);
  const list = usePoll<Entries>(`${path}/storage${query({ prefix: settled, limit: PAGE_ENTRIES, start_after: places.at(-1) })}`, EVERY_MS);
  const { data, error, stale } = list;
  const show = (key: string | null) => replace(to(here, { key: key ?? undefined }));
  const download = () =>
    attempt(async () => {
      save(`${name.replace(/[^\w.-]+/g, "_")}.room`, await (await ask(`${path}/export`)).blob());
      return "The room was exported.";
    });
  return (
    <div class={open === null ? "storage" : "storage split"}>
      <section class="list" id="entries" tabIndex={-1} aria-label="Entries">
        <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
          <label class="grow">
            Prefix
            <input type="search" placeholder="Beginning of a key" value={prefix} onInput={(event) => type(event.currentTarget.value)} />
          </label>
          <div class="actions">
            <button type="button" class="primary" onClick={() => ask_("new")}>
              New entry …
            </button>
            <button type="button" disabled={!entries} onClick={download}>
              Export
            </button>
            <button type="button" onClick={() => ask_("import")}>
              Import …
            </button>
            <button type="button" disabled={!entries} onClick={() => ask_("clear")}>
              Delete all …
            </button>
          </div>
        </form>
        {data === undefined && (error ? <Failed error={error} what="entries" /> : <Loading what="entries" />)}
        {data !== undefined && data.altered.length > 0 && (
          <p class="banner bad" role="alert">
            {counted(data.altered.length, "value")} altered on disk: {data.altered.join(", ")}. Rooms cannot read them. Delete or write them.
          </p>
        )}
        {data !== undefined && data.entries.length === 0 && (
          <Empty title={settled === "" ? "Nothing is stored" : `No key begins with “${settled}”`}>
            {settled === "" && "What the room writes with room.storage.put appears here. You can also write an entry yourself, or import a file."}
          </Empty>
        )}
        {data !== undefined && data.entries.length > 0 && (
          <>
            <Scroll label="Entries">
              <table class={stale ? "stale" : undefined}>
                <caption class="hidden">Entries of the room's storage</caption>
                <thead>
                  <tr>
                    <th scope="col">Key</th>
                    <th scope="col" class="wide">Type</th>
                    <th scope="col">Value</th>
                    <th scope="col" class="number wide">Size</th>
                  </tr>
                </thead>
                <tbody>
                  {data.entries.map((entry) => (
                    <EntryRow key={entry.key} entry={entry} current={entry.key === open} address={to(here, { key: entry.key })} />
                  ))}
                </tbody>
              </table>
            </Scroll>
            <Pages
              count={`${number(data.entries.length)} on this page`}
              page={places.length - 1}
              hasNext={data.next !== null && !stale}
              previous={() => turn({ prefix: settled, places: places.slice(0, -1) })}
              next={() => data.next !== null && turn({ prefix: settled, places: [...places, data.next] })}
            />
          </>
        )}
      </section>
      {open !== null && <Editor key={open} path={path} name={open} close={() => show(null)} changed={list.again} />}
      {dialog === "new" && <NewDialog path={path} close={() => ask_(null)} done={(key) => (list.again(), show(key))} />}
      {dialog === "import" && <ImportDialog path={path} entries={entries ?? 0} close={() => ask_(null)} done={list.again} />}
      {dialog === "clear" && (
        <Dialog
          title="Delete all that the room has stored?"
          action="Delete all"
          danger
          close={() => ask_(null)}
          submit={() =>
            attempt(async () => {
              await ask(`${path}/storage`, { method: "DELETE" });
              show(null);
              list.again();
              return "All entries were deleted.";
            })
          }
        >
          <p>{entries ? counted(entries, "entry", "entries") : "All entries"} will be gone for good. The alarm stays. Export the room first if you may need them.</p>
        </Dialog>
      )}
    </div>
  );
}

function EntryRow({ entry, current, address }: { entry: Entry; current: boolean; address: string }) {
  return (
    <tr class={current ? "current" : undefined}>
      <th scope="row" class="mono name">
        <a href={address} aria-current={current ? "true" : undefined}>
          {entry.key === "" ? "(empty)" : entry.key}
        </a>
      </th>
      <td class="wide">{entry.type}</td>
      <td class="mono value">{entry.failed === null ? entry.text : <em>cannot be shown: {entry.failed}</em>}</td>
      <td class="number wide">{bytes(entry.bytes)}</td>
    </tr>
  );
}

// The address of a value; a refusal instead of one that no browser can ask for.
function addressOf(path: string, key: string): string {
  return `${path}/storage/${segment(key)}`;
}

const pretty = (value: unknown) => JSON.stringify(value, null, 2);

function Editor({ path, name, close, changed }: { path: string; name: string; close: () => void; changed: () => void }) {
  const [value, read] = useState<Value | null>(null);
  const [problem, explain] = useState<Refusal | null>(null);
  const [text, type] = useState<string | null>(null);
  const [conflict, meet] = useState(false);
  const [whole, showWhole] = useState(false);
  const [asks, confirm] = useState(false);
  const load = async () => {
    try {
      const found = await get<Value>(addressOf(path, name));
      read(found);
      type(found.writable && found.bytes <= SHOWN_CHARS ? pretty(found.value) : null);
      meet(false);
      explain(null);
    } catch (error) {
      read(null);
      explain(error instanceof Refusal ? error : new Refusal(0, "failed", String(error)));
    }
  };
  useEffect(() => void load(), []);
  const write = async (etag: string | null) => {
    let body: string;
    try {
      body = JSON.stringify({ value: JSON.parse(text ?? "") });
    } catch (error) {
      return tell(`This is no JSON: ${(error as Error).message}`, true);
    }
    try {
      const headers: Record<string, string> = etag === null ? {} : { "if-match": etag };
      await ask(addressOf(path, name), { method: "PUT", body, headers });
      tell(`${name} was written.`);
      await load();
      changed();
    } catch (error) {
      if (error instanceof Refusal && error.code === "changed") meet(true);
      else tell((error as Error).message, true);
    }
  };
  const remove = () =>
    attempt(async () => {
      await ask(addressOf(path, name), { method: "DELETE" });
      changed();
      close();
      document.getElementById("entries")?.focus();
      return `${name} was deleted.`;
    });
  const isEdited = value !== null && text !== null && text !== pretty(value.value);
  const long = value !== null && value.text.length > SHOWN_CHARS && !whole;
  return (
    <section class="editor" aria-labelledby="key">
      <header>
        <h2 id="key" class="mono">{name === "" ? "(empty)" : name}</h2>
        <button type="button" class="quiet" aria-label="Close the entry" onClick={close}>
          ×
        </button>
      </header>
      {problem !== null && <Failed error={problem} what="value" />}
      {problem === null && value === null && <Loading what="the value" />}
      {value !== null && (
        <>
          <p class="hint">
            {value.type} · {bytes(value.bytes)}
            {value.failed === null && !value.writable && " · can only be read: JSON has no form for all of it"}
          </p>
          {value.failed !== null && (
            <Empty title="The value cannot be shown">{value.failed}</Empty>
          )}
          {text !== null && (
            <form
              onSubmit={(event) => {
                event.preventDefault();
                void write(value.etag);
              }}
            >
              <label>
                Value as JSON
                <textarea
                  class="mono"
                  rows={Math.min(24, Math.max(6, text.split("\n").length + 1))}
                  spellcheck={false}
                  value={text}
                  onInput={(event) => type(event.currentTarget.value)}
                />
              </label>
              {conflict && (
                <div class="banner" role="alert">
                  <p>The room has changed this value since you opened it. Nothing was written.</p>
                  <div class="actions">
                    <button type="button" onClick={load}>
                      Load the new value
                    </button>
                    <button type="button" class="danger" onClick={() => void write(null)}>
                      Overwrite it
                    </button>
                  </div>
                </div>
              )}
              <div class="actions">
                <button type="submit" class="primary" disabled={!isEdited}>
                  Save
                </button>
                <button type="button" disabled={!isEdited} onClick={() => type(pretty(value.value))}>
                  Undo
                </button>
                <button type="button" onClick={load}>
                  Read again
                </button>
                <span class="grow" />
                <button type="button" class="danger" onClick={() => confirm(true)}>
                  Delete …
                </button>
              </div>
            </form>
          )}
          {value.failed === null && (
            <details open={text === null || /^(Map|Set|Date|Error|ArrayBuffer|.*Array|.*Error)$/.test(value.type) && value.type !== "Array"}>
              <summary>As the console shows it</summary>
              <pre>{long ? `${value.text.slice(0, SHOWN_CHARS)} …` : value.text}</pre>
              {long && (
                <button type="button" onClick={() => showWhole(true)}>
                  Show all {bytes(value.text.length)}
                </button>
              )}
            </details>
          )}
          {text === null && (
            <div class="actions">
              {value.writable && value.failed === null && (
                <button type="button" onClick={() => type(pretty(value.value))}>
                  Edit as JSON
                </button>
              )}
              <button type="button" class="danger" onClick={() => confirm(true)}>
                Delete …
              </button>
            </div>
          )}
        </>
      )}
      {asks && (
        <Dialog title={`Delete ${name}?`} action="Delete" danger close={() => confirm(false)} submit={remove}>
          <p>The value is gone for good.</p>
        </Dialog>
      )}
    </section>
  );
}

function NewDialog({ path, close, done }: { path: string; close: () => void; done: (key: string) => void }) {
  const [key, name] = useState("");
  const [text, type] = useState("null");
  const write = () =>
    attempt(async () => {
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch (error) {
        throw new Error(`The value is no JSON: ${(error as Error).message}`);
      }
      const headers = { "if-none-match": "*" };
      try {
        await ask(addressOf(path, key), { method: "PUT", body: JSON.stringify({ value }), headers });
      } catch (error) {
        if (error instanceof Refusal && error.code === "changed") throw new Error(`There is a value under ${key}: open it to change it.`);
        throw error;
      }
      done(key);
      return `${key} was written.`;
    });
  return (
    <Dialog title="New entry" action="Write" close={close} submit={write}>
      <label>
        Key
        <input type="text" class="mono" required spellcheck={false} value={key} onInput={(event) => name(event.currentTarget.value)} />
      </label>
      <label>
        Value as JSON
        <textarea class="mono" rows={6} required spellcheck={false} value={text} onInput={(event) => type(event.currentTarget.value)} />
      </label>
      <p class="hint">
        What JSON has no form for is an object with one key, such as <code>{'{"$date":"2026-01-01T00:00:00Z"}'}</code> or <code>{'{"$map":[["a",1]]}'}</code>.
      </p>
    </Dialog>
  );
}

function ImportDialog({ path, entries, close, done }: { path: string; entries: number; close: () => void; done: () => void }) {
  const [file, choose] = useState<File | null>(null);
  const [keep, keeps] = useState(false);
  const send = () =>
    attempt(async () => {
      if (!file) throw new Error("Choose a file first.");
      const { entries: count } = await (await ask(`${path}/import${query({ keep: keep ? "true" : "" })}`, { method: "POST", body: file })).json();
      done();
      return `${counted(count, "entry", "entries")} imported.`;
    });
  return (
    <Dialog title="Import a room" action="Import" danger={entries > 0 && !keep} close={close} submit={send}>
      <label>
        File that “Export” or <code>partyrun room --export</code> wrote
        <input type="file" required onChange={(event) => choose(event.currentTarget.files?.[0] ?? null)} />
      </label>
      {entries > 0 && (
        <label class="check">
          <input type="checkbox" checked={keep} onChange={(event) => keeps(event.currentTarget.checked)} />
          Keep entries that the file does not have
        </label>
      )}
      {entries > 0 && !keep && (
        <p class="banner">The room's {counted(entries, "entry", "entries")} will be deleted, and the file's take their place. So does its alarm.</p>
      )}
    </Dialog>
  );
}

// What several pages are made of: headings, badges, states without content, confirmations and notices.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { State } from "./answers";
import { Refusal } from "./api";
import { ago, moment } from "./format";

// The heading of a page gets the focus when the page is shown, so that a screen reader begins there.
export function Heading({ children, title, actions }: { children: ComponentChildren; title: string; actions?: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · partyrun`;
    heading.current?.focus({ preventScroll: true });
  }, [title]);
  return (
    <header class="heading">
      <h1 ref={heading} tabIndex={-1}>
        {children}
      </h1>
      {actions && <div class="actions">{actions}</div>}
    </header>
  );
}

export function Badge({ state }: { state: State }) {
  return <span class={`badge ${state}`}>{state}</span>;
}

// A time as a distance from now; the time itself is its title.
export function Time({ ms }: { ms: number | null | undefined }) {
  if (ms === null || ms === undefined) return <>–</>;
  return (
    <time dateTime={new Date(ms).toISOString()} title={moment(ms)}>
      {ago(ms)}
    </time>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <strong>{title}</strong>
      {children && <p>{children}</p>}
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p class="loading" role="status">
      Loading {what} …
    </p>
  );
}

// Where nothing can be shown. While the server is away, the banner says so.
export function Failed({ error, what }: { error: Refusal; what: string }) {
  if (error.code === "down") return <Loading what={what} />;
  return (
    <div class="empty" role="alert">
      <strong>{error.code === "starting" ? "The server is starting" : `No ${what}`}</strong>
      <p>{error.message}</p>
    </div>
  );
}

export function Pages({ count, page, hasNext, previous, next }: {
  count: string;
  page: number;
  hasNext: boolean;
  previous: () => void;
  next: () => void;
}) {
  return (
    <nav class="pages" aria-label="Pages">
      <span>{count}</span>
      <span>
        <button type="button" disabled={page === 0} onClick={previous}>
          Previous
        </button>
        <span class="page">Page {page + 1}</span>
        <button type="button" disabled={!hasNext} onClick={next}>
          Next
        </button>
      </span>
    </nav>
  );
}

interface Notice {
  key: number;
  text: string;
  bad: boolean;
}

let notices: Notice[] = [];
let nextKey = 0;
let showNotices: (notices: Notice[]) => void = () => {};
const NOTICES_MAX = 4;
const NOTICE_LASTS_MS = 6000;

function dismiss(key: number) {
  notices = notices.filter((notice) => notice.key !== key);
  showNotices(notices);
}

export function tell(text: string, bad = false) {
  const key = nextKey++;
  notices = [...notices, { key, text, bad }].slice(-NOTICES_MAX);
  showNotices(notices);
  // What went wrong stays until it was read.
  if (!bad) setTimeout(() => dismiss(key), NOTICE_LASTS_MS);
}

// Does something, and tells how it ended; false if it was refused.
export async function attempt(work: () => Promise<string>): Promise<boolean> {
  try {
    tell(await work());
    return true;
  } catch (error) {
    tell(error instanceof Error ? error.message : String(error), true);
    return false;
  }
}

export function Notices() {
  const [shown, show] = useState(notices);
  useEffect(() => {
    showNotices = show;
  }, []);
  const one = (notice: Notice) => (
    <li key={notice.key} class={notice.bad ? "bad" : "good"}>
      <span>{notice.text}</span>
      <button type="button" class="quiet" aria-label="Dismiss" onClick={() => dismiss(notice.key)}>
        ×
      </button>
    </li>
  );
  return (
    <div class="notices">
      <div role="alert" aria-label="Problems">
        <ul>{shown.filter((notice) => notice.bad).map(one)}</ul>
      </div>
      <div role="status" aria-label="Done">
        <ul>{shown.filter((notice) => !notice.bad).map(one)}</ul>
      </div>
    </div>
  );
}

// A modal dialog with a form; Escape and Cancel close it.
export function Dialog({ title, children, action, danger, close, submit }: {
  title: string;
  children: ComponentChildren;
  action: string;
  danger?: boolean;
  close: () => void;
  // Whether it is done, and the dialog goes.
  submit: () => Promise<boolean>;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, work] = useState(false);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  const send = async (event: Event) => {
    event.preventDefault();
    if (busy) return;
    work(true);
    const done = await submit();
    work(false);
    if (done) close();
  };
  return (
    <dialog ref={dialog} aria-labelledby="dialog-title" onClose={close}>
      <form onSubmit={send}>
        <h2 id="dialog-title">{title}</h2>
        {children}
        <div class="actions">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class={danger ? "danger" : "primary"} disabled={busy}>
            {action}
          </button>
        </div>
      </form>
    </dialog>
  );
}

// A table that may be wider than its place.
export function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <div class="scroll" role="group" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}

// In cells, or one below the other where values are long.
export function Facts({ of, rows }: { of: [string, ComponentChildren][]; rows?: boolean }) {
  return (
    <dl class={rows ? "facts rows" : "facts"}>
      {of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

// Waits until typing has paused.
export function useSettled<T>(value: T, afterMs: number): T {
  const [settled, settle] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => settle(value), afterMs);
    return () => clearTimeout(timer);
  }, [value, afterMs]);
  return settled;
}

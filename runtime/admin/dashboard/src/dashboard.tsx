// The dashboard: which page is shown, and what is around it. It uses nothing but the API of the listener that serves it.

import "uplot/dist/uPlot.min.css";
import "./style.css";
import "./controls.css";
import "./pages.css";
import { render } from "preact";
import { useEffect } from "preact/hooks";
import type { Server } from "./answers";
import { forgetToken, takeToken, useLink, usePoll } from "./api";
import { Empty, Heading, Notices } from "./parts";
import { type Route, to, useRoute } from "./route";
import { LogPage } from "./log";
import { Overview } from "./overview";
import { RoomPage } from "./room";
import { RoomsPage } from "./rooms";
import { SchedulePage } from "./schedule";
import { ServerPage } from "./server";
import { SignIn } from "./sign-in";

const PAGES = [
  ["", "Overview"],
  ["rooms", "Rooms"],
  ["schedule", "Schedule"],
  ["log", "Log"],
  ["server", "Server"],
] as const;

const SERVER_EVERY_MS = 5000;

function Page({ route, server }: { route: Route; server?: Server }) {
  const [page, party, room, part] = route.names;
  switch (page) {
    case undefined:
      return <Overview server={server} />;
    case "rooms":
      if (party !== undefined && room !== undefined) {
        return <RoomPage key={`${party}/${room}`} party={party} room={room} part={part} parameters={route.parameters} />;
      }
      return <RoomsPage parameters={route.parameters} parties={server?.parties ?? []} />;
    case "schedule":
      return <SchedulePage />;
    case "log":
      return <LogPage parameters={route.parameters} />;
    case "server":
      return <ServerPage server={server} />;
    default:
      return (
        <>
          <Heading title="Not found">There is no such page</Heading>
          <Empty title="The address leads nowhere">
            Go to the <a href={to([])}>overview</a> or to the <a href={to(["rooms"])}>rooms</a>.
          </Empty>
        </>
      );
  }
}

function Dashboard() {
  const route = useRoute();
  const link = useLink();
  const { data: server } = usePoll<Server>(link === "denied" ? null : "/v1/server", SERVER_EVERY_MS);
  useEffect(focusSearch, []);
  if (link === "denied") return <SignIn />;
  const here = route.names[0] ?? "";
  return (
    <div class="frame">
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <header class="bar">
        <a class="brand" href={to([])}>
          <img src="/dashboard.svg" alt="" width="20" height="20" />
          <span>{server?.project || "partyrun"}</span>
          {server && <span class={`mode ${server.command}`}>{server.command}</span>}
        </a>
        <nav aria-label="Pages of the dashboard">
          <ul>
            {PAGES.map(([name, title]) => (
              <li key={name}>
                <a href={to(name === "" ? [] : [name])} aria-current={here === name ? "page" : undefined}>
                  {title}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div class="foot">
          {server && <span>partyrun {server.version}</span>}
          <button type="button" class="quiet" onClick={forgetToken}>
            Sign out
          </button>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        <div role="status">
          {link === "down" && (
            <p class="banner">
              <strong>The server does not answer.</strong> What you see is what was known last. Trying again …
            </p>
          )}
        </div>
        <Page route={route} server={server} />
      </main>
      <Notices />
    </div>
  );
}

// The fragment names the page, so that this link must not change it.
function skip(event: Event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

// A slash goes to the search field, as in most tools.
function focusSearch() {
  const pressed = (event: KeyboardEvent) => {
    const typing = event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
    const field = document.querySelector<HTMLInputElement>("input[type=search]");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || !field) return;
    event.preventDefault();
    field.focus();
    field.select();
  };
  addEventListener("keydown", pressed);
  return () => removeEventListener("keydown", pressed);
}

takeToken();
render(<Dashboard />, document.getElementById("page")!);

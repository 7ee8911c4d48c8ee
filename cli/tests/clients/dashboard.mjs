// The dashboard in a real browser, as a person uses it who looks for a room and mends something in it. Prints what it saw, a
// line each; without Chromium its only line says so. SCREENSHOT names a folder for pictures.
// usage: dashboard.mjs SERVER ADMIN TOKEN
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { inBrowser, picture } from "../../../tests/clients/browser.mjs";

const require = createRequire(`${process.env.PACKAGES}/`);
const WebSocket = require("ws");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [, , server, admin, token] = process.argv;
const print = (what, value) => console.log(what, JSON.stringify(value));

function connect(path) {
  const socket = new WebSocket(`ws://${server}${path}`);
  const told = [];
  const waiting = [];
  socket.on("message", (text) => (waiting.length > 0 ? waiting.shift()(`${text}`) : told.push(`${text}`)));
  const next = async () => told.shift() ?? new Promise((resolve) => waiting.push(resolve));
  const closed = new Promise((resolve) => socket.on("close", resolve));
  return new Promise((resolve, reject) => {
    socket.once("open", () => resolve({ next, closed, send: (text) => socket.send(text), end: () => socket.terminate() }));
    socket.once("error", reject);
  });
}

const heading = (page, name) => page.getByRole("heading", { level: 1, name });
const go = (page, name) => page.getByRole("navigation", { name: "Pages of the dashboard" }).getByRole("link", { name }).click();
const done = (page) => page.getByRole("status", { name: "Done" });
const problems = (page) => page.getByRole("alert", { name: "Problems" });

// A token that is wrong, none, and the right one, which is in no address afterwards.
async function signIn(page) {
  const field = page.getByLabel("Token");
  await page.getByText("The server does not take the token").waitFor();
  await field.fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText("This is not the token of this server.").waitFor();
  await field.fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await heading(page, "Overview").waitFor();
  await page.reload();
  await heading(page, "Overview").waitFor();
  print("the token is in the address", await page.evaluate((token) => location.href.includes(token), token));
}

// Finds a room by search, with the keyboard alone.
async function findRoom(page) {
  await go(page, "Rooms");
  await heading(page, "Rooms").waitFor();
  await page.getByRole("link", { name: "quiet-1", exact: true }).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("table");
  await page.getByRole("link", { name: "quiet-1", exact: true }).waitFor({ state: "detached" });
  const rows = page.getByRole("table", { name: /^Rooms/ }).getByRole("rowheader");
  print("rooms that begin so", await rows.allTextContents());
  await page.getByRole("button", { name: "Sockets" }).click();
  await page.getByRole("columnheader", { name: "Sockets" }).and(page.locator("[aria-sort=descending]")).waitFor();
  await page.reload();
  print("the search is in the address", await page.getByRole("searchbox").inputValue());
  await page.getByRole("link", { name: "table-1", exact: true }).focus();
  await page.keyboard.press("Enter");
  await heading(page, "table-1").waitFor();
  print("the reader begins at", await page.evaluate(() => document.activeElement.tagName));
}

async function sockets(page, one, two) {
  const table = page.getByRole("table", { name: "Connections of the room" });
  await table.getByRole("rowheader", { name: "two" }).waitFor();
  print("connections", (await table.getByRole("rowheader").allTextContents()).sort());
  print("of one", await table.getByRole("row", { name: "one" }).getByRole("cell").allTextContents());
  await page.getByRole("button", { name: "Close two" }).click();
  print("two was closed with", await two.closed);
  await table.getByRole("rowheader", { name: "two" }).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Send message" }).click();
  await page.getByLabel("Text", { exact: true }).fill("maintenance at noon");
  await page.getByRole("button", { name: "Send", exact: true }).click();
  print("one was told", await one.next());
  one.send("fail");
  await page.getByText("TypeError: A move needs a player").waitFor();
  print("an error's place", await page.locator(".errors pre").first().textContent());
}

async function storage(page, one) {
  await page.getByRole("link", { name: /^Storage/ }).click();
  const table = page.getByRole("table", { name: "Entries of the room's storage" });
  await table.getByRole("link", { name: "score" }).click();
  const value = page.getByLabel("Value as JSON");
  await value.fill("42");
  await page.getByRole("button", { name: "Save" }).click();
  await done(page).getByText("score was written.").waitFor();
  one.send("score");
  print("the room sees", await one.next());
  // The room writes while the person does: nothing is lost.
  await value.fill("1");
  one.send("win");
  await one.next();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("The room has changed this value").waitFor();
  one.send("score");
  print("the room still sees", await one.next());
  await page.getByRole("button", { name: "Load the new value" }).click();
  await page.waitForFunction(() => document.querySelector("textarea").value === "43");
  await value.fill("{ no JSON");
  await page.getByRole("button", { name: "Save" }).click();
  await problems(page).getByText("This is no JSON").waitFor();
  await page.getByRole("button", { name: "Dismiss" }).last().click();
  await table.getByRole("link", { name: "players" }).click();
  await page.locator("pre").getByText("Map(1) { 'ada' => { wins: 3n } }").waitFor();
  print("a Map as JSON", JSON.parse(await value.inputValue()));
  await table.getByRole("link", { name: "<img src=x>" }).click();
  await page.locator("h2").getByText("<img src=x>").waitFor();
  await table.getByRole("link", { name: "round" }).click();
  await page.getByText("can only be read").waitFor();
  // What is deleted is asked for first, and Escape is a no.
  const remove = page.getByRole("button", { name: "Delete …" });
  await remove.click();
  await page.getByRole("dialog", { name: "Delete round?" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  print("the focus is back", await remove.evaluate((button) => button === document.activeElement));
  await remove.click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await table.getByRole("link", { name: "round" }).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "New entry" }).click();
  await page.getByLabel("Key").fill("made here");
  await page.getByRole("dialog").getByLabel("Value as JSON").fill('{"$date":"2026-01-01T00:00:00Z"}');
  await page.getByRole("button", { name: "Write" }).click();
  await page.locator("pre").getByText("2026-01-01T00:00:00.000Z").waitFor();
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export" }).click();
  return (await saved).path();
}

// Into a room that does not exist yet.
async function importRoom(page, file) {
  await go(page, "Rooms");
  await page.getByRole("searchbox").fill("copy");
  await page.getByRole("link", { name: "Open main/copy" }).click();
  await page.getByText("This room does not exist yet").waitFor();
  await page.getByRole("link", { name: /^Storage/ }).click();
  await page.getByText("Nothing is stored").waitFor();
  await page.getByRole("button", { name: "Import" }).click();
  await page.getByRole("dialog").locator("input[type=file]").setInputFiles(file);
  await page.getByRole("dialog").getByRole("button", { name: "Import" }).click();
  const table = page.getByRole("table", { name: "Entries of the room's storage" });
  await table.getByRole("link", { name: "made here" }).waitFor();
  print("the copy has", await table.getByRole("rowheader").allTextContents());
}

async function schedule(page) {
  await go(page, "Schedule");
  await page.getByRole("button", { name: "Run now: cleanup" }).click();
  await done(page).getByText("The cron cleanup ran.").waitFor();
  await page.getByRole("row", { name: /^cleanup/ }).getByText("succeeded").waitFor();
  await page.getByRole("button", { name: "Run now: report" }).click();
  await problems(page).getByText("The cron report ran and failed").waitFor();
  await page.getByRole("button", { name: "Run now: the alarm of main/table-1" }).click();
}

async function log(page, one) {
  await go(page, "Log");
  const list = page.getByRole("log");
  await list.getByText("the alarm rang").waitFor();
  await list.getByText("cleaned up").waitFor();
  one.send("<b>bold</b>");
  await list.getByText("got <b>bold</b>").waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  one.send("while it pauses");
  await page.getByRole("button", { name: /^Resume \(\d+ new\)$/ }).waitFor();
  print("seen while it pauses", await list.getByText("while it pauses").count());
  await page.getByRole("button", { name: /^Resume/ }).click();
  await list.getByText("got while it pauses").waitFor();
  await page.getByLabel("Level").selectOption("warn");
  await list.getByText("cleaned up").waitFor({ state: "detached" });
  await list.getByText("The report has no recipients").waitFor();
  await page.getByLabel("Level").selectOption("");
  await list.getByText("cleaned up").waitFor();
  // More lines than a page keeps.
  one.send("flood");
  await list.getByText("line 2999").waitFor();
  print("lines that are kept", await list.getByRole("listitem").count());
  print("follows", await list.evaluate((list) => list.scrollHeight - list.scrollTop - list.clientHeight < 40));
}

// The process is killed, and its supervisor starts another.
async function restart(page) {
  const known = { headers: { authorization: `Bearer ${token}` } };
  const { pid } = await (await fetch(`http://${admin}/v1/server`, known)).json();
  process.kill(pid, "SIGKILL");
  await page.getByRole("log").getByText("The server was away.").waitFor();
  await page.context().setOffline(true);
  await page.getByText("The server does not answer.").waitFor();
  await page.context().setOffline(false);
  await page.getByText("The server does not answer.").waitFor({ state: "detached" });
}

// What a phone's page must not be: wider than its screen.
const fits = (page) => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);

// What axe-core finds: names that are missing, texts that are hard to read, roles and targets that are wrong.
async function violations(page) {
  const { violations } = await page.evaluate(`${axe}; axe.run(document)`);
  return violations.map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 120)}`);
}

async function looks(page) {
  const pages = ["", "rooms", "rooms/main/table-1", "rooms/main/table-1/storage?key=players", "schedule", "log", "server", "nothing"];
  const wrong = [];
  const views = [[1600, 1000, "light"], [1280, 800, "light"], [1280, 800, "dark"], [360, 740, "dark"]];
  for (const [width, height, colorScheme] of views) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height });
    for (const name of pages) {
      await page.goto(`http://${admin}/#/${name}`);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.getByText(/^Loading/).first().waitFor({ state: "detached" });
      const here = `${name || "overview"} ${width} ${colorScheme}`;
      if (!(await fits(page))) wrong.push(`${here}: too wide`);
      if (width === 1280) (await violations(page)).forEach((found) => wrong.push(`${here}: ${found}`));
      await picture(page, `dashboard-${name.replace(/\W+/g, "-") || "overview"}-${width}-${colorScheme}`);
    }
  }
  print("what looks wrong", wrong);
}

await inBrowser(async (open, errors) => {
  const [one, two] = [await connect("/party/table-1?_pk=one"), await connect("/party/table-1?_pk=two")];
  print("welcomed", [await one.next(), await two.next()]);
  const page = await open("about:blank");
  const foreign = [];
  let asked = 0;
  page.on("request", (request) => new URL(request.url()).host !== admin && request.url().startsWith("http") && foreign.push(request.url()));
  page.on("request", (request) => (asked += request.url().includes("/v1/history") ? 1 : 0));
  // A refused script, style or text as HTML is an error of the console.
  page.on("console", (line) => line.type() === "error" && !/Failed to load resource/.test(line.text()) && errors.push(line.text()));
  await page.goto(`http://${admin}/#token=nonsense`);
  await signIn(page);
  await findRoom(page);
  await sockets(page, one, two);
  const file = await storage(page, one);
  await importRoom(page, file);
  await schedule(page);
  await log(page, one);
  print("elements that were texts", await page.locator("main img, main b").count());
  await looks(page);
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.goto(`http://${admin}/#/log`);
  await page.getByRole("log").waitFor();
  await restart(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Token").waitFor();
  // The address that `dev` prints: nothing is typed.
  await page.goto(`http://${admin}/#token=${token}`);
  await heading(page, "Overview").waitFor();
  print("the token of an address stays there", await page.evaluate((token) => location.href.includes(token), token));
  // Once for each time that the charts are shown, and then every ten seconds.
  print("the history was asked far too often", asked > 50);
  print("requests to others", foreign);
  print("problems", errors);
  [one, two].forEach((socket) => socket.end());
});

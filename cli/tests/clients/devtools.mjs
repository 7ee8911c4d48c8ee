// Chromium's own DevTools on a room: what the room prints, the link beside it, and the file that the link opens; a stack
// whose lines open, too; and the room under its name in the console.
// usage: devtools.mjs SERVER DEBUGGER
import { createRequire } from "node:module";

const require = createRequire(`${process.env.PACKAGES}/`);
const { chromium } = require("playwright-core");
const WebSocket = require("ws");
const [server, debuggerAt] = process.argv.slice(2);

const party = new WebSocket(`ws://${server}/party/abc`);
await new Promise((resolve, reject) => party.once("open", resolve).once("error", reject));
const list = await (await fetch(`http://${debuggerAt}/json/list`)).json();
const room = list.find(({ title }) => title === "main/abc");

const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  await page.goto(`${room.devtoolsFrontendUrl}&panel=console`);
  const console_ = page.locator(".console-view");
  await console_.waitFor();
  party.send("ab");
  const line = console_.locator(".console-message-wrapper", { hasText: "got abab" });
  await line.waitFor();
  await line.locator(".devtools-link", { hasText: "server.ts:11" }).waitFor();
  console.log("printed at server.ts:11");

  const type = async (text) => {
    await console_.locator(".cm-content").click();
    await page.keyboard.insertText(text);
    await page.keyboard.press("Escape");
    await page.keyboard.press("Enter");
  };
  await type("$room.id + ' is ' + ($server.room === $room)");
  await console_.locator(".console-user-command-result", { hasText: "abc is true" }).waitFor();
  console.log("the room answers");

  await type("$server.fail()");
  const failed = console_.locator(".console-error-level", { hasText: "Error: failed" }).last();
  await failed.waitFor();
  const text = await failed.textContent();
  console.log("frames of ours", text.includes("ext:"));
  const frame = failed.locator(".devtools-link", { hasText: "server.ts:" }).first();
  console.log("thrown at", (await frame.textContent()).split("/").at(-1));
  await frame.click();
  await page.locator(".sources .tabbed-pane-header-tab", { hasText: "server.ts" }).first().waitFor();
  await page.locator(".sources .cm-line", { hasText: "throw new Error('failed');" }).first().waitFor();
  console.log("opened");
} finally {
  await browser.close();
  party.close();
}

// A page with a script, a large file and two sockets, opened by a browser over TLS: which protocols it used, and what the
// sockets heard.
// usage: browsers.mjs ADDRESS chromium|firefox
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(`${process.env.PACKAGES}/`);
const [address, name] = process.argv.slice(2);
const url = `https://${address}/`;

async function chromium() {
  const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
  const browser = await require("playwright-core").chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();
    await page.goto(url);
    return await page.evaluate("chat()");
  } finally {
    await browser.close();
  }
}

// Firefox as Debian has it speaks WebDriver BiDi by itself.
async function firefox() {
  const profile = mkdtempSync(join(tmpdir(), "firefox-"));
  const executable = process.env.FIREFOX || "/usr/bin/firefox-esr";
  const args = ["--headless", "--no-remote", "--remote-debugging-port", "0", "--profile", profile];
  const browser = spawn(executable, args, { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, HOME: profile } });
  const ended = new Promise((resolve) => browser.once("exit", resolve));
  try {
    let said = "";
    const endpoint = await new Promise((resolve, reject) => {
      browser.stderr.setEncoding("utf8").on("data", (text) => {
        said += text;
        const found = /WebDriver BiDi listening on (ws:\/\/\S+)/.exec(said);
        if (found) resolve(found[1]);
      });
      browser.once("error", reject);
      ended.then(() => reject(new Error(`Firefox has ended: ${said}`)));
    });
    const bidi = await connect(`${endpoint}/session`);
    await bidi("session.new", { capabilities: { alwaysMatch: { acceptInsecureCerts: true } } });
    const { context } = await bidi("browsingContext.create", { type: "tab" });
    await bidi("browsingContext.navigate", { context, url, wait: "complete" });
    const { result } = await bidi("script.evaluate", {
      expression: "chat()",
      target: { context },
      awaitPromise: true,
    });
    return result.value;
  } finally {
    browser.kill();
    await ended;
    rmSync(profile, { recursive: true, force: true });
  }
}

async function connect(endpoint) {
  const socket = new (require("ws"))(endpoint);
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  const waiting = new Map();
  socket.on("message", (text) => {
    const { id, result, message } = JSON.parse(text);
    const { resolve, reject } = waiting.get(id) ?? {};
    if (message) reject?.(new Error(message));
    else resolve?.(result);
  });
  let last = 0;
  return (method, params) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject });
      socket.send(JSON.stringify({ id: last, method, params }));
    });
}

console.log(await { chromium, firefox }[name]());
process.exit(0);

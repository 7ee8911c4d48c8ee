// Chromium for tests. Where there is none, the test is skipped or fails: see skip.mjs.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { skip } from "./skip.mjs";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const flags = [
  "no-sandbox",
  "disable-gpu",
  "disable-quic",
  "no-first-run",
  "disable-background-networking",
  "disable-component-update",
  "disable-sync",
];

// Calls `visit` with a function that opens a URL as another user does, with a profile that goes with the browser, and with the
// list to which errors of all tabs are added.
export async function inBrowser(visit) {
  if (!existsSync(executablePath)) return skip(`there is no ${executablePath}: install Debian's chromium`);
  const args = flags.map((flag) => `--${flag}`);
  const browser = await chromium.launch({ executablePath, headless: true, args });
  const problems = [];
  const open = async (url) => {
    const page = await browser.newPage();
    page.on("pageerror", (error) => problems.push(error.message));
    await page.goto(url);
    return page;
  };
  try {
    await visit(open, problems);
  } finally {
    await browser.close();
  }
}

// Keeps a picture of the tab for who wants to look at it: in the folder that SCREENSHOT names.
export async function picture(page, name) {
  if (process.env.SCREENSHOT) await page.screenshot({ path: join(process.env.SCREENSHOT, `${name}.png`) });
}

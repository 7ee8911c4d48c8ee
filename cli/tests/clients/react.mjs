// Two tabs of a real browser on the project that `init --template react` writes: a click in one is seen in both, and an edit
// of the client reloads both. Without Chromium it prints the name of the missing program, and ends well.
// usage: react.mjs SERVER CLIENT_SOURCE
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { chromium } = createRequire(`${process.env.PACKAGES}/`)("playwright-core");
const [, , server, source] = process.argv;
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
if (!existsSync(executablePath)) {
  console.log(`skipped: there is no ${executablePath}`);
  process.exit(0);
}

const profile = mkdtempSync(join(tmpdir(), "partyrun-chromium-"));
const quiet = ["no-first-run", "disable-background-networking", "disable-component-update", "disable-sync"];
const browser = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", ...quiet.map((flag) => `--${flag}`)],
});
try {
  const [one, two] = [await browser.newPage(), await browser.newPage()];
  const problems = [];
  for (const page of [one, two]) {
    page.on("pageerror", (error) => problems.push(error.message));
    await page.goto(`http://${server}/`);
    await page.getByText("Everybody has clicked 0 times").waitFor();
  }
  await one.getByRole("button").click();
  await two.getByText("Everybody has clicked 1 times").waitFor();
  await two.getByRole("button").click();
  await one.getByText("Everybody has clicked 2 times").waitFor();
  console.log("both saw both clicks");
  writeFileSync(source, readFileSync(source, "utf8").replace("Everybody has", "All have"));
  for (const page of [one, two]) await page.getByText("All have clicked 2 times").waitFor();
  console.log("an edit reloaded both");
  if (process.env.SCREENSHOT) await one.screenshot({ path: process.env.SCREENSHOT });
  console.log(`problems ${JSON.stringify(problems)}`);
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}

// Tabs of a real browser on the chat that `init --template react` writes, in two rooms. Prints what it saw, a line each;
// without Chromium its only line says so.
// usage: react.mjs SERVER SOURCE_OF_A_ROOM
import { readFileSync, writeFileSync } from "node:fs";

import { inBrowser, picture } from "../../../tests/clients/browser.mjs";

const [, , server, source] = process.argv;
const message = (page, text) => page.getByRole("main").getByText(text, { exact: true });
const field = (page) => page.getByPlaceholder("Write a message");

async function say(page, text) {
  await field(page).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

async function rename(page, name) {
  await page.getByLabel("Your name").fill(name);
  await page.getByLabel("Your name").press("Enter");
}

await inBrowser(async (open, problems) => {
  const [ada, grace] = [await open(`http://${server}/`), await open(`http://${server}/lobby`)];
  await message(ada, "Nobody has said anything yet.").waitFor();
  await rename(ada, "Ada");
  await rename(grace, "Grace");
  for (const page of [ada, grace]) await page.getByText("Ada, Grace", { exact: true }).waitFor();
  console.log("each sees who is there");

  await say(ada, "Good morning!");
  await message(grace, "Good morning!").waitFor();
  await say(grace, "<b>Hello</b>");
  await message(ada, "<b>Hello</b>").waitFor();
  const own = async (page) => page.locator("li.own p.text").allTextContents();
  console.log(`own ${JSON.stringify([await own(ada), await own(grace)])}`);

  // A room that only its address names.
  const other = await open(`http://${server}/tea%20room`);
  await message(other, "Nobody has said anything yet.").waitFor();
  await say(other, "Only here.");
  await message(other, "Only here.").waitFor();
  console.log(`title ${await other.title()}`);
  await other.getByRole("link", { name: "lobby" }).click();
  await message(other, "Good morning!").waitFor();
  console.log(`rooms apart ${await message(other, "Only here.").count()} at ${new URL(other.url()).pathname}`);
  await other.goBack();
  await message(other, "Only here.").waitFor();
  await other.close();
  await ada.getByText("Ada, Grace", { exact: true }).waitFor();
  await picture(ada, "react");

  writeFileSync(source, readFileSync(source, "utf8").replace("Write a message", "Write something"));
  for (const page of [ada, grace]) {
    await page.getByPlaceholder("Write something").waitFor();
    await message(page, "Good morning!").waitFor();
  }
  console.log("an edit reloaded both, and the history came back");

  const good = readFileSync(source, "utf8");
  const problem = (page) => page.locator("#partyrun-problem");
  writeFileSync(source, `${good}\nexport const = 1;`);
  for (const page of [ada, grace]) await problem(page).waitFor();
  console.log(`a broken build is shown ${(await problem(ada).textContent()).includes("room.tsx")}`);
  writeFileSync(source, good);
  for (const page of [ada, grace]) await problem(page).waitFor({ state: "detached" });
  await message(ada, "Good morning!").waitFor();
  console.log("and taken back");
  console.log(`problems ${JSON.stringify(problems)}`);
});

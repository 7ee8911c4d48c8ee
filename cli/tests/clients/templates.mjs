// Tabs of a real browser on what `init` writes, as two people would use it. Prints what it saw, a line each; without Chromium
// its only line says so. SCREENSHOT names a folder for pictures, light and dark, of a phone and a desktop.
// usage: templates.mjs SERVER TEMPLATE
import { readFileSync } from "node:fs";

import { inBrowser, picture } from "../../../tests/clients/browser.mjs";

const [, , server, template] = process.argv;
const print = (what, value) => console.log(what, JSON.stringify(value));

const visits = {
  async chat(ada, grace) {
    await rename(ada, "Ada");
    await rename(grace, "Grace");
    await say(ada, "Good morning!");
    await said(grace, "Good morning!").waitFor();
    await say(grace, "<b>Hello</b>");
    await said(ada, "<b>Hello</b>").waitFor();
    print("own", [await own(ada), await own(grace)]);
    print("names", await ada.locator("li b").allTextContents());
    await grace.reload();
    await said(grace, "Good morning!").waitFor();
    console.log("the history came back");
  },

  async typescript(ada, grace) {
    await ada.getByText("Somebody joined.").waitFor();
    await grace.getByRole("button", { name: "Wave" }).click();
    await ada.getByText("Somebody waves.").waitFor();
    print("own", await own(grace));
  },

  async ai(ada, grace) {
    await rename(ada, "Ada");
    await rename(grace, "Grace");
    await say(ada, "Where is the tea?");
    // While the answer is written, the button ends it: for whoever is in the room.
    await grace.getByRole("button", { name: "Stop" }).waitFor();
    const answer = (page) => page.locator("li:not(.own) p").last();
    await answer(grace).getByText("Where is the tea?").waitFor();
    await grace.getByRole("button", { name: "Send" }).waitFor();
    const whole = await answer(ada).textContent();
    print("both see the same", whole === (await answer(grace).textContent()));
    print("own", [await own(ada), await own(grace)]);
    await say(grace, "And the milk?");
    await ada.getByRole("button", { name: "Stop" }).click();
    await ada.getByRole("button", { name: "Send" }).waitFor();
    await ada.reload();
    await said(ada, "And the milk?").waitFor();
    print("the history came back", await ada.getByText(whole, { exact: true }).count());
    print("a stopped answer is shorter", (await answer(ada).textContent()).length < whole.length);
  },

  // The same with an endpoint that is configured.
  async endpoint(ada) {
    await say(ada, "Where is the tea?");
    await said(ada, "In the kitchen.").waitFor();
    print("the model", await ada.getByRole("status").textContent());
    await say(ada, "Are you sure?");
    await ada.locator("p.failed").waitFor();
    print("a failure is shown", await ada.locator("p.failed").textContent());
  },

  async game(ada, grace, visit) {
    await rename(ada, "Ada");
    await rename(grace, "Grace");
    await grace.getByText("No games yet.").waitFor();
    await ada.getByRole("button", { name: "New game" }).click();
    await ada.getByText("Waiting for a second player").waitFor();
    await grace.getByRole("link", { name: "Join Ada" }).click();
    await ada.getByText("It is your turn.").waitFor();
    await grace.getByText("It is Ada's turn.").waitFor();
    const third = await visit("in the lobby");
    await third.getByRole("link", { name: "Watch Ada and Grace" }).click();
    await ada.getByText("1 person watches.").waitFor();
    const column = (page, number) => page.getByRole("button", { name: new RegExp(`^Column ${number}:`) });
    for (const number of [1, 2, 3]) {
      await column(ada, number).click();
      await column(grace, number).click();
    }
    print("who watches cannot play", await column(third, 4).isDisabled());
    // A reload keeps the seat.
    await ada.reload();
    await column(ada, 4).click();
    for (const [page, text] of [[ada, "You have won."], [grace, "Ada has won."], [third, "Ada has won."]]) {
      await page.getByText(text).waitFor();
    }
    print("the line", await third.locator(".won").count());
    print("a column is told in words", await column(grace, 1).getAttribute("aria-label"));
    await third.close();
    await ada.getByRole("button", { name: "Play again" }).click();
    await grace.getByText("It is your turn.").waitFor();
    await column(grace, 4).click();
    await ada.getByText("It is your turn.").waitFor();
  },

  async editor(ada, grace) {
    await rename(ada, "Ada");
    await rename(grace, "Grace");
    const text = (page) => page.getByRole("textbox", { name: "Text of welcome" });
    const people = (page) => page.getByRole("list", { name: "Who is here" });
    await people(ada).getByText("Grace", { exact: true }).waitFor();
    print("people", await people(grace).locator("li").allTextContents());
    await text(ada).click();
    await ada.keyboard.type("Tea\nMilk");
    await text(grace).getByText("Milk").waitFor();
    await ada.locator(".cm-ySelectionInfo").waitFor({ state: "detached" });
    await text(grace).click();
    await grace.keyboard.press("Control+Home");
    await grace.keyboard.type("Buy:\n");
    await text(ada).getByText("Buy:").waitFor();
    print("the other's cursor", await ada.locator(".cm-ySelectionInfo").textContent());
    await grace.keyboard.press("Control+z");
    await text(ada).getByText("Buy:").waitFor({ state: "detached" });
    const saved = ada.waitForEvent("download");
    await ada.getByRole("button", { name: "Save as a file" }).click();
    const file = await saved;
    print(`undo takes back one's own: ${file.suggestedFilename()}`, readFileSync(await file.path(), "utf8"));
    await grace.reload();
    await text(grace).getByText("Milk").waitFor();
    console.log("the text came back");
  },
};
visits.javascript = visits.typescript;

const state = { game: "in the lobby", editor: "in welcome" }[template] ?? "in lobby";
const said = (page, text) => page.locator("li p").getByText(text, { exact: true });
const own = (page) => page.locator("li.own p").allTextContents();

async function say(page, text) {
  await page.getByLabel("Message").fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

async function rename(page, name) {
  await page.getByLabel("You are").fill(name);
  await page.getByLabel("You are").press("Enter");
}

// What a page of a phone must not do: be wider than its screen.
async function fits(page) {
  await page.setViewportSize({ width: 360, height: 640 });
  return page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
}

// What a screen reader would not name.
const nameless = (page) =>
  page.evaluate(() => {
    const named = (part) => part.labels?.length || part.ariaLabel || part.textContent.trim();
    return [...document.querySelectorAll("input, button, a, ul, [role=textbox]")].filter((part) => !named(part)).length;
  });

// Letters that are hard to read: less than 4.5 : 1 between the colours that the style sheets name.
const faint = (page) =>
  page.evaluate(() => {
    const style = getComputedStyle(document.documentElement);
    const light = (name) => {
      const parts = style.getPropertyValue(name).trim().slice(1).match(/../g).map((hex) => parseInt(hex, 16) / 255);
      const [red, green, blue] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
    };
    const pairs = ["--ink --paper", "--ink --page", "--ink --own", "--quiet --paper", "--accent --paper"];
    const ratio = ([first, second]) => Math.max(first, second) / Math.min(first, second);
    return pairs.filter((pair) => ratio(pair.split(" ").map(light)) < 4.5);
  });

await inBrowser(async (open, problems) => {
  const missing = [];
  const visit = async (text = state) => {
    const page = await open("about:blank");
    page.on("response", (response) => response.status() >= 400 && missing.push(response.url()));
    page.on("console", (line) => line.type() === "error" && problems.push(line.text()));
    await page.goto(`http://${server}/`);
    await page.getByText(text).waitFor();
    return page;
  };
  const [ada, grace] = [await visit(), await visit()];
  await visits[template](ada, grace, visit);
  for (const colorScheme of ["light", "dark"]) {
    await ada.emulateMedia({ colorScheme });
    await ada.setViewportSize({ width: 1280, height: 800 });
    await picture(ada, `${template}-desktop-${colorScheme}`);
    print(`fits a phone, ${colorScheme}`, await fits(ada));
    await picture(ada, `${template}-phone-${colorScheme}`);
    print("faint", await faint(ada));
  }
  print("without a name", await nameless(ada));
  print("problems", [...problems, ...missing]);
});

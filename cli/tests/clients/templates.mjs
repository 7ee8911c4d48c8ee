// Two tabs of a real browser on what `init` writes without a client build. Prints what it saw, a line each; without Chromium
// its only line says so.
// usage: templates.mjs SERVER TEMPLATE
import { inBrowser, picture } from "../../../tests/clients/browser.mjs";

const [, , server, template] = process.argv;

const visits = {
  async chat(ada, grace) {
    await rename(ada, "Ada");
    await rename(grace, "Grace");
    await say(ada, "Good morning!");
    await said(grace, "Good morning!").waitFor();
    await say(grace, "<b>Hello</b>");
    await said(ada, "<b>Hello</b>").waitFor();
    const own = async (page) => page.locator("li.own p").allTextContents();
    console.log(`own ${JSON.stringify([await own(ada), await own(grace)])}`);
    console.log(`names ${JSON.stringify(await ada.locator("li b").allTextContents())}`);
    await grace.reload();
    await said(grace, "Good morning!").waitFor();
    console.log("the history came back");
  },
  async typescript(ada, grace) {
    await ada.getByText("Somebody joined.").waitFor();
    await grace.getByRole("button", { name: "Wave" }).click();
    await ada.getByText("Somebody waves.").waitFor();
    console.log(`own ${JSON.stringify(await grace.locator("li.own p").allTextContents())}`);
  },
};
visits.javascript = visits.typescript;

const said = (page, text) => page.locator("li p").getByText(text, { exact: true });

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

await inBrowser(async (open, problems) => {
  const missing = [];
  const visit = async () => {
    const page = await open("about:blank");
    page.on("response", (response) => response.status() >= 400 && missing.push(response.url()));
    page.on("console", (line) => line.type() === "error" && problems.push(line.text()));
    await page.goto(`http://${server}/`);
    await page.getByText("in lobby").waitFor();
    return page;
  };
  const [ada, grace] = [await visit(), await visit()];
  await visits[template](ada, grace);
  await picture(ada);
  console.log(`fits a phone ${await fits(grace)}`);
  console.log(`problems ${JSON.stringify([...problems, ...missing])}`);
});

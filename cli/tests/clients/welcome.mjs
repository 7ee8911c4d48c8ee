// A real browser at `/` of a project without static files. Prints what it saw, a line each; without Chromium its only line says so.
// usage: welcome.mjs SERVER
import { inBrowser, picture } from "../../../tests/clients/browser.mjs";

const [, , server] = process.argv;

await inBrowser(async (open, problems) => {
  const page = await open(`http://${server}/`);
  console.log(await page.getByRole("heading", { level: 1 }).textContent());
  await page.getByLabel("Message").fill("hi");
  await page.getByRole("button", { name: "Connect and send" }).click();
  await page.getByText("< echo hi").waitFor();
  const again = await open(`http://${server}/`);
  const cells = await again.locator("table tr").nth(1).locator("td").allTextContents();
  console.log(`room ${JSON.stringify(cells)}`);
  await picture(page, "welcome");
  console.log(`problems ${JSON.stringify(problems)}`);
});

// Runs the original in a project, asks it for some paths, and stops it: what it stored is left behind.
// usage: original.mjs PROJECT PORT PATH...
import { spawn } from "node:child_process";

const [project, port, ...paths] = process.argv.slice(2);
const program = `${process.env.PACKAGES}/partykit/dist/bin.mjs`;
const args = [program, "dev", "--port", port, "--no-hotkeys", "--disable-request-cf-fetch"];
const child = spawn("node", args, { cwd: project, stdio: ["ignore", "pipe", "pipe"], detached: true });
let output = "";
const ready = new Promise((resolve, reject) => {
  const take = (data) => {
    output += data;
    if (output.includes("Ready on")) resolve();
  };
  child.stdout.on("data", take);
  child.stderr.on("data", take);
  child.once("exit", () => reject(new Error(`it ended:\n${output}`)));
});
try {
  await ready;
  for (const path of paths) {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`);
    console.log(path, answer.status, await answer.text());
  }
} finally {
  child.removeAllListeners("exit");
  const gone = new Promise((resolve) => child.once("exit", resolve));
  process.kill(-child.pid, "SIGTERM");
  await gone;
}
process.exit(0);

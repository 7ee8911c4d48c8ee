// What the tests in Node.js share: the bundler as a child process that answers jobs, and esbuild's options for the same
// result as the original gets from it.
import { spawn } from "node:child_process";
import { builtinModules } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";

/** Starts `examples/jobs.rs`; `run` sends one job and gives its answer. */
export function jobs() {
  const target = process.env.CARGO_TARGET_DIR ?? path.join(import.meta.dirname, "../../../target");
  const program = process.env.PARTYRUN_JOBS ?? path.join(target, "release/examples/jobs");
  const child = spawn(program, { stdio: ["pipe", "pipe", "inherit"] });
  const waiting = [];
  createInterface({ input: child.stdout }).on("line", (line) => waiting.shift()?.resolve(JSON.parse(line)));
  child.on("close", (code, signal) => waiting.forEach(({ reject }) => reject(new Error(`the bundler ended: ${code ?? signal}`))));
  return {
    child,
    run: (job) =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        child.stdin.write(JSON.stringify(job) + "\n");
      }),
    end: () => child.stdin.end(),
  };
}

/** Built-in modules stay imports, as ours leaves them to the host; the rest is what spec 6.1 says. */
export const esbuildOptions = {
  bundle: true,
  format: "esm",
  target: "esnext",
  conditions: ["partykit", "workerd", "worker"],
  external: [...builtinModules.flatMap((name) => [name, "node:" + name]), "cloudflare:*"],
  logLevel: "silent",
};

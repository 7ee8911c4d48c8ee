#!/usr/bin/env node
// Runs the program beside this file with the same arguments, terminal and signals, and ends as it ends.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("partyrun", import.meta.url));
const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
// A terminal signals the whole group; what only this process gets is handed on.
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
process.on("SIGINT", () => {});
child.on("error", (error) => {
  console.error(`partyrun cannot be started: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code));

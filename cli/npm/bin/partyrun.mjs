#!/usr/bin/env node
// Runs the program of this platform's package with the same arguments, terminal and signals, and ends as it ends.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { constants } from "node:os";

const platform = `${process.platform}-${process.arch}`;
const supported = ["linux-x64"];

function find() {
  try {
    return createRequire(import.meta.url).resolve(`@partyrun/${platform}/bin/partyrun`);
  } catch {
    return null;
  }
}

// Why there is no program, and what to do.
function reason() {
  if (!supported.includes(platform)) {
    return `partyrun has no program for ${platform}: there is one for ${supported.join(", ")}. Build it from its sources, or use a container.`;
  }
  return `The package @partyrun/${platform} is missing. Install again, without --omit=optional or --no-optional.`;
}

// The program needs the GNU C library. Others, as that of Alpine, report none.
function oldLibrary() {
  if (process.platform !== "linux") return null;
  const version = process.report.getReport().header.glibcVersionRuntime;
  if (version === undefined) return "partyrun needs the GNU C library (Debian, Ubuntu, Fedora); this system has another one.";
  const [major, minor] = version.split(".").map(Number);
  const isOld = major < 2 || (major === 2 && minor < 35);
  return isOld ? `partyrun needs version 2.35 of the GNU C library or newer; this system has ${version}.` : null;
}

const program = find();
const problem = program === null ? reason() : oldLibrary();
if (problem !== null) {
  console.error(problem);
  process.exit(1);
}
const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
// A terminal signals the whole group; what only this process gets is handed on.
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
process.on("SIGINT", () => {});
child.on("error", (error) => {
  console.error(`partyrun cannot be started: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code));

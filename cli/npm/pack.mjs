// Makes the npm packages as npm publishes them: `partyrun`, with the types and the schema, and `@partyrun/PLATFORM` with the
// built program, which the first brings where it fits.
// usage: node cli/npm/pack.mjs [--binary target/release/partyrun] [--out target/npm]
// Prints the paths of the tarballs last, the platform's first. To publish: `npm publish --access public` of each, in that order.
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");
const { values } = parseArgs({ options: { binary: { type: "string" }, out: { type: "string" } } });
const binary = resolve(values.binary ?? join(root, "target/release/partyrun"));
const out = resolve(values.out ?? join(root, "target/npm"));
const run = (program, ...args) => execFileSync(program, args, { encoding: "utf8" });
const version = run(binary, "--version").trim().split(" ").pop();
const platform = `${process.platform}-${process.arch}`;

// A folder that is made anew.
function fresh(name) {
  const folder = join(out, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, "bin"), { recursive: true });
  for (const name of ["LICENSE", "THIRD-PARTY"]) copyFileSync(join(root, name), join(folder, name));
  return folder;
}

function pack(folder, manifest) {
  writeFileSync(join(folder, "package.json"), `${JSON.stringify({ ...manifest, version }, null, 2)}\n`);
  const packed = execFileSync("npm", ["pack", "--json", "--pack-destination", out], { cwd: folder, encoding: "utf8" });
  return join(out, JSON.parse(packed)[0].filename);
}

const read = (name) => JSON.parse(readFileSync(join(here, name), "utf8"));

function packPlatform() {
  const folder = fresh("platform");
  const program = join(folder, "bin/partyrun");
  copyFileSync(binary, program);
  chmodSync(program, 0o755);
  try {
    execFileSync("strip", [program], { stdio: "ignore" });
  } catch {
    // Without the tool the package is larger, and as good.
  }
  const manifest = { ...read("platform.json"), name: `@partyrun/${platform}`, os: [process.platform], cpu: [process.arch] };
  // npm puts no package of a glibc program on a system with another C library.
  return pack(folder, process.platform === "linux" ? { ...manifest, libc: ["glibc"] } : manifest);
}

function packMain() {
  const folder = fresh("package");
  cpSync(join(here, "bin"), join(folder, "bin"), { recursive: true });
  for (const name of ["README.md", "server.d.ts", "server.js", "test.d.ts", "test.js"]) copyFileSync(join(here, name), join(folder, name));
  writeFileSync(join(folder, "schema.json"), run(binary, "schema"));
  return pack(folder, { ...read("package.json"), optionalDependencies: { [`@partyrun/${platform}`]: version } });
}

const tarballs = [packPlatform(), packMain()];
tarballs.forEach((tarball) => console.log(tarball));

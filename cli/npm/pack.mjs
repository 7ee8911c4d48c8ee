// Makes the npm package: the folder as npm publishes it, with the built program inside, packed as a tarball.
// usage: node cli/npm/pack.mjs [--binary target/release/partyrun] [--out target/npm]
// Prints the path of the tarball last.
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
const folder = join(out, "package");

const version = execFileSync(binary, ["--version"], { encoding: "utf8" }).trim().split(" ").pop();
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
cpSync(join(here, "bin"), join(folder, "bin"), { recursive: true });
copyFileSync(join(here, "README.md"), join(folder, "README.md"));
for (const name of ["LICENSE", "THIRD-PARTY"]) copyFileSync(join(root, name), join(folder, name));
copyFileSync(binary, join(folder, "bin/partyrun"));
chmodSync(join(folder, "bin/partyrun"), 0o755);
try {
  execFileSync("strip", [join(folder, "bin/partyrun")], { stdio: "ignore" });
} catch {
  // Without the tool the package is larger, and as good.
}
const manifest = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const made = { ...manifest, version, os: [process.platform], cpu: [process.arch] };
writeFileSync(join(folder, "package.json"), `${JSON.stringify(made, null, 2)}\n`);
const packed = execFileSync("npm", ["pack", "--json", "--pack-destination", out], { cwd: folder, encoding: "utf8" });
console.log(join(out, JSON.parse(packed)[0].filename));

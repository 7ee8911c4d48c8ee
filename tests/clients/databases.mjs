// PostgreSQL and Redis for tests: servers of their own, on free ports of this machine, with a folder that goes with them.
// They come with Debian's packages `postgresql` and `redis-server`.
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

// Debian keeps PostgreSQL's programs away from the path, one folder for each version.
const debian = "/usr/lib/postgresql";
const versions = existsSync(debian) ? readdirSync(debian).map((version) => join(debian, version, "bin")) : [];
const folders = [...process.env.PATH.split(delimiter), ...versions];
const find = (name) => folders.map((folder) => join(folder, name)).find(existsSync);

// PostgreSQL refuses to run as root.
const nobody = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {};

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

const answers = (port) =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => (socket.destroy(), resolve(true)));
    socket.on("error", () => resolve(false));
  });

const kinds = {
  postgres: {
    programs: ["initdb", "postgres"],
    package: "postgresql",
    start([initdb, postgres], folder, port) {
      const data = join(folder, "data");
      execFileSync(initdb, ["--auth", "trust", "--username", "postgres", "--no-sync", data], { ...nobody, cwd: folder });
      return [postgres, ["-D", data, "-k", folder, "-h", "127.0.0.1", "-p", String(port), "-F"]];
    },
  },
  redis: {
    programs: ["redis-server"],
    package: "redis-server",
    start: ([redis], folder, port) => [redis, ["--bind", "127.0.0.1", "--port", String(port), "--save", "", "--dir", folder]],
  },
};

/**
 * Starts a server of the kind `postgres` or `redis`, calls `use` with its port once it takes connections, and stops it.
 * Where its programs are not installed, `missing` is called with what is missing instead.
 */
export async function withDatabase(name, use, missing) {
  const kind = kinds[name];
  const programs = kind.programs.map(find);
  if (programs.includes(undefined)) return missing(`there is no ${name}: install Debian's ${kind.package}`);
  const folder = mkdtempSync(join(tmpdir(), `partyrun-${name}-`));
  chmodSync(folder, 0o700);
  if (nobody.uid) chownSync(folder, nobody.uid, nobody.gid);
  const port = await freePort();
  const [program, args] = kind.start(programs, folder, port);
  const output = [];
  const server = spawn(program, args, { ...nobody, cwd: folder });
  for (const stream of [server.stdout, server.stderr]) stream.on("data", (data) => output.push(data));
  const ended = new Promise((resolve) => server.once("exit", resolve));
  try {
    while (!(await answers(port))) {
      if (server.exitCode !== null) throw new Error(`${name} ended: ${Buffer.concat(output)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await use(port);
  } finally {
    // SIGINT is PostgreSQL's fast shutdown: it does not wait for its clients.
    server.kill("SIGINT");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
}

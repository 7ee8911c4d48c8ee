// `node:os`: a room sees one processor and no host, so that it learns nothing about the machine.
"use strict";

(function () {
const { core } = __bootstrap;
const { os: constants } = core.loadExtScript("ext:deno_node/internal_binding/constants.ts");

const { performance: clock } = core.loadExtScript("ext:deno_web/15_performance.js");

const os = {
  arch: () => "x64",
  availableParallelism: () => 1,
  constants,
  cpus: () => [{ model: "", speed: 0, times: { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 } }],
  devNull: "/dev/null",
  endianness: () => "LE",
  EOL: "\n",
  freemem: () => 0,
  getPriority: () => 0,
  homedir: () => "/",
  hostname: () => "localhost",
  loadavg: () => [0, 0, 0],
  machine: () => "x86_64",
  networkInterfaces: () => ({}),
  platform: () => "linux",
  release: () => "",
  setPriority() {},
  tmpdir: () => "/tmp",
  totalmem: () => 0,
  type: () => "Linux",
  uptime: () => clock.now() / 1000,
  userInfo: () => ({ uid: 1000, gid: 1000, username: "partyrun", homedir: "/", shell: null }),
  version: () => "",
};
return os;
})();

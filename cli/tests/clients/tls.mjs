// Looks at a secured server as clients do. `names ADDRESS NAME...` prints for each name that is asked for the names, issuer and
// serial number of the certificate that is shown; `resume ADDRESS` whether a second connection goes on with the
// session of the first; `held ADDRESS` keeps a socket until a message comes, and prints that; `slow
// ADDRESS` reads nothing until the server has sent much, and then all of it.
import https from "node:https";
import { createRequire } from "node:module";
import tls from "node:tls";

const WebSocket = createRequire(`${process.env.PACKAGES}/`)("ws");
const [, , what, address, ...rest] = process.argv;
const [, host, port] = /^(.*):(\d+)$/.exec(address);

const connect = (options) =>
  new Promise((resolve, reject) => {
    const socket = tls.connect({ host, port, rejectUnauthorized: false, ...options });
    // It may come with the handshake, or later.
    socket.session = new Promise((came) => socket.once("session", came));
    socket.on("secureConnect", () => resolve(socket)).on("error", reject);
  });

if (what === "names") {
  for (const servername of rest) {
    try {
      const socket = await connect({ servername });
      const { subjectaltname, issuer, serialNumber } = socket.getPeerCertificate();
      console.log(`${servername} ${subjectaltname} by ${issuer.CN} ${serialNumber}`);
      socket.destroy();
    } catch (error) {
      console.log(`${servername} ${error.code}`);
    }
  }
}

if (what === "resume") {
  for (const version of ["TLSv1.2", "TLSv1.3"]) {
    const options = { servername: "a.test", minVersion: version, maxVersion: version };
    const first = await connect(options);
    first.write("GET /party/a HTTP/1.1\r\nhost: a.test\r\n\r\n");
    const session = await first.session;
    first.destroy();
    const second = await connect({ ...options, session });
    console.log(`${version} ${second.isSessionReused()}`);
    second.destroy();
  }
}

if (what === "held") {
  const socket = new WebSocket(`wss://${address}/party/held`, { rejectUnauthorized: false });
  socket.on("message", (message) => {
    console.log(`heard ${message}`);
    socket.close();
  });
  socket.on("close", (code) => console.log(`closed ${code}`));
  socket.on("error", (error) => console.log(`error ${error.message}`));
}

if (what === "slow") {
  const socket = new WebSocket(`wss://${address}/party/slow`, { rejectUnauthorized: false });
  let length = 0;
  socket.on("open", () => {
    socket._socket.pause();
    socket.send("more");
    // The room answers when it has sent everything.
    https.get(`https://${address}/party/slow`, { rejectUnauthorized: false }, (answer) => {
      answer.resume().on("end", () => socket._socket.resume());
    });
  });
  socket.on("message", (message) => {
    length += message.length;
    if (message.toString() === "go") socket.close();
  });
  socket.on("close", () => console.log(`read ${length}`));
}

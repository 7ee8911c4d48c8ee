#!/usr/bin/env bash
# workerd 1.20240718.0 (inside npm partykit 0.0.115): a Response made with `encodeBody: "manual"` says that its body is packed
# already, and is sent as it is. Its `clone()` forgets that: the clone's body is packed a second time, so that a client which
# unpacks once reads gzip bytes where it expects the text. Seen: "text" for the response, a body that begins with 1f 8b for its clone.
# Needs: node and npm. Installs into a temporary folder. Fails if the two answers are alike.
set -euo pipefail
folder=$(mktemp -d)
# A process group of its own, so that partykit's children end with it.
set -m
trap 'kill -- -$(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund partykit@0.0.115 >/dev/null
cat > server.js <<'JS'
export default class {
  async onRequest(request) {
    const packed = new Blob(["text"]).stream().pipeThrough(new CompressionStream("gzip"));
    const body = await new Response(packed).arrayBuffer();
    const response = new Response(body, { headers: { "content-encoding": "gzip" }, encodeBody: "manual" });
    return new URL(request.url).searchParams.has("clone") ? response.clone() : response;
  }
}
JS
port=$(node -e 'const s=require("net").createServer().listen(0,()=>{console.log(s.address().port);s.close()})')
npx partykit dev server.js --port "$port" --no-hotkeys --disable-request-cf-fetch >log 2>&1 &
for _ in $(seq 200); do curl -fs "http://127.0.0.1:$port/party/a" -o /dev/null && break; sleep 0.2; done
read_once() { curl -s -H 'accept-encoding: gzip' "http://127.0.0.1:$port/party/a$1" | gzip -dc | head -c 4 | od -An -tx1 | tr -d ' '; }
plain=$(read_once "")
cloned=$(read_once "?clone")
echo "the response: $plain, its clone: $cloned"
[ "$plain" = 74657874 ] && [ "${cloned:0:4}" = 1f8b ]
echo "as described: clone() forgets encodeBody"

// The project's static files from inside a room or static handler: `room.context.assets` and `lobby.assets` (spec 1.7).
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { Error, StringPrototypeStartsWith } = primordials;
const { NO_RESOURCE } = core.loadExtScript("ext:partyrun/01_wire.js");
const { incomingResponse } = core.loadExtScript("ext:partyrun/30_http.js");

// `assets.fetch(path)`: a Response, or null where there is no such file.
function createAssets(room) {
  return {
    async fetch(path) {
      if (typeof path !== "string" || !StringPrototypeStartsWith(path, "/")) {
        throw new Error("Path must start with /");
      }
      const reply = await core.ops.op_assets_fetch(room.number, path);
      if (reply === null) return null;
      const body = reply.bytes ?? (reply.resource === NO_RESOURCE ? undefined : reply.resource);
      return incomingResponse(reply.status, reply.reason, reply.headers, body, path);
    },
  };
}

return { createAssets };
})();

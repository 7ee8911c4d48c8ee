// Stands where deno_fetch expects the TLS helpers of Deno's own net extension: client certificates are not offered.
"use strict";

(function () {
const { TypeError } = __bootstrap.primordials;

return {
  loadTlsKeyPair() {
    throw new TypeError("Client certificates are not available in partyrun");
  },
};
})();

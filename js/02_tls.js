// Replaces the TLS helpers of Deno's own net extension, which deno_fetch loads. There are no client certificates.
"use strict";

(function () {
const { TypeError } = __bootstrap.primordials;

return {
  loadTlsKeyPair() {
    throw new TypeError("Client certificates are not available in partyrun");
  },
};
})();

// `request.cf` without a network: the placeholder that the original's development server uses when it is offline (spec 2.13).
// The host may give a project's own values as JSON, which replace single fields.
"use strict";

(function () {
const { primordials } = __bootstrap;
const { JSONParse } = primordials;

function placeholder() {
  return {
    asOrganization: "",
    asn: 395747,
    colo: "DFW",
    city: "Austin",
    region: "Texas",
    regionCode: "TX",
    metroCode: "635",
    postalCode: "78701",
    country: "US",
    continent: "NA",
    timezone: "America/Chicago",
    latitude: "30.27130",
    longitude: "-97.74260",
    clientTcpRtt: 0,
    httpProtocol: "HTTP/1.1",
    requestPriority: "weight=192;exclusive=0",
    tlsCipher: "AEAD-AES128-GCM-SHA256",
    tlsVersion: "TLSv1.3",
    tlsClientAuth: {
      certIssuerDNLegacy: "",
      certIssuerDN: "",
      certSubjectDNLegacy: "",
      certSubjectDN: "",
      certVerified: "NONE",
      certRevoked: "0",
      certPresented: "0",
    },
    edgeRequestKeepAliveStatus: 0,
    clientTrustScore: 99,
    botManagement: {
      corporateProxy: false,
      verifiedBot: false,
      ja3Hash: "",
      staticResource: false,
      detectionIds: {},
      score: 99,
    },
  };
}

let overrides = "{}";

const makeCf = () => ({ ...placeholder(), ...JSONParse(overrides) });

// undefined for a request that came through a stub: it has no `cf` (spec 2.9). Otherwise made when it is read.
function cfOf(external) {
  return external ? makeCf : undefined;
}

return {
  cfOf,
  setOverrides(json) {
    overrides = json;
  },
};
})();

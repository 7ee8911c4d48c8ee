// The limits that scripts hold user code to, by their names in runtime/limits. The host tells them when the isolate starts.
"use strict";

(function () {
const { primordials } = __bootstrap;
const { ObjectAssign } = primordials;

const limits = { __proto__: null };

return {
  limits,
  setLimits(inForce) {
    ObjectAssign(limits, inForce);
  },
};
})();

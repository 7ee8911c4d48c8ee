// The limits that scripts check, by their names in runtime/limits. The host hands them over when the isolate starts.
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

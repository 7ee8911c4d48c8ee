// Captures the fast-call versions of the ops. Only a script that is loaded after an isolate has started sees them, so this one is
// never part of the snapshot (design, section 3, "Hot ops").
"use strict";

(function () {
return __bootstrap.core.ops;
})();

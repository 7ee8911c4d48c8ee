// Loaded when an isolate starts, never part of the snapshot: only a script that is loaded late sees the fast-call
// versions of the ops (design, section 3, "Hot ops").
"use strict";

(function () {
return __bootstrap.core.ops;
})();

// What a room's context and a lobby share: `ai`, `vectorize` and `bindings`, under the names that the configuration gives them
// (spec 2.14). `resources` is `{ kv, r2, vectorize, ai }`: what each name is bound to, and the options of `ai`.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ObjectKeys } = primordials;
const { KvNamespace } = core.loadExtScript("ext:partyrun/55_kv.js");
const { R2Bucket } = core.loadExtScript("ext:partyrun/56_r2.js");
const { VectorizeIndex } = core.loadExtScript("ext:partyrun/57_vectorize.js");

function each(room, bound, Kind) {
  const made = {};
  const names = ObjectKeys(bound);
  for (let i = 0; i < names.length; i++) made[names[i]] = new Kind({ room, name: bound[names[i]] });
  return made;
}

function createResources(room, { kv = {}, r2 = {}, vectorize = {}, ai = undefined }) {
  return {
    vectorize: each(room, vectorize, VectorizeIndex),
    ai: ai ?? undefined,
    bindings: { r2: each(room, r2, R2Bucket), kv: each(room, kv, KvNamespace) },
  };
}

return { createResources };
})();

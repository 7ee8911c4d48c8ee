import { produce, enablePatches, produceWithPatches, applyPatches, enableMapSet, Draft, original, isDraft } from "immer";
import * as all from "immer";
enablePatches();
enableMapSet();
const base = { a: [1, { b: 2 }], m: new Map([["k", 1]]) };
const [next, patches, inverse] = produceWithPatches(base, (d: Draft<typeof base>) => {
  d.a.push(3);
  d.m.set("z", 2);
  console.log(isDraft(d), original(d) === base);
});
console.log(
  JSON.stringify(next.a),
  [...next.m].join(),
  JSON.stringify(patches),
  JSON.stringify(inverse),
  applyPatches(next, inverse).a.length,
  Object.isFrozen(next),
  Object.keys(all).sort().join(),
);
export default produce({ x: 1 }, (d) => {
  d.x++;
});

import { applyPatch, compare, observe, generate, validate, getValueByPointer, JsonPatchError } from "fast-json-patch";
import * as jsonpatch from "fast-json-patch";
import fallback from "fast-json-patch";
const doc: any = { a: 1, list: [1, 2] };
const watcher = observe(doc);
doc.a = 2;
doc.list.push(3);
console.log(
  JSON.stringify(generate(watcher)),
  JSON.stringify(compare({ x: 1 }, { y: [1] })),
  JSON.stringify(applyPatch({ q: [1] }, [{ op: "add", path: "/q/-", value: 2 }]).newDocument),
);
console.log(
  validate([{ op: "remove", path: "/none" }], {})?.name,
  getValueByPointer({ a: { b: 5 } }, "/a/b"),
  Object.keys(jsonpatch).sort().join(),
  typeof fallback.applyPatch,
  JsonPatchError.name,
);
export { jsonpatch };

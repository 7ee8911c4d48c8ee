import * as Y from "yjs";
const a = new Y.Doc(),
  b = new Y.Doc();
a.clientID = 1;
b.clientID = 2;
a.getMap("m").set("k", new Y.Array());
a.getMap("m")
  .get("k")
  .push([1, "two", { three: 3 }]);
Y.applyUpdate(b, Y.encodeStateAsUpdate(a));
b.getText("t").insert(0, "hello");
b.getText("t").format(0, 2, { bold: true });
const undo = new Y.UndoManager(b.getText("t"));
b.getText("t").delete(0, 2);
undo.undo();
Y.applyUpdate(a, Y.encodeStateAsUpdate(b, Y.encodeStateVector(a)));
console.log(JSON.stringify(a.toJSON()), JSON.stringify(a.getText("t").toDelta()), Array.from(Y.encodeStateAsUpdate(a)).slice(0, 20).join());
export const keys = Object.keys(Y).sort().join();
console.log(keys);

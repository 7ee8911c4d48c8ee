import { onConnect, unstable_getYDoc } from "y-partykit";
import YProvider from "y-partykit/provider";
import * as Y from "yjs";
const doc = new Y.Doc();
doc.getText("t").insert(0, "shared");
console.log(
  typeof onConnect,
  onConnect.length,
  typeof unstable_getYDoc,
  YProvider.name,
  Object.getOwnPropertyNames(YProvider.prototype).join(),
);
console.log(doc.getText("t").toString(), Y.encodeStateAsUpdate(doc).length > 5);
export { onConnect, YProvider };

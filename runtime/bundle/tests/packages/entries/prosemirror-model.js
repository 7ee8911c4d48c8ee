import { Schema, Node, Slice, DOMParser } from "prosemirror-model";
export const schema = new Schema({
  nodes: { doc: { content: "block+" }, paragraph: { group: "block", content: "text*" }, text: {} },
  marks: { strong: {} },
});
const doc = Node.fromJSON(schema, {
  type: "doc",
  content: [{ type: "paragraph", content: [{ type: "text", text: "hello", marks: [{ type: "strong" }] }] }],
});
console.log(
  doc.toString(),
  doc.resolve(3).parentOffset,
  doc.slice(1, 4).toString(),
  doc.eq(doc.copy(doc.content)),
  Slice.empty.size,
  typeof DOMParser,
);
try {
  schema.node("doc").check();
} catch (error) {
  console.log(error.name, error.message);
}

import superjson, { serialize, deserialize, registerCustom } from "superjson";
class Point {
  constructor(x) {
    this.x = x;
  }
}
superjson.registerClass(Point);
registerCustom({ isApplicable: (v) => v instanceof URL, serialize: (v) => v.href, deserialize: (v) => new URL(v) }, "url");
const text = superjson.stringify({
  d: new Date(0),
  m: new Map([[1, new Set([2n])]]),
  p: new Point(3),
  r: /x/g,
  u: undefined,
  l: new URL("https://a.test/"),
});
const back = superjson.parse(text);
console.log(text, back.d instanceof Date, back.m.get(1).has(2n), back.p instanceof Point, back.l.href);
export { serialize, deserialize };

import _, { debounce, groupBy } from "lodash";
import get from "lodash/get";
import fp from "lodash/fp";
console.log(
  _.VERSION,
  JSON.stringify(groupBy([1, 2, 3], (n) => n % 2)),
  get({ a: [{ b: 1 }] }, "a[0].b"),
  _.chain([3, 1])
    .sortBy()
    .map((n) => n * 2)
    .value()
    .join(),
  fp.flow(
    fp.map((n) => n + 1),
    fp.join("-"),
  )([1, 2]),
);
console.log(
  _.template("hi <%= name %>")({ name: "x" }),
  _.isEqual({ a: [1] }, { a: [1] }),
  typeof debounce,
  _.camelCase("foo bar"),
  Object.keys(_).length,
);
export default _.merge({}, { a: { b: 1 } }, { a: { c: 2 } });

import * as vector from "@graph-ts/vector2";
console.log(Object.keys(vector).sort().join());
const { add, multiply, length } = vector as any;
console.log(
  JSON.stringify(add?.({ x: 1, y: 2 }, { x: 3, y: 4 })),
  length?.({ x: 3, y: 4 }),
  JSON.stringify(multiply?.({ x: 1, y: 2 }, { x: 2, y: 2 })),
);
export { vector };

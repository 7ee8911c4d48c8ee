import { create, all, evaluate, matrix, unit } from "mathjs";
const math = create(all, { number: "BigNumber", precision: 20 });
console.log(
  evaluate("sqrt(3^2 + 4^2) + 2 i").toString(),
  math.evaluate("1/3").toString(),
  matrix([
    [1, 2],
    [3, 4],
  ]).toString(),
  unit("5 cm").to("inch").toString(),
  math.simplify("2x + x").toString(),
  math.derivative("x^3", "x").toString(),
);
export { math };

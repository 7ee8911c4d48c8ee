import invariant from "tiny-invariant";
export function check(value: unknown): asserts value {
  invariant(value, () => "must be there");
}
try {
  check(0);
} catch (error) {
  console.log(error.message);
}
invariant(true);
console.log(typeof invariant);

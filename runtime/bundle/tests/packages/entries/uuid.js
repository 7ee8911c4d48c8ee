import { v1, v3, v4, v5, v6, v7, validate, version, NIL, parse, stringify } from "uuid";
console.log(
  v5("party", v5.URL),
  v3("party", v3.DNS),
  validate(v4()),
  version(v7()),
  version(v6()),
  version(v1()),
  NIL,
  stringify(parse(v5("x", NIL))),
);
export const id = v4({ random: new Uint8Array(16).fill(7) });
console.log(id);

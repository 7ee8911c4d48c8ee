import Ajv from "ajv";
import Ajv2020, { ValidationError } from "ajv/dist/2020";
const ajv = new Ajv({ allErrors: true });
const check = ajv.compile({
  type: "object",
  properties: { n: { type: "integer", minimum: 3 }, s: { type: "string", pattern: "^a" } },
  required: ["n"],
  additionalProperties: false,
});
console.log(
  check({ n: 4, s: "ab" }),
  check({ s: "b", x: 1 }),
  ajv.errorsText(check.errors),
  new Ajv2020().validate({ prefixItems: [{ const: 1 }] }, [2]),
  ValidationError.name,
);
export default Ajv;

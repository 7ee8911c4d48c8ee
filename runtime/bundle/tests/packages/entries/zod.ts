import { z } from "zod";
import * as all from "zod";
export const schema = z.object({ id: z.string().min(2), tags: z.array(z.enum(["a", "b"])).default([]), when: z.coerce.date().optional() });
export type Shape = z.infer<typeof schema>;
console.log(JSON.stringify(schema.parse({ id: "ok" })), JSON.stringify(schema.safeParse({ id: "x", tags: ["c"] }).error?.issues));
console.log(z.union([z.literal(1), z.bigint()]).safeParse(5n).success, Object.keys(all).length, z === all.z);
try {
  z.email().parse("no");
} catch (error) {
  console.log(error.constructor.name, error.message);
}
export default schema.safeParse({}).success;

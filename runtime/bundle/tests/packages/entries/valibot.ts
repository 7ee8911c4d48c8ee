import * as v from "valibot";
const Login = v.pipe(
  v.object({ email: v.pipe(v.string(), v.email()), age: v.optional(v.number(), 7) }),
  v.transform((o) => ({ ...o, ok: true })),
);
console.log(
  JSON.stringify(v.parse(Login, { email: "a@b.co" })),
  JSON.stringify(v.safeParse(Login, { email: 1 }).issues?.map((i) => i.message)),
);
console.log(v.is(v.variant("t", [v.object({ t: v.literal("a") })]), { t: "a" }));
export { Login };

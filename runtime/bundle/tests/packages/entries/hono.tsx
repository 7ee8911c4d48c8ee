/** @jsx jsx */
/** @jsxFrag Fragment */
import { Hono } from "hono";
import { cors } from "hono/cors";
import { jsx, Fragment } from "hono/jsx";
import { HTTPException } from "hono/http-exception";
import { getCookie, setCookie } from "hono/cookie";
import { validator } from "hono/validator";
export const app = new Hono()
  .use("*", cors())
  .get("/u/:id{[0-9]+}", (c) => {
    setCookie(c, "k", "v");
    return c.json({ id: c.req.param("id"), cookie: getCookie(c, "x") ?? null });
  })
  .get("/page", (c) =>
    c.html(
      <>
        <b class="x">{"<hi>"}</b>
      </>,
    ),
  )
  .post(
    "/v",
    validator("json", (v) => v),
    (c) => c.json(c.req.valid("json")),
  )
  .get("/no", () => {
    throw new HTTPException(418, { message: "tea" });
  });
for (const request of [
  ["/u/12", { headers: { cookie: "x=1" } }],
  ["/page"],
  ["/no"],
  ["/none"],
  ["/v", { method: "POST", body: '{"a":1}', headers: { "content-type": "application/json" } }],
] as const) {
  const response = await app.request(...(request as [string]));
  console.log(response.status, await response.text(), [...response.headers].join(";"));
}
export default app;

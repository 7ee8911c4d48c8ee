import { connect, Client, cast, format, DatabaseError } from "@planetscale/database";
const connection = connect({
  host: "db.test",
  username: "u",
  password: "p",
  fetch: async (url, init) => {
    console.log(url, init.body);
    return new Response(
      JSON.stringify({
        session: "s",
        result: { fields: [{ name: "n", type: "INT32" }], rows: [{ lengths: ["1"], values: "Nw==" }] },
        timing: 0,
      }),
    );
  },
});
console.log(
  JSON.stringify((await connection.execute("select ? as n", [7])).rows),
  format("a = ? and :b", ["x'"]),
  cast({ type: "FLOAT64" }, "1.5"),
  DatabaseError.name,
);
export { Client };

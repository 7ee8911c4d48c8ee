import pg, { Client } from "pg";
import Pool from "pg-pool";
import { parse } from "pg-connection-string";
const client = new Client({ connectionString: "postgres://u:p@127.0.0.1:1/db" });
console.log(
  client.host,
  client.port,
  client.user,
  JSON.stringify(parse("postgres://a@b/c?x=1")),
  pg.types.getTypeParser(20)("7"),
  pg.escapeLiteral("a'b"),
  typeof Pool,
  pg.defaults.port,
);
await client.connect().catch((error) => console.log(typeof error.message));
export { Client };

import { neon, Pool, Client, neonConfig, NeonDbError, types } from "@neondatabase/serverless";
neonConfig.fetchFunction = async (url, init) => {
  console.log(String(url), init.body);
  return new Response(JSON.stringify({ fields: [{ name: "n", dataTypeID: 23 }], rows: [["5"]], command: "SELECT", rowCount: 1 }));
};
const sql = neon("postgresql://u:p@ep-x.test/db");
console.log(JSON.stringify(await sql`select ${5} as n`), NeonDbError.name, Pool.name, types.getTypeParser(16)("t"));
export const client = new Client("postgresql://u:p@ep-x.test/db");
console.log(client.host, client.user, typeof client.connect);

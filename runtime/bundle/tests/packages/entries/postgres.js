import postgres from "postgres";
const sql = postgres("postgres://u:p@127.0.0.1:1/db", { max: 1, connect_timeout: 1, ssl: false });
console.log(
  typeof sql,
  JSON.stringify(sql.options.host),
  sql.options.user,
  typeof sql.begin,
  postgres.toCamel("a_b"),
  postgres.fromPascal("AbC"),
);
export const BigInt64 = postgres.BigInt;
console.log(BigInt64.to, BigInt64.parse("12") === 12n, await sql`select 1`.catch((error) => typeof error.message));
await sql.end({ timeout: 0 });

import { PostgresJsAdapter, NodePostgresAdapter, NeonHTTPAdapter } from "@lucia-auth/adapter-postgresql";
const row = { id: "s1", user_id: "u1", expires_at: new Date(0), id_: 1 };
const sql: any = Object.assign((name: any) => name, {
  unsafe: async (text: string, args: unknown[]) => {
    console.log(text.replace(/\s+/g, " "), JSON.stringify(args));
    return [row];
  },
});
const adapter = new PostgresJsAdapter(sql, { user: "auth_user", session: "user_session" });
console.log(
  Object.getOwnPropertyNames(Object.getPrototypeOf(Object.getPrototypeOf(adapter)))
    .sort()
    .join(),
  NodePostgresAdapter.name,
  NeonHTTPAdapter.name,
);
await adapter.deleteSession("s1");
await adapter.getUserSessions("u1").then(
  (list) => console.log(JSON.stringify(list)),
  (error) => console.log(error.message),
);
export { adapter };

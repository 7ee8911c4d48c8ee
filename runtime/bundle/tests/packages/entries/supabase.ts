import { createClient, FunctionsHttpError, REALTIME_LISTEN_TYPES } from "@supabase/supabase-js";
const seen: string[] = [];
const client = createClient("https://example.test", "key", {
  auth: { persistSession: false, autoRefreshToken: false },
  global: {
    fetch: async (url) => {
      seen.push(String(url));
      return new Response("[]", { headers: { "content-type": "application/json" } });
    },
  },
});
const { data, error } = await client.from("rows").select("id, name").eq("id", 3).order("name").limit(2);
console.log(JSON.stringify(data), error, seen.join());
console.log(
  FunctionsHttpError.name,
  JSON.stringify(REALTIME_LISTEN_TYPES),
  client.storage.from("b").getPublicUrl("a/b.png").data.publicUrl,
);
export { client as default };

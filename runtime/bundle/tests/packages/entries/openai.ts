import OpenAI, { toFile, APIError, RateLimitError } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
const fetch = async (url: string, init: RequestInit) => {
  console.log(url, init.method, init.body);
  return new Response(JSON.stringify({ error: { message: "slow down" } }), {
    status: 429,
    headers: { "content-type": "application/json" },
  });
};
const client = new OpenAI({ apiKey: "k", fetch: fetch as never, maxRetries: 0, dangerouslyAllowBrowser: true });
try {
  await client.chat.completions.create({ model: "m", messages: [{ role: "user", content: "hi" }] });
} catch (error) {
  console.log(error instanceof RateLimitError, error instanceof APIError, error.status, error.message);
}
console.log(JSON.stringify(zodResponseFormat(z.object({ a: z.string() }), "answer")), (await toFile(new Blob(["x"]), "f.txt")).name);
export default Object.getOwnPropertyNames(OpenAI).sort();

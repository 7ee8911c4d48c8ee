import { generateText, streamText, tool, jsonSchema, convertToModelMessages, cosineSimilarity, APICallError } from "ai";
import { z } from "zod";
const model = {
  specificationVersion: "v3",
  provider: "p",
  modelId: "m",
  supportedUrls: {},
  doGenerate: async () => ({
    content: [{ type: "text", text: "hello" }],
    finishReason: { unified: "stop", raw: "stop" },
    usage: { inputTokens: { total: 1 }, outputTokens: { total: 2 } },
    warnings: [],
  }),
} as never;
const result = await generateText({ model, prompt: "x" });
console.log(result.text, cosineSimilarity([1, 0], [1, 0]), typeof streamText, APICallError.name);
export const weather = tool({ description: "d", inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => city });
console.log(
  JSON.stringify(jsonSchema({ type: "string" }).jsonSchema),
  JSON.stringify(await convertToModelMessages([{ role: "user", parts: [{ type: "text", text: "t" }] }])),
);

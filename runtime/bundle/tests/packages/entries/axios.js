import axios, { AxiosError, isAxiosError } from "axios";
export const client = axios.create({
  baseURL: "https://a.test/",
  adapter: async (config) => ({
    data: { url: config.url, h: String(config.headers) },
    status: config.url === "bad" ? 500 : 200,
    statusText: "",
    headers: {},
    config,
  }),
  params: { q: [1, 2] },
});
client.interceptors.response.use((r) => ({ ...r, seen: true }));
const response = await client.get("x");
console.log(JSON.stringify(response.data), response.seen, axios.getUri({ url: "/p", params: { a: [1], b: { c: 1 } } }), axios.VERSION);
console.log(AxiosError.name, isAxiosError(new AxiosError("m")), new axios.Cancel("c").message, axios.CanceledError.name);
export default axios;

import jwt from "@tsndr/cloudflare-worker-jwt";
export const token = await jwt.sign({ sub: "u", iat: 1 }, "secret");
console.log(token, JSON.stringify(jwt.decode(token)), JSON.stringify(await jwt.verify(token, "secret")), await jwt.verify(token, "other"));

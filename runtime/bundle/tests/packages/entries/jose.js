import * as jose from "jose";
const secret = new TextEncoder().encode("a secret of thirty-two bytes or more");
const jwt = await new jose.SignJWT({ room: "r" }).setProtectedHeader({ alg: "HS256" }).setIssuedAt(1).setIssuer("i").sign(secret);
const { payload } = await jose.jwtVerify(jwt, secret, { issuer: "i" });
console.log(jwt, JSON.stringify(payload), JSON.stringify(jose.decodeProtectedHeader(jwt)));
await jose
  .jwtVerify(jwt, secret, { issuer: "other" })
  .catch((error) => console.log(error.name, error.code, error instanceof jose.errors.JOSEError));
export const keys = Object.keys(jose).sort();
console.log(keys.join());

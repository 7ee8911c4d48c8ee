import { createClerkClient, verifyToken } from "@clerk/backend";
import { decodeJwt, hasValidSignature } from "@clerk/backend/jwt";
const clerk = createClerkClient({ secretKey: "sk_test_x", publishableKey: "pk_test_Y2xlcmsuZXhhbXBsZS50ZXN0JA" });
console.log(Object.keys(clerk).sort().join(), typeof decodeJwt, typeof hasValidSignature);
try {
  await verifyToken("no", { secretKey: "sk_test_x" });
} catch (error) {
  console.log(error.name, error.reason, error.message);
}
const state = await clerk.authenticateRequest(new Request("https://a.test/"));
console.log(state.status, state.reason);
export { clerk };

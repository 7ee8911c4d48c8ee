import { lucia, LuciaError } from "lucia";
import { web } from "lucia/middleware";
import { generateRandomString, isWithinExpiration, serializeCookie } from "lucia/utils";
const store = new Map();
const adapter: any = () => ({
  getUser: async (id: string) => store.get(id) ?? null,
  setUser: async (user: any) => {
    store.set(user.id, user);
  },
  setKey: async () => {},
  deleteUser: async () => {},
  updateUser: async () => {},
  getSession: async () => null,
  getSessionsByUserId: async () => [],
  setSession: async () => {},
  updateSession: async () => {},
  deleteSession: async () => {},
  deleteSessionsByUserId: async () => {},
  getKey: async () => null,
  getKeysByUserId: async () => [],
  updateKey: async () => {},
  deleteKey: async () => {},
  deleteKeysByUserId: async () => {},
});
export const auth = lucia({ adapter, env: "DEV", middleware: web() });
console.log(
  JSON.stringify(await auth.createUser({ userId: "u1", key: null, attributes: {} as never })),
  generateRandomString(9).length,
  isWithinExpiration(0),
  serializeCookie("a", "b", { path: "/" }),
);
await auth.getSession("none").catch((error) => console.log(error instanceof LuciaError, error.message));

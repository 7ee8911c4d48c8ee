import { nanoid, customAlphabet, customRandom, urlAlphabet } from "nanoid";
import { nanoid as insecure } from "nanoid/non-secure";
console.log(nanoid().length, nanoid(5).length, customAlphabet("a", 4)(), urlAlphabet, insecure(8).length);
export const fixed = customRandom("ab", 6, (n) => new Uint8Array(n).map((_, i) => i))();
console.log(fixed);

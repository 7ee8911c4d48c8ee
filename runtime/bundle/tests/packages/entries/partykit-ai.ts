import * as ai from "partykit-ai";
import { Ai } from "partykit-ai";
console.log(Object.keys(ai).sort().join(), typeof Ai);
export { Ai };

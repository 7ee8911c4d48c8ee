import { getEncoding, getEncodingNameForModel } from "js-tiktoken";
import { Tiktoken } from "js-tiktoken/lite";
const encoding = getEncoding("gpt2");
console.log(encoding.encode("hello party world").join(), encoding.decode([31373]), getEncodingNameForModel("gpt-4"), typeof Tiktoken);
export { Tiktoken };

import random from "@scaleway/random-name";
const name = random();
console.log(typeof name, /^[a-z0-9-]+$/.test(name), name.split("-").length >= 2, random("srv").startsWith("srv-"));
export default random;

// Calls everything that a room has: each global class with its methods and getters, and each function of Node's modules, with a few
// kinds of arguments. What comes back matters little, that it comes back at all much; the answer is one line for each name, with the
// sort of each result, and must be the same in every room.

const noop = () => {};
const ARGUMENTS = [[], ["x"], [1, 2], [new Uint8Array([1, 2, 3])], [{}], ["x", { name: "x" }, noop], [noop]];
// They would print, stop the room, run on for ever, or ask the network for what the answer depends on.
const LEFT_ALONE = /^(console|reportError|setInterval|setImmediate|exit|reallyExit|abort|kill|gc|emitWarning|_|debuglog|debug|log|lookup|resolve|isIP)/;
// Whose results differ from call to call.
const UNSTEADY = /random|time|now|performance|memory|hrtime|cpu|uptime|generate|prime|inspect|observer|pid/i;

function sortOf(value) {
  if (value === null) return "null";
  if (typeof value !== "object") return typeof value;
  if (typeof value.then === "function") {
    value.then(noop, noop);
    return "promise";
  }
  return Object.prototype.toString.call(value).slice(8, -1);
}

function attempt(call) {
  try {
    return sortOf(call());
  } catch (error) {
    return error?.name ?? "thrown";
  }
}

// What a value can do, with and without `new`; then its methods and getters, if it is a class.
function sweep(path, value, seen) {
  if (LEFT_ALONE.test(path.slice(path.lastIndexOf(".") + 1))) return;
  if (typeof value !== "function") {
    seen.push(`${path} ${sortOf(value)}`);
    return;
  }
  const sorts = [];
  for (const args of ARGUMENTS) {
    sorts.push(attempt(() => value(...args)));
    sorts.push(attempt(() => use(new value(...args))));
  }
  seen.push(UNSTEADY.test(path) ? path : `${path} ${sorts.join(" ")}`);
}

// Reads the getters of an object and calls its methods without arguments.
function use(made) {
  for (let prototype = made; prototype && prototype !== Object.prototype; prototype = Object.getPrototypeOf(prototype)) {
    for (const name of Object.getOwnPropertyNames(prototype)) {
      if (name === "constructor" || LEFT_ALONE.test(name)) continue;
      attempt(() => typeof made[name] === "function" ? made[name]() : made[name]);
    }
  }
  return made;
}

export function globals(part, parts) {
  const seen = [];
  const names = Object.getOwnPropertyNames(globalThis).filter((name) => /^[A-Za-z]/.test(name)).sort();
  names.forEach((name, number) => {
    if (number % parts === part && !["Atomics", "globalThis", "self", "global", "Function", "eval"].includes(name)) {
      sweep(name, globalThis[name], seen);
    }
  });
  return seen;
}

export function modules(all, part, parts) {
  const seen = [];
  Object.entries(all).forEach(([name, module], number) => {
    if (number % parts !== part) return;
    for (const key of Reflect.ownKeys(module).map(String).sort()) sweep(`${name}.${key}`, module[key], seen);
  });
  return seen;
}

// Shows stored values and makes new ones: the program of the one room of runtime/admin/src/values.rs. It takes questions in
// JSON: { show: [keys], whole } or { make: value, key }. What JSON has no form for is an object with one key that begins with `$`.
() => (host) => {
  const LINE_CHARS_MAX = 200;
  const TEXT_CHARS_MAX = 1 << 20;
  const DEPTH_MAX = 1000;
  // What reads the answers takes JSON of 128 levels, theirs included.
  const JSON_DEPTH_MAX = 120;
  const { inspect } = host.builtin("node:util");
  const { Buffer } = host.builtin("node:buffer");

  const VIEWS = { Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array,
    Float64Array, BigInt64Array, BigUint64Array, DataView };
  const ERRORS = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

  const plain = (value) => {
    const prototype = Object.getPrototypeOf(value);
    return prototype === Object.prototype || prototype === null;
  };

  function kind(value) {
    if (value === null) return "null";
    if (typeof value !== "object") return typeof value;
    if (Array.isArray(value)) return "Array";
    return plain(value) ? "Object" : (value.constructor?.name ?? "Object");
  }

  // A value as JSON. `seen.lossy` says that it cannot be made from that again.
  function json(value, seen, above = []) {
    const within = (inner) => json(inner, seen, [...above, value]);
    switch (typeof value) {
      case "undefined": return { $undefined: true };
      case "bigint": return { $bigint: `${value}` };
      case "number": return Number.isFinite(value) && !Object.is(value, -0) ? value : { $number: inspect(value) };
      case "object": break;
      default: return value;
    }
    if (value === null) return null;
    if (above.includes(value) || above.length > DEPTH_MAX) {
      seen.lossy = true;
      return { $circular: true };
    }
    if (Array.isArray(value)) {
      if (Object.keys(value).length !== value.length) seen.lossy = true;
      return Array.from(value, within);
    }
    if (value instanceof Date) return { $date: Number.isNaN(value.getTime()) ? null : value.toISOString() };
    if (value instanceof Map) return { $map: Array.from(value, ([key, inner]) => [within(key), within(inner)]) };
    if (value instanceof Set) return { $set: Array.from(value, within) };
    if (value instanceof RegExp) return { $regexp: [value.source, value.flags] };
    if (value instanceof Error) {
      if (!(value.name in ERRORS) || value.cause !== undefined) seen.lossy = true;
      return { $error: { name: value.name, message: value.message, stack: value.stack } };
    }
    if (value instanceof ArrayBuffer) return { $bytes: Buffer.from(value).toString("base64"), of: "ArrayBuffer" };
    if (ArrayBuffer.isView(value)) {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      return { $bytes: bytes.toString("base64"), of: value.constructor.name };
    }
    if (!plain(value)) {
      seen.lossy = true;
      return { $text: inspect(value, { depth: Infinity }) };
    }
    const keys = Object.keys(value);
    if (keys.some((key) => key.startsWith("$"))) return { $object: keys.map((key) => [key, within(value[key])]) };
    return Object.fromEntries(keys.map((key) => [key, within(value[key])]));
  }

  const levels = (made) =>
    made === null || typeof made !== "object" ? 0 : 1 + Object.values(made).reduce((most, inner) => Math.max(most, levels(inner)), 0);

  function bytes(text, of) {
    const { buffer } = Uint8Array.from(Buffer.from(text, "base64"));
    if (of === "ArrayBuffer" || of === undefined) return buffer;
    if (!Object.hasOwn(VIEWS, of)) throw new TypeError(`\`of\` is the name of a typed array, not ${JSON.stringify(of)}.`);
    return new VIEWS[of](buffer);
  }

  const SPECIAL = {
    $undefined: () => undefined,
    $bigint: (text) => BigInt(text),
    $number: (text) => Number(text),
    $date: (text) => new Date(text === null ? NaN : text),
    $map: (entries) => new Map(entries.map(([key, value]) => [made(key), made(value)])),
    $set: (values) => new Set(values.map(made)),
    $regexp: ([source, flags]) => new RegExp(source, flags),
    $error: ({ name, message, stack }) => {
      const error = new (Object.hasOwn(ERRORS, name) ? ERRORS[name] : Error)(message);
      if (stack !== undefined) error.stack = stack;
      return error;
    },
    $object: (entries) => Object.fromEntries(entries.map(([key, value]) => [key, made(value)])),
  };

  // The value that JSON stands for.
  function made(value) {
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map(made);
    const keys = Object.keys(value);
    const special = keys.find((key) => key.startsWith("$"));
    if (special === undefined) return Object.fromEntries(keys.map((key) => [key, made(value[key])]));
    if (special === "$bytes") return bytes(value.$bytes, value.of);
    if (keys.length === 1 && Object.hasOwn(SPECIAL, special)) return SPECIAL[special](value[special]);
    throw new TypeError(`An object with the key \`${special}\` stands for no value. Write its entries as { "$object": [[key, value]] }.`);
  }

  function line(value) {
    const text = inspect(value, { depth: 4, breakLength: Infinity, compact: true, maxStringLength: 2 * LINE_CHARS_MAX });
    return text.length > LINE_CHARS_MAX ? `${text.slice(0, LINE_CHARS_MAX)} ...` : text;
  }

  function all(value) {
    const text = typeof value === "string" ? value : inspect(value, { depth: Infinity, maxArrayLength: null, maxStringLength: null });
    return text.length > TEXT_CHARS_MAX ? `${text.slice(0, TEXT_CHARS_MAX)} ...` : text;
  }

  async function show(storage, key, whole) {
    try {
      const value = await storage.get(key);
      if (!whole) return { type: kind(value), text: line(value) };
      const shown = { type: kind(value), text: all(value), writable: false };
      try {
        const seen = { lossy: false };
        const made = json(value, seen);
        if (levels(made) <= JSON_DEPTH_MAX) {
          shown.value = made;
          shown.writable = !seen.lossy;
        }
      } catch {
        // Too deep for JSON: there is the text.
      }
      return shown;
    } catch (error) {
      return { failed: `${error?.message ?? error}` };
    }
  }

  class Values {
    constructor(room) { this.room = room; }

    async onRequest(request) {
      const { storage } = this.room;
      const question = await request.json();
      if (question.show) {
        const shown = [];
        for (const key of question.show) shown.push(await show(storage, key, question.whole));
        return Response.json(shown);
      }
      try {
        await storage.put(question.key, made(question.make));
        await storage.sync();
        return Response.json(true);
      } catch (error) {
        return new Response(`${error?.message ?? error}`, { status: 422 });
      }
    }
  }

  return { main: { default: Values }, parties: Object.create(null) };
}

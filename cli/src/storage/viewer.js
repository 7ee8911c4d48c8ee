// Shows what rooms have stored: the program that runs in their place for `partyrun storage`.
// It answers questions in JSON with pieces of text: { as: "lines" | "value" | "json", from, key }.
(parties) => (host) => {
  const KEYS_AT_ONCE = 64;
  const LINE_CHARS_MAX = 160;
  const { inspect } = host.builtin("node:util");
  const { Buffer } = host.builtin("node:buffer");

  const plain = (value) => {
    const prototype = Object.getPrototypeOf(value);
    return prototype === Object.prototype || prototype === null;
  };

  // A value as JSON. What JSON has no form for is an object with one key that begins with `$`.
  function json(value, above = []) {
    const within = (inner) => json(inner, [...above, value]);
    switch (typeof value) {
      case "undefined": return { $undefined: true };
      case "bigint": return { $bigint: `${value}` };
      case "number": return Number.isFinite(value) && !Object.is(value, -0) ? value : { $number: inspect(value) };
      case "object": break;
      default: return value;
    }
    if (value === null) return null;
    if (above.includes(value)) return { $circular: true };
    if (Array.isArray(value)) return Array.from(value, within);
    if (value instanceof Date) return { $date: Number.isNaN(value.getTime()) ? null : value.toISOString() };
    if (value instanceof Map) return { $map: Array.from(value, ([key, inner]) => [within(key), within(inner)]) };
    if (value instanceof Set) return { $set: Array.from(value, within) };
    if (value instanceof RegExp) return { $regexp: [value.source, value.flags] };
    if (value instanceof Error) return { $error: { name: value.name, message: value.message, stack: value.stack } };
    if (value instanceof ArrayBuffer) return { $bytes: Buffer.from(value).toString("base64"), of: "ArrayBuffer" };
    if (ArrayBuffer.isView(value)) {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      return { $bytes: bytes.toString("base64"), of: value.constructor.name };
    }
    if (!plain(value)) return { $text: inspect(value, { depth: Infinity }) };
    const keys = Object.keys(value);
    if (keys.some((key) => key.startsWith("$"))) return { $object: keys.map((key) => [key, within(value[key])]) };
    return Object.fromEntries(keys.map((key) => [key, within(value[key])]));
  }

  function line(key, value) {
    const text = inspect(value, { depth: 4, breakLength: Infinity, compact: true });
    const short = text.length > LINE_CHARS_MAX ? `${text.slice(0, LINE_CHARS_MAX)} ...` : text;
    const name = inspect(key).slice(1, -1);
    return `${name.padEnd(24)}  ${short.replaceAll("\n", " ")}\n`;
  }

  async function answer(storage, { as, from, key, party, room }) {
    if (as === "value") {
      const value = await storage.get(key);
      // No room can store `undefined`.
      if (value === undefined) return { text: null };
      return { text: `${typeof value === "string" ? value : inspect(value, { depth: Infinity, maxArrayLength: null })}\n` };
    }
    const values = await storage.list({ start: from, limit: KEYS_AT_ONCE });
    let text = "";
    let last;
    for (const [name, value] of values) {
      text += as === "lines" ? line(name, value) : `${JSON.stringify({ party, room, key: name, value: json(value) })}\n`;
      last = name;
    }
    // Nothing lies between a key and the same with a zero behind it.
    return values.size < KEYS_AT_ONCE ? { text } : { text, next: `${last}\0` };
  }

  class Viewer {
    constructor(room) { this.room = room; }

    async onRequest(request) {
      try {
        return Response.json(await answer(this.room.storage, await request.json()));
      } catch (error) {
        return Response.json({ failed: `${error?.message ?? error}` });
      }
    }
  }

  const viewer = { default: Viewer };
  return {
    main: viewer,
    parties: Object.assign(Object.create(null), Object.fromEntries(Object.keys(parties).map((name) => [name, viewer]))),
  };
}

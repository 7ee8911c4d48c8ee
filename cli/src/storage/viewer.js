// Shows what rooms have stored: the program that runs in their place for `partyrun storage`.
// It answers questions in JSON with pieces of text: { as: "lines" | "value", from, key }.
(parties) => (host) => {
  const KEYS_AT_ONCE = 64;
  const LINE_CHARS_MAX = 160;
  const { inspect } = host.builtin("node:util");

  function line(key, value) {
    const text = inspect(value, { depth: 4, breakLength: Infinity, compact: true });
    const short = text.length > LINE_CHARS_MAX ? `${text.slice(0, LINE_CHARS_MAX)} ...` : text;
    const name = inspect(key).slice(1, -1);
    return `${name.padEnd(24)}  ${short.replaceAll("\n", " ")}\n`;
  }

  async function answer(storage, { as, from, key }) {
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
      text += line(name, value);
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

// A KV namespace: `context.bindings.kv.NAME` (spec 2.14). Messages of errors are those of the original's namespace.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { JSONParse, JSONStringify, Number, ObjectPrototypeIsPrototypeOf, String, Symbol, TypeError } = primordials;
const { refuseAll } = core.loadExtScript("ext:partyrun/00_kinds.js");
const { BlobPrototype } = core.loadExtScript("ext:deno_web/09_file.js");
const { bufferOf } = core.loadExtScript("ext:partyrun/03_bytes.js");
const { ResponsePrototypeGetBody } = core.loadExtScript("ext:partyrun/06_captured.js");
const { Response } = core.loadExtScript("ext:partyrun/30_http.js");
const { bytesOf, callBinding } = core.loadExtScript("ext:partyrun/54_bindings.js");

const kBinding = Symbol("binding");

function keyOf(key) {
  const name = String(key);
  if (name === "") throw new TypeError("Key name cannot be empty.");
  if (name === "." || name === "..") throw new TypeError(`"${name}" is not allowed as a key name.`);
  return name;
}

function typeOf(options) {
  const type = typeof options === "string" ? options : options?.type;
  return type === undefined || type === null ? "text" : String(type);
}

function readAs(type, bytes) {
  switch (type) {
    case "text":
      return core.decode(bytes);
    case "json":
      return JSONParse(core.decode(bytes));
    case "arrayBuffer":
      return bufferOf(bytes);
    case "stream":
      return ResponsePrototypeGetBody(new Response(bytes));
  }
  throw new TypeError('Unknown response type. Possible types are "text", "arrayBuffer", "json", and "stream".');
}

const NO_VALUE = () =>
  new TypeError("KV put() accepts only strings, ArrayBuffers, ArrayBufferViews, and ReadableStreams as values.");

const isObject = (value) => typeof value === "object" && value !== null;

const number = (value) => value === undefined || value === null ? undefined : Number(value);

async function read(namespace, key, options) {
  const { result, bytes } = await callBinding("kv", namespace[kBinding], "get", { key: keyOf(key) });
  if (!result.found) return { value: null, metadata: null, cacheStatus: null };
  return { value: readAs(typeOf(options), bytes), metadata: result.metadata, cacheStatus: null };
}

class KvNamespace {
  constructor(binding) {
    this[kBinding] = binding;
  }

  async get(key, options) {
    return (await read(this, key, options)).value;
  }

  async getWithMetadata(key, options) {
    return await read(this, key, options);
  }

  async put(key, value, options) {
    const name = keyOf(key);
    // Other than a bucket, it takes no Blob.
    if (ObjectPrototypeIsPrototypeOf(BlobPrototype, value)) throw NO_VALUE();
    const bytes = await bytesOf(isObject(value) ? value : String(value), NO_VALUE);
    const args = {
      key: name,
      expiration: number(options?.expiration),
      ttl: number(options?.expirationTtl),
      metadata: options?.metadata === undefined ? undefined : JSONParse(JSONStringify(options.metadata)),
    };
    await callBinding("kv", this[kBinding], "put", args, bytes);
  }

  async delete(key) {
    await callBinding("kv", this[kBinding], "delete", { key: keyOf(key) });
  }

  async list(options) {
    const args = { prefix: String(options?.prefix ?? ""), limit: number(options?.limit), cursor: options?.cursor || undefined };
    const { result } = await callBinding("kv", this[kBinding], "list", args);
    const { keys, complete, cursor } = result;
    return complete
      ? { keys, list_complete: true, cacheStatus: null }
      : { keys, list_complete: false, cursor, cacheStatus: null };
  }
}

refuseAll(KvNamespace.prototype, "KvNamespace");

return { KvNamespace };
})();

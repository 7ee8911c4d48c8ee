// A bucket of objects: `context.bindings.r2.NAME` (spec 2.14). Objects are written whole; there are no multipart uploads.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  ArrayIsArray,
  ArrayPrototypeIncludes,
  ArrayPrototypePush,
  Date,
  DatePrototypeGetTime,
  DatePrototypeToUTCString,
  Error,
  Number,
  NumberParseInt,
  NumberPrototypeToString,
  ObjectDefineProperty,
  ObjectKeys,
  ObjectPrototypeIsPrototypeOf,
  StringPrototypeReplaceAll,
  StringPrototypeSplit,
  StringPrototypeStartsWith,
  StringPrototypeSlice,
  StringPrototypeTrim,
  String,
  Symbol,
  TypeError,
  TypedArrayPrototypeGetBuffer,
  Uint8Array,
} = primordials;
const {
  HeadersPrototypeGet,
  ResponsePrototypeArrayBuffer,
  ResponsePrototypeGetBody,
  ResponsePrototypeGetBodyUsed,
  ResponsePrototypeJson,
  ResponsePrototypeText,
} = core.loadExtScript("ext:partyrun/06_captured.js");
const { Blob } = core.loadExtScript("ext:deno_web/09_file.js");
const { Response } = core.loadExtScript("ext:partyrun/30_http.js");
const { Headers } = core.loadExtScript("ext:deno_fetch/20_headers.js");
const { refuseAll } = core.loadExtScript("ext:partyrun/00_kinds.js");
const { bytesOf, callBinding } = core.loadExtScript("ext:partyrun/54_bindings.js");

const kBinding = Symbol("binding");
const kContent = Symbol("content");

// Field of httpMetadata -> header.
const HEADERS = {
  __proto__: null,
  contentType: "content-type",
  contentLanguage: "content-language",
  contentDisposition: "content-disposition",
  contentEncoding: "content-encoding",
  cacheControl: "cache-control",
  cacheExpiry: "expires",
};

function isHeaders(value) {
  return ObjectPrototypeIsPrototypeOf(Headers.prototype, value);
}

function hexToBuffer(hex) {
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = NumberParseInt(StringPrototypeSlice(hex, 2 * i, 2 * i + 2), 16);
  return TypedArrayPrototypeGetBuffer(bytes);
}

function hexOf(value) {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return value;
  const bytes = bytesOf(value, () => new TypeError("A checksum is a hex string or an ArrayBuffer."));
  let hex = "";
  for (let i = 0; i < bytes.length; i++) hex += (bytes[i] < 16 ? "0" : "") + NumberPrototypeToString(bytes[i], 16);
  return hex;
}

// --- what is handed out -------------------------------------------------------------------------------------------

class Checksums {
  constructor(object) {
    this.md5 = hexToBuffer(object.md5);
    if (object.sha256 !== null) this.sha256 = hexToBuffer(object.sha256);
    this[kContent] = object;
  }
  toJSON() {
    const { md5, sha256 } = this[kContent];
    return sha256 === null ? { md5 } : { md5, sha256 };
  }
}

function whole(object) {
  return { offset: 0, length: object.size };
}

function httpMetadataOf(stored) {
  return stored.cacheExpiry === undefined ? stored : { ...stored, cacheExpiry: new Date(stored.cacheExpiry) };
}

class R2Object {
  // What was asked for has a range, the whole object unless a part of it was wanted; what is put or listed has none.
  constructor(object, range) {
    this.key = object.key;
    this.version = object.version;
    this.size = object.size;
    this.etag = object.etag;
    this.httpEtag = `"${object.etag}"`;
    this.uploaded = new Date(object.uploaded);
    this.httpMetadata = httpMetadataOf(object.http);
    this.customMetadata = object.custom;
    this.range = range;
    this.checksums = new Checksums(object);
    this.storageClass = "Standard";
  }

  writeHttpMetadata(headers) {
    for (const name in HEADERS) {
      const value = this.httpMetadata[name];
      if (value === undefined) continue;
      const text = name === "cacheExpiry" ? DatePrototypeToUTCString(value) : value;
      // user code: the headers may be of a class of its own.
      headers.set(HEADERS[name], text);
    }
  }
}

class R2ObjectBody extends R2Object {
  constructor(object, bytes, range) {
    super(object, range);
    this[kContent] = new Response(bytes);
  }
  get body() {
    return ResponsePrototypeGetBody(this[kContent]);
  }
  get bodyUsed() {
    return ResponsePrototypeGetBodyUsed(this[kContent]);
  }
  arrayBuffer() {
    return ResponsePrototypeArrayBuffer(this[kContent]);
  }
  text() {
    return ResponsePrototypeText(this[kContent]);
  }
  json() {
    return ResponsePrototypeJson(this[kContent]);
  }
  async blob() {
    const bytes = await ResponsePrototypeArrayBuffer(this[kContent]);
    return new Blob([bytes], { type: this.httpMetadata.contentType ?? "" });
  }
}
ObjectDefineProperty(R2Object, "name", { __proto__: null, value: "HeadResult" });
ObjectDefineProperty(R2ObjectBody, "name", { __proto__: null, value: "GetResult" });

// --- arguments ----------------------------------------------------------------------------------------------------

function timeOf(date) {
  return date === undefined || date === null ? undefined : DatePrototypeGetTime(new Date(date));
}

function tagsOf(value) {
  if (value === undefined || value === null) return [];
  const list = [];
  const parts = ArrayIsArray(value) ? value : StringPrototypeSplit(String(value), ",");
  for (let i = 0; i < parts.length; i++) {
    let tag = StringPrototypeTrim(String(parts[i]));
    if (StringPrototypeStartsWith(tag, "W/")) tag = StringPrototypeSlice(tag, 2);
    ArrayPrototypePush(list, StringPrototypeReplaceAll(tag, '"', ""));
  }
  return list;
}

function conditionOf(onlyIf) {
  if (onlyIf === undefined || onlyIf === null) return undefined;
  if (isHeaders(onlyIf)) {
    return {
      etagMatches: tagsOf(HeadersPrototypeGet(onlyIf, "if-match")),
      etagDoesNotMatch: tagsOf(HeadersPrototypeGet(onlyIf, "if-none-match")),
      uploadedBefore: timeOf(HeadersPrototypeGet(onlyIf, "if-unmodified-since")),
      uploadedAfter: timeOf(HeadersPrototypeGet(onlyIf, "if-modified-since")),
    };
  }
  return {
    etagMatches: tagsOf(onlyIf.etagMatches),
    etagDoesNotMatch: tagsOf(onlyIf.etagDoesNotMatch),
    uploadedBefore: timeOf(onlyIf.uploadedBefore),
    uploadedAfter: timeOf(onlyIf.uploadedAfter),
  };
}

function rangeOf(range) {
  if (range === undefined || range === null) return undefined;
  const number = (value) => value === undefined || value === null || value === "" ? undefined : Number(value);
  if (!isHeaders(range)) return { offset: number(range.offset), length: number(range.length), suffix: number(range.suffix) };
  const header = HeadersPrototypeGet(range, "range");
  if (header === null || !StringPrototypeStartsWith(header, "bytes=")) return undefined;
  const { 0: first, 1: last } = StringPrototypeSplit(StringPrototypeSlice(header, 6), "-");
  if (first === "") return { suffix: number(last) };
  return { offset: number(first), length: last === "" ? undefined : Number(last) - Number(first) + 1 };
}

function httpOf(metadata) {
  const http = {};
  if (metadata === undefined || metadata === null) return http;
  for (const name in HEADERS) {
    const value = isHeaders(metadata) ? HeadersPrototypeGet(metadata, HEADERS[name]) ?? undefined : metadata[name];
    if (value !== undefined) http[name] = name === "cacheExpiry" ? timeOf(value) : String(value);
  }
  return http;
}

function customOf(metadata) {
  const custom = {};
  if (metadata === undefined || metadata === null) return custom;
  const names = ObjectKeys(metadata);
  for (let i = 0; i < names.length; i++) custom[names[i]] = String(metadata[names[i]]);
  return custom;
}

const NO_VALUE = () =>
  new TypeError(
    "Failed to execute 'put' on 'R2Bucket': parameter 2 is not of type " +
      "'ReadableStream or ArrayBuffer or ArrayBufferView or string or Blob'.",
  );

const NO_MULTIPART = "Multipart uploads are not available in partyrun: put the object as a whole.";

class R2Bucket {
  constructor(binding) {
    this[kBinding] = binding;
  }

  async head(key) {
    const { result } = await callBinding("r2", this[kBinding], "head", { key: String(key) });
    return result.object === null ? null : new R2Object(result.object, whole(result.object));
  }

  async get(key, options) {
    const args = { key: String(key), range: rangeOf(options?.range), condition: conditionOf(options?.onlyIf) };
    const { result, bytes } = await callBinding("r2", this[kBinding], "get", args);
    if (result.object === null) return null;
    const range = result.range ?? whole(result.object);
    return result.met ? new R2ObjectBody(result.object, bytes, range) : new R2Object(result.object, range);
  }

  async put(key, value, options) {
    const bytes = value === null ? new Uint8Array(0) : await bytesOf(value, NO_VALUE);
    if ((options?.md5 ?? null) !== null && (options?.sha256 ?? null) !== null) {
      throw new TypeError("You cannot specify multiple hashing algorithms.");
    }
    const args = {
      key: String(key),
      http: httpOf(options?.httpMetadata),
      custom: customOf(options?.customMetadata),
      md5: hexOf(options?.md5),
      sha256: hexOf(options?.sha256),
      condition: conditionOf(options?.onlyIf),
    };
    const { result } = await callBinding("r2", this[kBinding], "put", args, bytes);
    return result.object === null ? null : new R2Object(result.object);
  }

  async delete(keys) {
    const list = ArrayIsArray(keys) ? keys : [keys];
    const names = [];
    for (let i = 0; i < list.length; i++) ArrayPrototypePush(names, String(list[i]));
    await callBinding("r2", this[kBinding], "delete", { keys: names });
  }

  async list(options) {
    const text = (value) => value === undefined || value === null ? undefined : String(value);
    const args = {
      prefix: text(options?.prefix) ?? "",
      limit: options?.limit === undefined ? undefined : Number(options.limit),
      cursor: text(options?.cursor),
      delimiter: text(options?.delimiter),
      startAfter: text(options?.startAfter),
    };
    const { result } = await callBinding("r2", this[kBinding], "list", args);
    const include = options?.include ?? [];
    const objects = [];
    for (let i = 0; i < result.objects.length; i++) {
      const object = result.objects[i];
      if (!ArrayPrototypeIncludes(include, "httpMetadata")) object.http = {};
      if (!ArrayPrototypeIncludes(include, "customMetadata")) object.custom = {};
      ArrayPrototypePush(objects, new R2Object(object));
    }
    const page = { objects, delimitedPrefixes: result.prefixes, truncated: result.truncated };
    if (result.truncated) page.cursor = result.cursor;
    return page;
  }

  async createMultipartUpload() {
    throw new Error(NO_MULTIPART);
  }
  resumeMultipartUpload() {
    throw new Error(NO_MULTIPART);
  }
}

refuseAll(R2Bucket.prototype, "R2Bucket");
refuseAll(R2Object.prototype, "R2Object");
refuseAll(R2ObjectBody.prototype, "R2ObjectBody");

return { R2Bucket };
})();

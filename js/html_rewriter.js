// HTMLRewriter, loaded when user code first names it. Its other half, runtime/extensions/src/html.rs, stops at each token that a
// handler wants, and goes on with the changes that the handler made here.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypePush, Error, ErrorPrototype, FunctionPrototypeCall, ObjectPrototypeIsPrototypeOf, PromisePrototypeCatch, ReflectApply,
  RegExpPrototypeExec, RegExpPrototypeTest, SafeRegExp, String, StringPrototypeIncludes, StringPrototypeStartsWith,
  StringPrototypeToLowerCase, Symbol, SymbolIterator, TypeError, Uint8Array } = primordials;
const { op_html_check, op_html_start, op_html_step } = core.loadExtScript("ext:partyrun/node/ops.js");
const { isReadableStreamLocked, readableStreamDisturb, ReadableStream, ReadableStreamPrototype } = core.loadExtScript("ext:deno_web/06_streams.js");
const {
  HeadersPrototypeAppend,
  ReadableStreamDefaultControllerPrototypeClose,
  ReadableStreamDefaultControllerPrototypeEnqueue,
  ReadableStreamDefaultReaderPrototypeCancel,
  ReadableStreamDefaultReaderPrototypeRead,
  ReadableStreamPrototypeGetReader,
  ResponsePrototypeGetBody,
  ResponsePrototypeGetBodyUsed,
  ResponsePrototypeGetHeaders,
} = core.loadExtScript("ext:partyrun/06_captured.js");
const { isResponse, Response, toInnerResponse } = core.loadExtScript("ext:partyrun/30_http.js");

const kChanges = Symbol("changes");

// A token is usable as long as its handler runs, for reading as well.
function check(token) {
  if (token[kChanges] === null) {
    throw new TypeError("This content token is no longer valid. Content tokens are only valid during the execution of the relevant content handler.");
  }
}

function record(token, change) {
  check(token);
  ArrayPrototypePush(token[kChanges], change);
  return token;
}

function refuse(kind, method, number, type) {
  throw new TypeError(`Failed to execute '${method}' on '${kind}': parameter ${number} is not of type '${type}'.`);
}

// `given` is the number of arguments: one that is not there is refused, `undefined` is a text.
function textOf(kind, method, given, number, value) {
  if (given < number) refuse(kind, method, number, "string");
  return String(value);
}

function content(token, kind, what, given, text, options) {
  check(token);
  if (given < 1) refuse(kind, what, 1, "string or ReadableStream or Response");
  if (options !== undefined && options !== null && typeof options !== "object" && typeof options !== "function") {
    refuse(kind, what, 2, "ContentOptions");
  }
  if (isResponse(text) || (typeof text === "object" && ObjectPrototypeIsPrototypeOf(ReadableStreamPrototype, text))) {
    throw new TypeError("Replacing HTML content using a ReadableStream or Response object is not implemented. You must provide a string.");
  }
  return record(token, { what, text: String(text), html: !!options?.html });
}

// What the parser would refuse is refused where it is given (the rules of lol_html).
const ATTRIBUTE_FORBIDDEN = new SafeRegExp("[ \\n\\r\\t\\f/>=]");
const TAG_FORBIDDEN = new SafeRegExp("[ \\n\\r\\t\\f/>]");
const ALPHABETIC = new SafeRegExp("^[A-Za-z]");
const COMMENT_ENDS = ["-->", "--!>"];
const COMMENT_BEGINS = [">", "->"];

function checkAttribute(name) {
  if (name === "") throw new TypeError("Parser error: Attribute name can't be empty.");
  const found = RegExpPrototypeExec(ATTRIBUTE_FORBIDDEN, name);
  if (found !== null) throw new TypeError(`Parser error: \`${found[0]}\` character is forbidden in the attribute name`);
}

function checkTag(name) {
  if (name === "") throw new TypeError("Parser error: Tag name can't be empty.");
  if (!RegExpPrototypeTest(ALPHABETIC, name)) {
    throw new TypeError("Parser error: The first character of the tag name should be an ASCII alphabetical character.");
  }
  const found = RegExpPrototypeExec(TAG_FORBIDDEN, name);
  if (found !== null) throw new TypeError(`Parser error: \`${found[0]}\` character is forbidden in the tag name`);
}

function checkComment(text) {
  for (let i = 0; i < COMMENT_ENDS.length; i++) {
    if (StringPrototypeIncludes(text, COMMENT_ENDS[i]) || StringPrototypeStartsWith(text, COMMENT_BEGINS[i])) {
      const sequence = StringPrototypeIncludes(text, COMMENT_ENDS[i]) ? COMMENT_ENDS[i] : COMMENT_BEGINS[i];
      throw new TypeError(`Parser error: Comment text shouldn't contain comment closing sequence (\`${sequence}\`).`);
    }
  }
}

class Token {
  constructor() {
    this[kChanges] = [];
  }

  before(text, options) {
    return content(this, kindOf(this), "before", arguments.length, text, options);
  }
  after(text, options) {
    return content(this, kindOf(this), "after", arguments.length, text, options);
  }
}

class Removable extends Token {
  #removed = false;

  get removed() {
    check(this);
    return this.#removed;
  }
  replace(text, options) {
    content(this, kindOf(this), "replace", arguments.length, text, options);
    this.#removed = true;
    return this;
  }
  remove() {
    record(this, { what: "remove" });
    this.#removed = true;
    return this;
  }
  removeAndKeepContent() {
    record(this, { what: "removeAndKeepContent" });
    this.#removed = true;
    return this;
  }
}

class Element extends Removable {
  #name;
  #attributes;
  #ends;
  #namespace;
  #isVoid;

  constructor(happening, ends) {
    super();
    this.#name = happening.name;
    this.#namespace = happening.text;
    this.#isVoid = happening.flag;
    this.#attributes = [];
    for (let i = 0; i < happening.attributes.length; i += 2) {
      ArrayPrototypePush(this.#attributes, [happening.attributes[i], happening.attributes[i + 1]]);
    }
    this.#ends = ends;
  }

  get tagName() {
    check(this);
    return this.#name;
  }
  set tagName(name) {
    check(this);
    const text = String(name);
    checkTag(text);
    record(this, { what: "tagName", text });
    this.#name = text;
  }
  get namespaceURI() {
    check(this);
    return this.#namespace;
  }
  get attributes() {
    check(this);
    const list = this.#attributes;
    let at = 0;
    return {
      next: () => at < list.length ? { done: false, value: [list[at][0], list[at++][1]] } : { done: true, value: undefined },
      [SymbolIterator]() {
        return this;
      },
    };
  }
  #find(name) {
    const wanted = StringPrototypeToLowerCase(String(name));
    for (let i = 0; i < this.#attributes.length; i++) {
      if (this.#attributes[i][0] === wanted) return i;
    }
    return -1;
  }
  getAttribute(name) {
    check(this);
    const at = this.#find(textOf("Element", "getAttribute", arguments.length, 1, name));
    return at < 0 ? null : this.#attributes[at][1];
  }
  hasAttribute(name) {
    check(this);
    return this.#find(textOf("Element", "hasAttribute", arguments.length, 1, name)) >= 0;
  }
  setAttribute(name, value) {
    check(this);
    const text = textOf("Element", "setAttribute", arguments.length, 1, name);
    const given = textOf("Element", "setAttribute", arguments.length, 2, value);
    checkAttribute(text);
    record(this, { what: "setAttribute", text, value: given });
    const at = this.#find(text);
    if (at < 0) ArrayPrototypePush(this.#attributes, [StringPrototypeToLowerCase(text), given]);
    else this.#attributes[at][1] = given;
    return this;
  }
  removeAttribute(name) {
    check(this);
    record(this, { what: "removeAttribute", text: textOf("Element", "removeAttribute", arguments.length, 1, name) });
    const at = this.#find(name);
    if (at >= 0) {
      for (let i = at; i + 1 < this.#attributes.length; i++) this.#attributes[i] = this.#attributes[i + 1];
      this.#attributes.length--;
    }
    return this;
  }
  prepend(text, options) {
    return content(this, "Element", "prepend", arguments.length, text, options);
  }
  append(text, options) {
    return content(this, "Element", "append", arguments.length, text, options);
  }
  setInnerContent(text, options) {
    return content(this, "Element", "setInnerContent", arguments.length, text, options);
  }
  onEndTag(handler) {
    check(this);
    if (typeof handler !== "function") refuse("Element", "onEndTag", 1, "function");
    if (this.#isVoid) throw new TypeError("Parser error: No end tag.");
    const number = this.#ends.length;
    ArrayPrototypePush(this.#ends, handler);
    record(this, { what: "onEndTag", text: String(number) });
  }
}

class EndTag extends Token {
  #name;

  constructor(happening) {
    super();
    this.#name = happening.name;
  }
  get name() {
    check(this);
    return this.#name;
  }
  set name(name) {
    check(this);
    this.#name = String(name);
    record(this, { what: "tagName", text: this.#name });
  }
  remove() {
    return record(this, { what: "remove" });
  }
}

class Comment extends Removable {
  #text;

  constructor(happening) {
    super();
    this.#text = happening.text;
  }
  get text() {
    check(this);
    return this.#text;
  }
  set text(text) {
    check(this);
    const given = String(text);
    checkComment(given);
    record(this, { what: "text", text: given });
    this.#text = given;
  }
}

class Text extends Removable {
  #text;
  #last;

  constructor(happening) {
    super();
    this.#text = happening.text;
    this.#last = happening.flag;
  }
  get text() {
    check(this);
    return this.#text;
  }
  get lastInTextNode() {
    check(this);
    return this.#last;
  }
}

class Doctype {
  #happening;

  constructor(happening) {
    this[kChanges] = [];
    this.#happening = happening;
  }
  get name() {
    check(this);
    return this.#happening.name === "" ? null : this.#happening.name;
  }
  get publicId() {
    check(this);
    return this.#happening.public_id;
  }
  get systemId() {
    check(this);
    return this.#happening.system_id;
  }
}

class DocumentEnd {
  constructor() {
    this[kChanges] = [];
  }
  append(text, options) {
    return content(this, "DocumentEnd", "append", arguments.length, text, options);
  }
}

function kindOf(token) {
  if (ObjectPrototypeIsPrototypeOf(Element.prototype, token)) return "Element";
  if (ObjectPrototypeIsPrototypeOf(EndTag.prototype, token)) return "EndTag";
  return ObjectPrototypeIsPrototypeOf(Comment.prototype, token) ? "Comment" : "Text";
}

const TOKENS = { __proto__: null, comments: Comment, doctype: Doctype, element: Element, end: DocumentEnd, endTag: EndTag,
  text: Text };

function wants(handlers, name, kind) {
  const handler = handlers?.[name];
  if (handler === undefined) return false;
  if (typeof handler !== "function") {
    throw new TypeError(`Incorrect type for the '${name}' field on '${kind}': the provided value is not of type 'function'.`);
  }
  return true;
}

function isHandlers(value) {
  return value === null || typeof value === "object" || typeof value === "function";
}

class HTMLRewriter {
  #wanted = [];
  #handlers = [];

  on(selector, handlers) {
    const text = textOf("HTMLRewriter", "on", arguments.length, 1, selector);
    if (!isHandlers(handlers)) refuse("HTMLRewriter", "on", 2, "ElementContentHandlers");
    op_html_check(text);
    return this.#add(text, handlers, "ElementContentHandlers");
  }

  onDocument(handlers) {
    if (!isHandlers(handlers)) refuse("HTMLRewriter", "onDocument", 1, "DocumentContentHandlers");
    return this.#add(null, handlers, "DocumentContentHandlers");
  }

  #add(selector, handlers, kind) {
    ArrayPrototypePush(this.#wanted, {
      selector,
      element: selector !== null && wants(handlers, "element", kind),
      comments: wants(handlers, "comments", kind),
      text: wants(handlers, "text", kind),
      doctype: selector === null && wants(handlers, "doctype", kind),
      end: selector === null && wants(handlers, "end", kind),
    });
    ArrayPrototypePush(this.#handlers, handlers);
    return this;
  }

  transform(response) {
    if (!isResponse(response)) refuse("HTMLRewriter", "transform", 1, "Response");
    const body = ResponsePrototypeGetBody(response);
    if (body === null) return response;
    if (ResponsePrototypeGetBodyUsed(response) || isReadableStreamLocked(body)) {
      throw new TypeError("The ReadableStream has been locked to a reader.");
    }
    const inner = toInnerResponse(response);
    const stream = transformed(body, this.#wanted, this.#handlers);
    const made = new Response(stream, { __proto__: null, status: inner.status, statusText: inner.statusMessage });
    const headers = ResponsePrototypeGetHeaders(made);
    for (let i = 0; i < inner.headerList.length; i++) {
      const { 0: name, 1: value } = inner.headerList[i];
      if (StringPrototypeToLowerCase(name) !== "content-length") HeadersPrototypeAppend(headers, name, value);
    }
    return made;
  }
}

// The stream of what comes out: reads as much of `body` as it takes to have something to give. The parser and its thread
// are there from the first read to the end (limits: html_rewriters_per_room_max).
function transformed(body, wanted, handlers) {
  const reader = ReadableStreamPrototypeGetReader(body);
  // The response has lost its body, although nothing is read before somebody wants it.
  readableStreamDisturb(body);
  const run = { resource: undefined, handlers, ends: [], token: null };
  return new ReadableStream({
    async pull(controller) {
      try {
        run.resource ??= op_html_start(wanted);
        for (;;) {
          const { done, value } = await ReadableStreamDefaultReaderPrototypeRead(reader);
          const output = await through(run, done ? null : bytesOf(value));
          if (output.length > 0) ReadableStreamDefaultControllerPrototypeEnqueue(controller, output);
          if (done) {
            stop(run);
            ReadableStreamDefaultControllerPrototypeClose(controller);
          }
          if (done || output.length > 0) return;
        }
      } catch (error) {
        stop(run);
        const reason = ObjectPrototypeIsPrototypeOf(ErrorPrototype, error) ? error : new Error(String(error));
        PromisePrototypeCatch(ReadableStreamDefaultReaderPrototypeCancel(reader, reason), () => {});
        throw reason;
      }
    },
    cancel(reason) {
      stop(run);
      return ReadableStreamDefaultReaderPrototypeCancel(reader, reason);
    },
  }, { highWaterMark: 0 });
}

// A handler that still runs is too late, whatever it does to its token.
function stop(run) {
  if (run.token !== null) run.token[kChanges] = null;
  run.token = null;
  if (run.resource !== undefined) core.tryClose(run.resource);
}

function bytesOf(chunk) {
  if (typeof chunk === "string") return core.encode(chunk);
  return core.isAnyArrayBuffer(chunk) ? new Uint8Array(chunk) : chunk;
}

async function through(run, bytes) {
  let happening = await op_html_step(run.resource, bytes, null);
  for (;;) {
    const { kind } = happening;
    if (kind === "input" || kind === "done") return new Uint8Array(happening.output);
    if (kind === "error") throw new TypeError(`Parser error: ${happening.name}`);
    happening = await op_html_step(run.resource, null, await changesOf(run, happening));
  }
}

async function changesOf(run, happening) {
  const { handler, kind } = happening;
  const token = run.token = new TOKENS[kind](happening, run.ends);
  try {
    // user code: its handlers are waited for.
    if (kind === "endTag") await FunctionPrototypeCall(run.ends[handler], undefined, token);
    // user code: as above.
    else await ReflectApply(run.handlers[handler][kind], run.handlers[handler], [token]);
    const changes = token[kChanges];
    if (changes === null) throw new TypeError("The transformation was cancelled.");
    return changes;
  } finally {
    token[kChanges] = null;
    run.token = null;
  }
}

return { HTMLRewriter };
})();

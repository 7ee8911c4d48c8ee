// HTMLRewriter, loaded when user code first names it. See runtime/extensions/src/html.rs for the other half: it stops at each
// token that a handler wants, and goes on with the changes that the handler made here.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypePush, FunctionPrototypeCall, ReflectApply, String, StringPrototypeToLowerCase,
  Symbol, SymbolIterator, TypeError, Uint8Array } = primordials;
const { op_html_check, op_html_start, op_html_step } = core.loadExtScript("ext:partyrun/node/ops.js");
const { ReadableStream } = core.loadExtScript("ext:deno_web/06_streams.js");
const { Response } = core.loadExtScript("ext:partyrun/30_http.js");
const { Headers } = core.loadExtScript("ext:deno_fetch/20_headers.js");

const kChanges = Symbol("changes");

// A token is usable as long as its handler runs.
function record(token, change) {
  if (token[kChanges] === null) {
    throw new TypeError("This content token is no longer valid. Content tokens are only valid during the execution of the relevant content handler.");
  }
  ArrayPrototypePush(token[kChanges], change);
  return token;
}

function content(token, what, text, options) {
  return record(token, { what, text: String(text), html: options?.html === true });
}

class Token {
  constructor() {
    this[kChanges] = [];
  }

  before(text, options) {
    return content(this, "before", text, options);
  }
  after(text, options) {
    return content(this, "after", text, options);
  }
}

class Removable extends Token {
  #removed = false;

  get removed() {
    return this.#removed;
  }
  replace(text, options) {
    this.#removed = true;
    return content(this, "replace", text, options);
  }
  remove() {
    this.#removed = true;
    return record(this, { what: "remove" });
  }
  removeAndKeepContent() {
    this.#removed = true;
    return record(this, { what: "removeAndKeepContent" });
  }
}

class Element extends Removable {
  #name;
  #attributes;
  #ends;

  constructor(happening, ends) {
    super();
    this.#name = happening.name;
    this.namespaceURI = happening.text;
    this.#attributes = [];
    for (let i = 0; i < happening.attributes.length; i += 2) {
      ArrayPrototypePush(this.#attributes, [happening.attributes[i], happening.attributes[i + 1]]);
    }
    this.#ends = ends;
  }

  get tagName() {
    return this.#name;
  }
  set tagName(name) {
    this.#name = String(name);
    record(this, { what: "tagName", text: this.#name });
  }
  get attributes() {
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
    const at = this.#find(name);
    return at < 0 ? null : this.#attributes[at][1];
  }
  hasAttribute(name) {
    return this.#find(name) >= 0;
  }
  setAttribute(name, value) {
    const text = String(name);
    record(this, { what: "setAttribute", text, value: String(value) });
    const at = this.#find(text);
    if (at < 0) ArrayPrototypePush(this.#attributes, [StringPrototypeToLowerCase(text), String(value)]);
    else this.#attributes[at][1] = String(value);
    return this;
  }
  removeAttribute(name) {
    record(this, { what: "removeAttribute", text: String(name) });
    const at = this.#find(name);
    if (at >= 0) {
      for (let i = at; i + 1 < this.#attributes.length; i++) this.#attributes[i] = this.#attributes[i + 1];
      this.#attributes.length--;
    }
    return this;
  }
  prepend(text, options) {
    return content(this, "prepend", text, options);
  }
  append(text, options) {
    return content(this, "append", text, options);
  }
  setInnerContent(text, options) {
    return content(this, "setInnerContent", text, options);
  }
  onEndTag(handler) {
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
    return this.#name;
  }
  set name(name) {
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
    return this.#text;
  }
  set text(text) {
    this.#text = String(text);
    record(this, { what: "text", text: this.#text });
  }
}

class Text extends Removable {
  constructor(happening) {
    super();
    this.text = happening.text;
    this.lastInTextNode = happening.flag;
  }
}

class Doctype {
  constructor(happening) {
    this[kChanges] = [];
    this.name = happening.name === "" ? null : happening.name;
    this.publicId = happening.public_id;
    this.systemId = happening.system_id;
  }
}

class DocumentEnd {
  constructor() {
    this[kChanges] = [];
  }
  append(text, options) {
    return content(this, "append", text, options);
  }
}

const TOKENS = { __proto__: null, comments: Comment, doctype: Doctype, element: Element, end: DocumentEnd, endTag: EndTag,
  text: Text };

function wants(handlers, name) {
  const handler = handlers[name];
  if (handler === undefined || handler === null) return false;
  if (typeof handler !== "function") throw new TypeError(`HTMLRewriter: the handler \`${name}\` is not a function.`);
  return true;
}

class HTMLRewriter {
  #wanted = [];
  #handlers = [];

  on(selector, handlers) {
    const text = String(selector);
    op_html_check(text);
    return this.#add(text, handlers);
  }

  onDocument(handlers) {
    return this.#add(null, handlers);
  }

  #add(selector, handlers) {
    ArrayPrototypePush(this.#wanted, {
      selector,
      element: selector !== null && wants(handlers, "element"),
      comments: wants(handlers, "comments"),
      text: wants(handlers, "text"),
      doctype: selector === null && wants(handlers, "doctype"),
      end: selector === null && wants(handlers, "end"),
    });
    ArrayPrototypePush(this.#handlers, handlers);
    return this;
  }

  transform(response) {
    const { body } = response;
    if (body === null) return response;
    const headers = new Headers(response.headers);
    headers.delete("content-length");
    const stream = transformed(body, this.#wanted, this.#handlers);
    return new Response(stream, { status: response.status, statusText: response.statusText, headers });
  }
}

// The stream of what comes out: reads as much of `body` as it takes to have something to give.
function transformed(body, wanted, handlers) {
  let reader;
  let resource;
  const ends = [];
  return new ReadableStream({
    start() {
      reader = body.getReader();
    },
    async pull(controller) {
      try {
        resource ??= op_html_start(wanted);
        for (;;) {
          const { done, value } = await reader.read();
          const output = await through(resource, done ? null : bytesOf(value), handlers, ends);
          if (output.length > 0) controller.enqueue(output);
          if (done) {
            core.tryClose(resource);
            controller.close();
          }
          if (done || output.length > 0) return;
        }
      } catch (error) {
        if (resource !== undefined) core.tryClose(resource);
        reader.cancel(error).then(() => {}, () => {});
        throw error;
      }
    },
    cancel(reason) {
      if (resource !== undefined) core.tryClose(resource);
      return reader.cancel(reason);
    },
  });
}

function bytesOf(chunk) {
  if (typeof chunk === "string") return core.encode(chunk);
  return core.isAnyArrayBuffer(chunk) ? new Uint8Array(chunk) : chunk;
}

async function through(resource, bytes, handlers, ends) {
  let happening = await op_html_step(resource, bytes, null);
  for (;;) {
    const { kind } = happening;
    if (kind === "input" || kind === "done") return new Uint8Array(happening.output);
    if (kind === "error") throw new TypeError(happening.name);
    const token = new TOKENS[kind](happening, ends);
    if (kind === "endTag") await FunctionPrototypeCall(ends[happening.handler], undefined, token);
    else await ReflectApply(handlers[happening.handler][kind], handlers[happening.handler], [token]);
    const changes = token[kChanges];
    token[kChanges] = null;
    happening = await op_html_step(resource, null, changes);
  }
}

return { HTMLRewriter };
})();

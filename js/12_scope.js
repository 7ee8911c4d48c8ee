// The global object as Workers have it: an EventTarget that is an instance of ServiceWorkerGlobalScope, with `navigator` and
// `origin`. Packages find out by these names where they run. Classes of events that never happen here exist all the same.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ObjectDefineProperty, ObjectSetPrototypeOf, Symbol, SymbolToStringTag, TypeError } = primordials;
const { Event, EventTarget, saveGlobalThisReference } = core.loadExtScript("ext:deno_web/02_event.js");
const { brand } = core.loadExtScript("ext:deno_webidl/00_webidl.js");
const { refuseAll } = core.loadExtScript("ext:partyrun/00_kinds.js");

const kMade = Symbol("made by the runtime");

function illegal() {
  throw new TypeError("Illegal constructor");
}

// Classes that user code can name and cannot make.
class WorkerGlobalScope extends EventTarget {
  constructor() {
    super();
    illegal();
  }
}
class ServiceWorkerGlobalScope extends WorkerGlobalScope {}
class ExtendableEvent extends Event {
  constructor() {
    super("");
    illegal();
  }
}
class FetchEvent extends ExtendableEvent {}
class ScheduledEvent extends ExtendableEvent {}
class TailEvent extends ExtendableEvent {}
class TraceEvent extends ExtendableEvent {}

class Navigator {
  constructor(made) {
    if (made !== kMade) illegal();
  }
  get userAgent() {
    return "Cloudflare-Workers";
  }
}

// A pair for `setWebSocketAutoResponse`, which PartyKit gives no room.
class WebSocketRequestResponsePair {
  #request;
  #response;

  constructor(request, response) {
    if (arguments.length < 2) {
      throw new TypeError(`Failed to construct 'WebSocketRequestResponsePair': 2 arguments required, but only ${arguments.length} present.`);
    }
    this.#request = `${request}`;
    this.#response = `${response}`;
  }
  get request() {
    return this.#request;
  }
  get response() {
    return this.#response;
  }
}

const classes = { ExtendableEvent, FetchEvent, Navigator, ScheduledEvent, ServiceWorkerGlobalScope, TailEvent, TraceEvent,
  WebSocketRequestResponsePair, WorkerGlobalScope };
const properties = {
  __proto__: null,
  navigator: core.propNonEnumerable(new Navigator(kMade)),
  origin: core.propNonEnumerable("null"),
};
for (const name in classes) {
  properties[name] = core.propNonEnumerable(classes[name]);
  refuseAll(classes[name].prototype, name);
  ObjectDefineProperty(classes[name].prototype, SymbolToStringTag, { __proto__: null, configurable: true, value: name });
}
core.defineGlobalProperties(globalThis, properties);

saveGlobalThisReference(globalThis);
// `addEventListener(...)` and `self.addEventListener(...)` work: the mark says that it is an EventTarget.
ObjectDefineProperty(globalThis, brand, { __proto__: null, value: brand, configurable: true });
ObjectSetPrototypeOf(globalThis, ServiceWorkerGlobalScope.prototype);
})();

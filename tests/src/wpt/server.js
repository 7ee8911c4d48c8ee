// The room that runs a test. In front of it stand `tests`, `pages` and `titles`: each test as an import, its page, and its
// title, after which the harness names subtests; and `origin`, where the tests' own server is.

// Pages resolve what is relative, rooms have no page.
function relativeTo(base, constructor) {
  return new Proxy(constructor, {
    construct(target, [url, ...rest], newTarget) {
      const isWhole = url === undefined || url instanceof Request || url instanceof URL;
      return Reflect.construct(target, [isWhole ? url : absolute(base, `${url}`), ...rest], newTarget);
    },
  });
}

// What is no URL at all stays what it is, so that its test sees the error of the constructor.
function absolute(base, url) {
  return URL.canParse(url, base) ? new URL(url, base).href : url;
}

function pretendPage(base) {
  // In a service worker the harness would wait for a page to speak to it.
  delete globalThis.ServiceWorkerGlobalScope;
  delete globalThis.WorkerGlobalScope;
  globalThis.GLOBAL = { isWindow: () => false, isWorker: () => false, isShadowRealm: () => false };
  const { hash, host, hostname, href, origin, pathname, port, protocol, search } = new URL(base);
  globalThis.location = { hash, host, hostname, href, origin, pathname, port, protocol, search, toString: () => href };
  const webFetch = globalThis.fetch;
  globalThis.fetch = (input, init) => webFetch(typeof input === "string" ? absolute(base, input) : input, init);
  globalThis.Request = relativeTo(base, Request);
  globalThis.EventSource = relativeTo(base, EventSource);
  globalThis.WebSocket = relativeTo(base, WebSocket);
  const { redirect } = Response;
  Response.redirect = (url, ...rest) => redirect(absolute(base, url), ...rest);
}

export default class Server {
  constructor(room) {
    this.room = room;
  }

  async onRequest() {
    const number = Number(this.room.id);
    globalThis.META_TITLE = titles[number] ?? undefined;
    pretendPage(`${origin}/${pages[number]}`);
    await import("./harness.js");
    // By this tests of interfaces know which of them there have to be; the harness itself would speak to a page.
    globalThis.DedicatedWorkerGlobalScope = { [Symbol.hasInstance]: (value) => value === globalThis };
    setup({ explicit_done: true, explicit_timeout: true });
    const ended = new Promise((resolve) => add_completion_callback((tests) => resolve(tests)));
    const told = [];
    add_result_callback((test) => told.push(test));
    let problem = null;
    try {
      await tests[number]();
    } catch (error) {
      problem = error;
    }
    done();
    const timer = new Promise((resolve) => setTimeout(resolve, 20000, null));
    const outcome = await Promise.race([ended, timer]);
    const results = (outcome ?? told).map(({ name, status, message }) => ({
      name: name.toWellFormed(),
      status,
      message: `${message}`.toWellFormed(),
    }));
    if (outcome === null) results.push({ name: "(harness) no end in time", status: 1, message: "" });
    if (problem !== null) results.push({ name: "(harness)", status: 1, message: String(problem) });
    if (results.length === 0) results.push({ name: "(harness)", status: 1, message: "no results" });
    return Response.json(results);
  }
}

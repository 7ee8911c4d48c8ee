// Sockets to other servers: `new WebSocket(url)`, and `fetch` with `Upgrade: websocket`. The host makes the connection.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const {
  ArrayPrototypeIndexOf,
  ArrayPrototypeJoin,
  Error,
  RegExpPrototypeTest,
  SafeRegExp,
  StringPrototypeIndexOf,
  StringPrototypeSlice,
  StringPrototypeSplit,
  StringPrototypeStartsWith,
  Symbol,
} = primordials;
const { Event } = core.loadExtScript("ext:deno_web/02_event.js");
const { DOMException } = core.loadExtScript("ext:deno_web/01_dom_exception.js");
const { URL } = core.loadExtScript("ext:deno_web/00_url.js");
const { URLPrototypeGetHref } = core.loadExtScript("ext:partyrun/06_captured.js");
const { NO_SOCKET } = core.loadExtScript("ext:partyrun/01_wire.js");
const { adopt, closed, closeHost, CLOSING, connectHost, CONNECTING, deliverEarly, dispatch, failed, kRoom, kState, OPEN } = core
  .loadExtScript("ext:partyrun/34_sockets.js");

const kProtocol = Symbol("protocol");
const kExtensions = Symbol("extensions");

// The URL and the protocols as the WebSockets standard wants them, section 3.1.
function webSocketUrl(url) {
  let target;
  try {
    target = new URL(url);
  } catch {
    throw new DOMException("WebSocket Constructor: The url is invalid.", "SyntaxError");
  }
  let href = URLPrototypeGetHref(target);
  if (StringPrototypeStartsWith(href, "http")) href = "ws" + StringPrototypeSlice(href, 4);
  if (!StringPrototypeStartsWith(href, "ws:") && !StringPrototypeStartsWith(href, "wss:")) {
    throw new DOMException("WebSocket Constructor: The url scheme must be ws or wss.", "SyntaxError");
  }
  if (StringPrototypeIndexOf(href, "#") >= 0) {
    throw new DOMException("WebSocket Constructor: The url fragment must be empty.", "SyntaxError");
  }
  return href;
}

const TOKEN = new SafeRegExp("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$");

function protocolList(protocols) {
  if (protocols === undefined || protocols === null) return "";
  // user code: its list is read as it says it is to be read.
  const list = typeof protocols === "object" ? [...protocols] : [protocols];
  for (let i = 0; i < list.length; i++) {
    list[i] = `${list[i]}`;
    if (!RegExpPrototypeTest(TOKEN, list[i])) {
      const which = typeof protocols === "object" ? "One of the protocol header tokens" : "The protocol header token";
      throw new DOMException(`WebSocket Constructor: ${which} is invalid.`, "SyntaxError");
    }
    if (ArrayPrototypeIndexOf(list, list[i]) !== i) {
      throw new DOMException("WebSocket Constructor: The protocols header cannot have repeating values.", "SyntaxError");
    }
  }
  return ArrayPrototypeJoin(list, ", ");
}

// Asks the host for a socket to another server. Rejects when the server does not answer with 101.
async function open(room, url, protocols, headers) {
  const reply = await connectHost(room, url, protocols, headers);
  // own: what the host answered.
  return { index: reply.socket, protocol: headerOf(reply.headers, "sec-websocket-protocol"), reply };
}

function headerOf(text, wanted) {
  const parts = StringPrototypeSplit(text, "\n");
  for (let i = 0; i + 1 < parts.length; i += 2) {
    if (parts[i] === wanted) return parts[i + 1];
  }
  return "";
}

// Goes on with a socket that is CONNECTING.
async function connect(socket, url, protocols) {
  const room = socket[kRoom];
  try {
    const { index, protocol, reply } = await open(room, url, protocols, "");
    // own: what the host answered.
    if (index === NO_SOCKET) throw new Error(`Unexpected server response: ${reply.status}`);
    if (socket[kState] !== CONNECTING) {
      closeHost(room, index, 1000, "");
      throw new Error("WebSocket was closed before the connection was established");
    }
    socket[kProtocol] = protocol;
    // own: what the host answered.
    socket[kExtensions] = headerOf(reply.headers, "sec-websocket-extensions");
    socket[kState] = OPEN;
    // Who hears of it may send at once; what has arrived meanwhile comes after it.
    adopt(socket, room, index);
    dispatch(socket, new Event("open"));
    deliverEarly(room, index);
  } catch (error) {
    socket[kState] = CLOSING;
    failed(socket, error?.message ?? "WebSocket connection failed.");
    closed(socket, 1006, "", false);
  }
}

return { connect, kExtensions, kProtocol, open, protocolList, webSocketUrl };
})();

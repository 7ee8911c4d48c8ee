// The package touches these when it is loaded; a worker has no document.
globalThis.document = {
  createTreeWalker: () => ({}),
  createElement: () => ({ content: {}, style: {} }),
  createRange: () => ({}),
  adoptedStyleSheets: [],
  addEventListener() {},
};
globalThis.window = globalThis;
globalThis.HTMLElement = class {};
globalThis.Element = class {};
globalThis.Node = class {};
globalThis.CSSStyleSheet = class {
  replaceSync() {}
};
globalThis.Document = class {};
globalThis.DocumentFragment = class {};
globalThis.ShadowRoot = class {};
globalThis.NodeFilter = {};
globalThis.MutationObserver = class {
  observe() {}
};
globalThis.ResizeObserver = class {};
globalThis.customElements = { define() {} };

// URLPattern of deno_web. Its `test` and `exec` require an argument that the standard makes optional.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ObjectDefineProperty, ReflectApply } = primordials;
const { URLPattern } = core.loadExtScript("ext:deno_web/01_urlpattern.js");

for (const name in { __proto__: null, test: 0, exec: 0 }) {
  const web = URLPattern.prototype[name];
  const { [name]: value } = {
    [name](...given) {
      if (given.length === 0 || given[0] === undefined) given[0] = { __proto__: null };
      return ReflectApply(web, this, given);
    },
  };
  ObjectDefineProperty(URLPattern.prototype, name, { __proto__: null, configurable: true, enumerable: true, value, writable: true });
}

return { URLPattern };
})();

// URLPattern of deno_web, whose `test` and `exec` insist on an argument that the standard lets be left out.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ObjectDefineProperty, ReflectApply } = primordials;
const { URLPattern } = core.loadExtScript("ext:deno_web/01_urlpattern.js");

for (const name of ["test", "exec"]) {
  const web = URLPattern.prototype[name];
  const { [name]: value } = {
    [name](input = { __proto__: null }, ...rest) {
      return ReflectApply(web, this, [input, ...rest]);
    },
  };
  ObjectDefineProperty(URLPattern.prototype, name, { __proto__: null, configurable: true, enumerable: true, value, writable: true });
}

return { URLPattern };
})();

// `util.isString` and its relatives, which are deprecated and which old packages still call.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ErrorPrototype, ObjectPrototypeIsPrototypeOf } = primordials;
const { Buffer } = core.loadExtScript("ext:deno_node/internal/buffer.mjs");

const isObject = (value) => value !== null && typeof value === "object";
const isFunction = (value) => typeof value === "function";

return {
  isBoolean: (value) => typeof value === "boolean",
  isBuffer: (value) => Buffer.isBuffer(value),
  isDate: core.isDate,
  isError: (value) => core.isNativeError(value) || ObjectPrototypeIsPrototypeOf(ErrorPrototype, value),
  isFunction,
  isNull: (value) => value === null,
  isNullOrUndefined: (value) => value === null || value === undefined,
  isNumber: (value) => typeof value === "number",
  isObject,
  isPrimitive: (value) => !isObject(value) && !isFunction(value),
  isRegExp: core.isRegExp,
  isString: (value) => typeof value === "string",
  isSymbol: (value) => typeof value === "symbol",
  isUndefined: (value) => value === undefined,
};
})();

// A vector index: `context.vectorize.NAME` (spec 2.14), which is kept in the project's own data folder.
"use strict";

(function () {
const { core, primordials } = __bootstrap;
const { ArrayPrototypePush, Number, String, Symbol } = primordials;
const { refuseAll } = core.loadExtScript("ext:partyrun/00_kinds.js");
const { callBinding } = core.loadExtScript("ext:partyrun/54_bindings.js");

const kBinding = Symbol("binding");
const BATCH = 1000;
const TOP_K = 5;

// Values may be an array or a typed array.
function numbers(values) {
  const list = [];
  for (let i = 0; i < values.length; i++) ArrayPrototypePush(list, Number(values[i]));
  return list;
}

function vectorOf({ id, values, namespace, metadata }) {
  return { id: String(id), values: numbers(values), namespace, metadata };
}

async function store(index, method, vectors) {
  const ids = [];
  for (let from = 0; from < vectors.length; from += BATCH) {
    const batch = [];
    for (let i = from; i < vectors.length && i < from + BATCH; i++) ArrayPrototypePush(batch, vectorOf(vectors[i]));
    const { result } = await callBinding("vectorize", index[kBinding], method, { vectors: batch });
    for (let i = 0; i < result.ids.length; i++) ArrayPrototypePush(ids, result.ids[i]);
  }
  return { count: ids.length, ids };
}

function idsOf(ids) {
  const list = [];
  for (let i = 0; i < ids.length; i++) ArrayPrototypePush(list, String(ids[i]));
  return { ids: list };
}

class VectorizeIndex {
  constructor(binding) {
    this[kBinding] = binding;
  }

  async describe() {
    return (await callBinding("vectorize", this[kBinding], "describe", {})).result;
  }

  async query(vector, options) {
    const { returnMetadata } = options ?? {};
    const args = {
      vector: numbers(vector),
      topK: Number(options?.topK ?? TOP_K),
      returnValues: !!options?.returnValues,
      returnMetadata: returnMetadata !== "none" && !!returnMetadata,
      namespace: options?.namespace,
      filter: options?.filter,
    };
    return (await callBinding("vectorize", this[kBinding], "query", args)).result;
  }

  async insert(vectors) {
    return await store(this, "insert", vectors);
  }
  async upsert(vectors) {
    return await store(this, "upsert", vectors);
  }

  async getByIds(ids) {
    return (await callBinding("vectorize", this[kBinding], "getByIds", idsOf(ids))).result;
  }

  async deleteByIds(ids) {
    return (await callBinding("vectorize", this[kBinding], "deleteByIds", idsOf(ids))).result;
  }
}

refuseAll(VectorizeIndex.prototype, "VectorizeIndex");

return { VectorizeIndex };
})();

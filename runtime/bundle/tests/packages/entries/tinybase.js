import { createStore, createRelationships, createMetrics, createMergeableStore, createCheckpoints } from "tinybase";
export const store = createStore().setTablesSchema({ pets: { species: { type: "string" }, price: { type: "number", default: 5 } } });
const metrics = createMetrics(store).setMetricDefinition("total", "pets", "sum", "price");
const checkpoints = createCheckpoints(store);
store.addCellListener("pets", null, "price", (_, table, row, cell, now) => console.log(table, row, cell, now));
store.setRow("pets", "fido", { species: "dog" }).setCell("pets", "fido", "price", 9);
checkpoints.addCheckpoint("sale");
console.log(
  store.getJson(),
  metrics.getMetric("total"),
  JSON.stringify(checkpoints.getCheckpointIds()),
  typeof createRelationships,
  createMergeableStore("s").getContent().length,
);
checkpoints.goBackward();
console.log(store.getJson());

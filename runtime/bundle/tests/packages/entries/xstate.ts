import { createMachine, createActor, assign, setup, fromPromise, waitFor } from "xstate";
import { getShortestPaths } from "xstate/graph";
export const machine = setup({ actors: { load: fromPromise(async () => 42) } }).createMachine({
  id: "m",
  initial: "idle",
  context: { n: 0 },
  states: {
    idle: { on: { GO: "busy", INC: { actions: assign({ n: ({ context }) => context.n + 1 }) } } },
    busy: { invoke: { src: "load", onDone: { target: "done", actions: assign({ n: ({ event }) => event.output }) } } },
    done: { type: "final" },
  },
});
const actor = createActor(machine).start();
actor.send({ type: "INC" });
console.log(JSON.stringify(actor.getSnapshot().value), actor.getSnapshot().context.n);
actor.send({ type: "GO" });
const end = await waitFor(actor, (s) => s.status === "done");
console.log(end.context.n, getShortestPaths(createMachine({ initial: "a", states: { a: { on: { X: "b" } }, b: {} } })).length);

import { syncedStore, getYjsDoc, observeDeep, enableVueBindings, boxed } from "@syncedstore/core";
export const store = syncedStore({ todos: [], meta: {}, text: "text" });
let changes = 0;
observeDeep(store, () => changes++);
store.todos.push({ title: "a", done: false });
store.meta.k = boxed({ raw: 1 });
store.text.insert(0, "yo");
store.todos[0].done = true;
console.log(JSON.stringify(store.todos), JSON.stringify(getYjsDoc(store).toJSON()), changes > 0, typeof enableVueBindings);

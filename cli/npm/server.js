// `partyrun/server` has types only. This file is for tools that look for a module beside them.
export {};

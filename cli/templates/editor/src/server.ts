import type * as Party from "partyrun/server";
import { onConnect } from "y-partykit";

// Each room is a document. Its text is stored, and who is connected is not.
export default class Editor implements Party.Server {
  constructor(readonly room: Party.Room) {}

  onConnect(connection: Party.Connection) {
    return onConnect(connection as never, this.room as never, { persist: { mode: "snapshot" } });
  }
}

Editor satisfies Party.Worker;

/** @typedef {import("partyrun/server").Room} Room */
/** @typedef {import("partyrun/server").Connection} Connection */

// One instance of this class lives in every room: /party/ROOM.
export default class Server {
  /** @param {Room} room */
  constructor(room) {
    this.room = room;
  }

  /** @param {Connection} connection */
  onConnect(connection) {
    connection.send("Welcome to the room.");
    this.room.broadcast("Somebody joined.", [connection.id]);
  }

  /** @param {string} message @param {Connection} sender */
  onMessage(message, sender) {
    this.room.broadcast(message, [sender.id]);
  }

  async onRequest() {
    const visits = ((await this.room.storage.get("visits")) ?? 0) + 1;
    await this.room.storage.put("visits", visits);
    return Response.json({ room: this.room.id, visits });
  }
}

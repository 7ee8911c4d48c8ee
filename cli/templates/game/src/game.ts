import type * as Party from "partyrun/server";

import { emptyBoard, drop, winningLine, type Board, type Side } from "./rules";

// What is stored. A seat belongs to the id of a connection, which the browser's tab keeps, so that a reload changes nothing.
type Game = { board: Board; turn: Side; seats: [Seat, Seat] };
type Seat = { id: string; name: string } | null;
type Heard = { name?: string; column?: number; again?: boolean };

// Each room is one game. The first two who come play, and the others watch. The room leaves memory between moves.
export default class FourInARow implements Party.Server {
  readonly options = { hibernate: true };
  private game: Game = { board: emptyBoard(), turn: 0, seats: [null, null] };

  constructor(readonly room: Party.Room) {}

  async onStart() {
    this.game = (await this.room.storage.get<Game>("game")) ?? this.game;
  }

  async onMessage(data: string, sender: Party.Connection) {
    const { name, column, again } = parse(data);
    const { board, turn, seats } = this.game;
    const isOver = winningLine(board) !== null || !board.includes(null);
    if (name) this.sit(sender.id, name.slice(0, 40));
    if (column !== undefined && !isOver && seats[0] && seats[1] && seats[turn]?.id === sender.id) {
      const next = drop(board, column, turn);
      if (next) this.game = { ...this.game, board: next, turn: turn === 0 ? 1 : 0 };
    }
    if (again && isOver && this.sideOf(sender.id) !== null) {
      // Who has lost, or came second, begins.
      this.game = { board: emptyBoard(), turn: 0, seats: [seats[1], seats[0]] };
    }
    await this.changed();
  }

  async onClose(gone: Party.Connection) {
    const isUntouched = this.game.board.every((cell) => cell === null);
    const side = this.sideOf(gone.id);
    const isBack = this.here(gone).some(({ id }) => id === gone.id);
    // A game that has not begun gives the seat to the next.
    if (side !== null && isUntouched && !isBack) this.game.seats[side] = null;
    await this.changed(gone);
  }

  private sit(id: string, name: string) {
    const side = this.sideOf(id) ?? this.game.seats.indexOf(null);
    if (side !== -1) this.game.seats[side] = { id, name };
  }

  private sideOf(id: string): Side | null {
    const side = this.game.seats.findIndex((seat) => seat?.id === id);
    return side === -1 ? null : (side as Side);
  }

  private here(gone?: Party.Connection) {
    return [...this.room.getConnections()].filter((connection) => connection !== gone);
  }

  // Stores the game, shows it to everybody and tells the lobby.
  private async changed(gone?: Party.Connection) {
    await this.room.storage.put("game", this.game);
    const here = this.here(gone);
    const { board, turn, seats } = this.game;
    const line = winningLine(board);
    const players = seats.map((seat) => seat && { name: seat.name, here: here.some(({ id }) => id === seat.id) });
    const watching = here.filter(({ id }) => this.sideOf(id) === null).length;
    for (const connection of here) {
      connection.send(JSON.stringify({ board, turn, line, players, watching, you: this.sideOf(connection.id) }));
    }
    const names = seats.flatMap((seat) => (seat ? [seat.name] : []));
    const body = JSON.stringify({ id: this.room.id, names: here.length === 0 ? [] : names, isOver: line !== null });
    await this.room.context.parties.lobby.get("lobby").fetch({ method: "POST", body });
  }
}

// Anybody may send anything.
function parse(data: string): Heard {
  try {
    const { name, column, again } = JSON.parse(data) ?? {};
    return {
      name: typeof name === "string" ? name.trim() : "",
      column: typeof column === "number" ? column : undefined,
      again: again === true,
    };
  } catch {
    return {};
  }
}

FourInARow satisfies Party.Worker;

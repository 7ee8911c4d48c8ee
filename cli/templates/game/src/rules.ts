// Four in a row: seven columns of six cells, two sides, discs fall down.

export const COLUMNS = 7;
export const ROWS = 6;
export type Side = 0 | 1;
// Cells row by row, the lowest row first.
export type Board = (Side | null)[];

export const emptyBoard = (): Board => Array(COLUMNS * ROWS).fill(null);

// The board after a disc has fallen into a column, or null where it cannot.
export function drop(board: Board, column: number, side: Side): Board | null {
  if (!Number.isInteger(column) || column < 0 || column >= COLUMNS) return null;
  for (let cell = column; cell < board.length; cell += COLUMNS) {
    if (board[cell] === null) return board.with(cell, side);
  }
  return null;
}

// The four cells that have won, if any.
export function winningLine(board: Board): number[] | null {
  for (let row = 0; row < ROWS; row++) {
    for (let column = 0; column < COLUMNS; column++) {
      for (const [right, up] of [[1, 0], [0, 1], [1, 1], [1, -1]] as const) {
        const line = lineFrom(column, row, right, up);
        const side = line && board[line[0]!];
        if (line && side !== null && line.every((cell) => board[cell] === side)) return line;
      }
    }
  }
  return null;
}

function lineFrom(column: number, row: number, right: number, up: number): number[] | null {
  const [lastColumn, lastRow] = [column + 3 * right, row + 3 * up];
  if (lastColumn >= COLUMNS || lastRow < 0 || lastRow >= ROWS) return null;
  return [0, 1, 2, 3].map((step) => (row + step * up) * COLUMNS + column + step * right);
}

import { Chess, SQUARES, validateFen } from "chess.js";
const game = new Chess();
for (const move of ["e4", "e5", "Qh5", "Nc6", "Bc4", "Nf6", "Qxf7#"]) game.move(move);
console.log(game.fen(), game.isCheckmate(), game.pgn(), SQUARES.length, validateFen("x").ok, game.ascii());
export { game };

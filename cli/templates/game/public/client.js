import { connect, element, nameField } from "./room.js";

// Behind the # of the address is the game, /#k3f9, or nothing: then one is in the lobby.
const game = location.hash.slice(1);
const find = (id) => document.getElementById(id);
find(game ? "game" : "lobby").hidden = false;
addEventListener("hashchange", () => location.reload());

const COLUMNS = 7;
const ROWS = 6;
const DISCS = ["disc", "ring"];

if (game) play();
else choose();

function choose() {
  nameField(() => {});
  connect("/parties/lobby/lobby", "in the lobby", (games) => {
    const items = games.map(({ id, names, isOver }) => {
      const open = names.length === 1;
      const what = open ? `Join ${names[0]}` : `Watch ${names.join(" and ")}`;
      return element("li", {}, element("a", { href: `#${id}`, text: what }), element("span", { text: stateOf(open, isOver) }));
    });
    const nothing = element("li", { text: "No games yet.", className: "quiet" });
    find("games").replaceChildren(...(items.length ? items : [nothing]));
  });
  find("lobby").querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    location.hash = Math.random().toString(36).slice(2, 8);
  };
}

function stateOf(open, isOver) {
  if (open) return "waits for a second player";
  return isOver ? "is over" : "plays";
}

function play() {
  // This id is the seat: it stays with the tab.
  const seat = (sessionStorage.seat ??= crypto.randomUUID?.() ?? String(Math.random()));
  const name = nameField(introduce);
  const send = connect(`/party/${game}?_pk=${seat}`, `game ${game}`, show, introduce);
  const again = find("game").querySelector("form button");

  function introduce() {
    send({ name: name.value });
  }

  const columns = Array.from({ length: COLUMNS }, (_, column) => {
    const cells = Array.from({ length: ROWS }, () => element("span"));
    const button = element("button", { type: "button", onclick: () => send({ column }) }, ...cells);
    return { button, cells };
  });
  find("board").append(...columns.map(({ button }) => button));

  function show({ board, turn, line, players, watching, you }) {
    const full = !board.includes(null);
    columns.forEach(({ button, cells }, column) => {
      // The highest cell comes first on the page, and last on the board.
      const fallen = [];
      cells.forEach((cell, fromTop) => {
        const at = (ROWS - 1 - fromTop) * COLUMNS + column;
        cell.className = [DISCS[board[at]] ?? "", line?.includes(at) ? "won" : ""].join(" ");
        if (board[at] !== null) fallen.unshift(DISCS[board[at]]);
      });
      button.ariaLabel = `Column ${column + 1}: ${fallen.join(", ") || "empty"}`;
      button.disabled = you !== turn || line !== null || full || players.includes(null) || fallen.length === ROWS;
    });
    find("players").replaceChildren(...players.flatMap((player, side) => shown(player, side, you)));
    find("turn").textContent = status({ turn, line, players, you, full });
    find("watching").textContent = watching ? `${watching} ${watching === 1 ? "person watches" : "people watch"}.` : "";
    again.hidden = you === null || !(line || full);
  }

  function shown(player, side, you) {
    const name = player ? player.name + (side === you ? " (you)" : "") + (player.here ? "" : " (away)") : "nobody yet";
    return [element("span", { className: `side ${DISCS[side]}` }), ` ${name} `];
  }

  function status({ turn, line, players, you, full }) {
    if (players.includes(null)) return "Waiting for a second player. Send them the address of this page.";
    const winner = 1 - turn;
    if (line) return winner === you ? "You have won." : `${players[winner].name} has won.`;
    if (full) return "Nobody has won.";
    return turn === you ? "It is your turn." : `It is ${players[turn].name}'s turn.`;
  }

  find("game").querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    send({ again: true });
  };
}

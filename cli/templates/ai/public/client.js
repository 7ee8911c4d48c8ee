import { connect, element, nameField } from "./room.js";

// The room is named behind the # of the address: /#tea-room
const room = location.hash.slice(1) || "lobby";
const messages = document.getElementById("messages");
const text = document.getElementById("text");
const button = document.querySelector("form button");
const name = nameField(introduce);
const shown = new Map();

const send = connect(`/party/${room}`, `in ${decodeURIComponent(room)}`, heard, introduce);

function introduce() {
  send({ name: name.value });
}

function heard(what) {
  if (what.type === "history") {
    messages.replaceChildren();
    shown.clear();
    what.messages.forEach(show);
    document.getElementById("state").textContent += ` · answers from ${what.model}`;
    setBusy(what.busy);
  }
  if (what.type === "message") show(what.message);
  if (what.type === "more") shown.get(what.id).append(what.piece);
  if (what.type === "done") show(what.message);
  if (what.type === "message" || what.type === "done") setBusy(what.type === "message");
  messages.scrollTop = messages.scrollHeight;
}

// A message that is shown already, an answer that has ended, takes its place.
function show({ id, from, text, isAnswer, failed }) {
  const line = element("p", { text, className: failed ? "failed" : "" });
  if (shown.has(id)) shown.get(id).replaceWith(line);
  else {
    const own = !isAnswer && from === name.value;
    messages.append(element("li", { className: own ? "own" : "" }, element("b", { text: from }), line));
  }
  shown.set(id, line);
}

// While an answer is written the button ends it.
function setBusy(busy) {
  button.textContent = busy ? "Stop" : "Send";
  button.type = busy ? "button" : "submit";
  messages.ariaBusy = busy;
}

button.onclick = () => {
  if (button.type === "button") send({ stop: true });
};

document.querySelector("form").onsubmit = (event) => {
  event.preventDefault();
  if (button.type === "button" || !text.value.trim()) return;
  send({ text: text.value });
  text.value = "";
};

addEventListener("hashchange", () => location.reload());

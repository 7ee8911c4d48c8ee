// The room is named behind the # of the address: /#tea-room
const room = location.hash.slice(1) || "lobby";
const scheme = location.protocol === "https:" ? "wss" : "ws";

const find = (id) => document.getElementById(id);
const [state, messages, text, name] = ["state", "messages", "text", "name"].map(find);
const button = document.querySelector("button");

name.value = localStorage.name ??= `guest-${Math.floor(Math.random() * 1000)}`;

let socket;

function connect() {
  socket = new WebSocket(`${scheme}://${location.host}/party/${encodeURIComponent(room)}`);
  socket.onopen = () => {
    // The first list is what was said before.
    messages.replaceChildren();
    show(`in ${room}`);
    introduce();
  };
  socket.onmessage = (event) => JSON.parse(event.data).forEach(add);
  socket.onclose = () => {
    show("connecting again ...");
    setTimeout(connect, 500);
  };
}

function show(line) {
  state.textContent = line;
  button.disabled = socket.readyState !== WebSocket.OPEN;
}

function introduce() {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ name: name.value }));
}

function add({ from, text, at }) {
  const item = document.createElement("li");
  item.className = from === name.value ? "own" : "";
  const who = document.createElement("b");
  who.textContent = from;
  const when = document.createElement("time");
  when.textContent = ` ${new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`;
  const said = document.createElement("p");
  said.textContent = text;
  item.append(who, when, said);
  messages.append(item);
  messages.scrollTop = messages.scrollHeight;
}

name.onchange = () => {
  localStorage.name = name.value;
  introduce();
};

document.querySelector("form").onsubmit = (event) => {
  event.preventDefault();
  if (text.value === "" || button.disabled) return;
  socket.send(JSON.stringify({ text: text.value }));
  text.value = "";
};

addEventListener("hashchange", () => location.reload());
connect();

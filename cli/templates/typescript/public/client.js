const scheme = location.protocol === "https:" ? "wss" : "ws";
const state = document.getElementById("state");
const messages = document.getElementById("messages");

function add(text, own) {
  const item = document.createElement("li");
  item.className = own ? "own" : "";
  const line = document.createElement("p");
  line.textContent = text;
  item.append(line);
  messages.append(item);
  messages.scrollTop = messages.scrollHeight;
}

let socket;

(function connect() {
  socket = new WebSocket(`${scheme}://${location.host}/party/lobby`);
  socket.onopen = () => (state.textContent = "in lobby");
  socket.onmessage = (event) => add(event.data, false);
  socket.onclose = () => {
    state.textContent = "connecting again ...";
    setTimeout(connect, 500);
  };
})();

document.querySelector("form").onsubmit = (event) => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN) return;
  socket.send("Somebody waves.");
  add("You wave.", true);
};

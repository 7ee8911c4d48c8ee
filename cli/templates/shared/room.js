// What the pages of a project share: a connection to a room that is made again when it was lost, and the user's name.

const state = document.getElementById("state");

// Opens a WebSocket to `path`. `heard` gets what the server sends, as the value that it was before it became JSON; `opened`
// runs at each new connection. Answers a function that sends a value, and does nothing while the connection is lost.
export function connect(path, title, heard, opened = () => {}) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  let socket;

  function open() {
    socket = new WebSocket(`${scheme}://${location.host}${path}`);
    socket.onopen = () => {
      show(title, true);
      opened();
    };
    socket.onmessage = (event) => heard(JSON.parse(event.data));
    socket.onclose = () => {
      show("connecting again ...", false);
      setTimeout(open, 500);
    };
  }

  open();
  return (value) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(value));
  };
}

function show(line, online) {
  state.textContent = line;
  document.querySelectorAll("form button").forEach((button) => (button.disabled = !online));
}

// The field for the user's name. This browser remembers it; `changed` runs when it is another.
export function nameField(changed) {
  const field = document.getElementById("name");
  field.value = localStorage.name ??= `guest-${Math.floor(Math.random() * 1000)}`;
  field.onchange = () => {
    field.value = localStorage.name = field.value.trim() || localStorage.name;
    changed();
  };
  return field;
}

// An element with a class and a text. What users wrote is never HTML.
export function element(tag, { className = "", text = "", ...rest } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), { className, textContent: text, ...rest });
  made.append(...children);
  return made;
}

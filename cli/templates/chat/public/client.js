import { connect, element, nameField } from "./room.js";

// The room is named behind the # of the address: /#tea-room
const room = location.hash.slice(1) || "lobby";
const messages = document.getElementById("messages");
const text = document.getElementById("text");
const name = nameField(introduce);

const send = connect(`/party/${room}`, `in ${decodeURIComponent(room)}`, heard, () => {
  // The first list is what was said before.
  messages.replaceChildren();
  introduce();
});

function introduce() {
  send({ name: name.value });
}

function heard(list) {
  for (const { from, text, at } of list) {
    const time = new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    messages.append(
      element(
        "li",
        { className: from === name.value ? "own" : "" },
        element("b", { text: from }),
        element("time", { text: ` ${time}` }),
        element("p", { text }),
      ),
    );
  }
  messages.scrollTop = messages.scrollHeight;
}

document.querySelector("form").onsubmit = (event) => {
  event.preventDefault();
  if (text.value.trim()) send({ text: text.value });
  text.value = "";
};

addEventListener("hashchange", () => location.reload());

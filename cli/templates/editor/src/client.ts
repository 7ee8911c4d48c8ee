import { defaultKeymap } from "@codemirror/commands";
import { EditorState } from "@codemirror/state";
import { EditorView, keymap, placeholder } from "@codemirror/view";
import { yCollab, yUndoManagerKeymap } from "y-codemirror.next";
import YPartyKitProvider from "y-partykit/provider";
import { Doc } from "yjs";

import { nameField, peopleList, type User } from "./people";
import "./style.css";

const find = (id: string) => document.getElementById(id)!;

// The document is named behind the # of the address: /#notes
const room = location.hash.slice(1) || "welcome";
const title = decodeURIComponent(room);
document.title = `${title} · ${document.title}`;

const doc = new Doc();
const text = doc.getText("text");
const provider = new YPartyKitProvider(location.host, room, doc, {
  protocol: location.protocol === "https:" ? "wss" : "ws",
});
const { awareness } = provider;

provider.on("status", ({ status }: { status: string }) => {
  find("state").textContent = status === "connected" ? `in ${title}` : "connecting ...";
});

awareness.setLocalStateField("user", nameField(find("name") as HTMLInputElement, rename));
awareness.on("change", () => peopleList(find("people"), awareness.getStates(), doc.clientID));

new EditorView({
  parent: find("editor"),
  state: EditorState.create({
    extensions: [
      keymap.of([...yUndoManagerKeymap, ...defaultKeymap]),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ "aria-label": `Text of ${title}`, spellcheck: "true" }),
      placeholder("Write something. Everybody with this address sees it at once."),
      yCollab(text, awareness),
    ],
  }),
}).focus();

function rename(user: User) {
  awareness.setLocalStateField("user", user);
  // Others draw a cursor once, with the name of that moment: theirs of this one goes until it is in the text again.
  awareness.setLocalStateField("cursor", null);
}

find("save").onclick = () => {
  const url = URL.createObjectURL(new Blob([text.toString()], { type: "text/plain" }));
  Object.assign(document.createElement("a"), { href: url, download: `${title}.txt` }).click();
  setTimeout(() => URL.revokeObjectURL(url));
};

addEventListener("hashchange", () => location.reload());

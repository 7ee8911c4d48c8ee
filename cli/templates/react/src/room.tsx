import usePartySocket from "partysocket/react";
import { type FormEvent, useEffect, useRef, useState } from "react";

import { TEXT_LENGTH_MAX } from "./messages";
import type { FromClient, FromServer, Message } from "./messages";
import { titleOf } from "./rooms";

export function Room({ room, name }: { room: string; name: string }) {
  const [messages, setMessages] = useState<Message[]>([]);
  const [people, setPeople] = useState<string[]>([]);
  const [online, setOnline] = useState(false);

  const socket = usePartySocket({
    host: location.host,
    room,
    onOpen: () => setOnline(true),
    onClose: () => setOnline(false),
    onMessage(event: MessageEvent<string>) {
      const heard: FromServer = JSON.parse(event.data);
      // The history comes with every connection, so that one which was lost for a while misses nothing.
      if (heard.type === "history") setMessages(heard.messages);
      if (heard.type === "said") setMessages((before) => [...before, heard.message]);
      if (heard.type === "people") setPeople(heard.names);
    },
  });
  const tell = (what: FromClient) => socket.send(JSON.stringify(what));

  useEffect(() => {
    if (online) tell({ type: "name", name });
  }, [online, name]);

  const end = useRef<HTMLLIElement>(null);
  useEffect(() => {
    end.current?.scrollIntoView({ block: "end" });
  }, [messages]);

  const say = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const text = String(new FormData(form).get("text")).trim();
    if (text) tell({ type: "say", text });
    form.reset();
  };

  return (
    <main>
      <header>
        <h2>{titleOf(room)}</h2>
        <p>{online ? people.join(", ") : "Connecting ..."}</p>
      </header>
      <ol>
        {messages.length === 0 && <li className="empty">Nobody has said anything yet.</li>}
        {messages.map((message) => (
          <Said key={message.id} message={message} own={message.from === name} />
        ))}
        <li ref={end} className="end" />
      </ol>
      <form onSubmit={say}>
        <input
          name="text"
          placeholder="Write a message"
          aria-label="Message"
          maxLength={TEXT_LENGTH_MAX}
          autoComplete="off"
          autoFocus
        />
        <button>Send</button>
      </form>
    </main>
  );
}

function Said({ message, own }: { message: Message; own: boolean }) {
  const time = new Date(message.at);
  return (
    <li className={own ? "own" : undefined}>
      <p>
        <b>{message.from}</b>{" "}
        <time dateTime={time.toISOString()}>
          {time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}
        </time>
      </p>
      <p className="text">{message.text}</p>
    </li>
  );
}

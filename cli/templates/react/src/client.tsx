import { type FormEvent, StrictMode, useEffect } from "react";
import { createRoot } from "react-dom/client";

import { NAME_LENGTH_MAX } from "./messages";
import { Room } from "./room";
import { titleOf, useRemembered, useRoom } from "./rooms";
import "./style.css";

function App() {
  const [room, enter] = useRoom();
  const [rooms, setRooms] = useRemembered("rooms", () => ["lobby", "garden", "library"]);
  const [name, setName] = useRemembered("name", () => `guest-${Math.floor(Math.random() * 1000)}`);

  useEffect(() => {
    document.title = `${titleOf(room)} · $NAME`;
    if (!rooms.includes(room)) setRooms([...rooms, room]);
  }, [room, rooms]);

  const enterAnother = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const wanted = String(new FormData(form).get("room")).trim();
    if (wanted) enter(encodeURIComponent(wanted));
    form.reset();
  };

  return (
    <div className="app">
      <nav>
        <h1>$NAME</h1>
        <ul>
          {rooms.map((known) => (
            <li key={known}>
              <a
                href={`/${known}`}
                aria-current={known === room ? "page" : undefined}
                onClick={(event) => {
                  // Another tab is the browser's matter.
                  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
                  event.preventDefault();
                  enter(known);
                }}
              >
                {titleOf(known)}
              </a>
            </li>
          ))}
        </ul>
        <form onSubmit={enterAnother}>
          <input name="room" placeholder="Another room" aria-label="Another room" autoComplete="off" />
        </form>
        <label>
          <span>Your name</span>
          <input
            defaultValue={name}
            maxLength={NAME_LENGTH_MAX}
            autoComplete="off"
            onBlur={(event) => setName(event.target.value.trim() || name)}
            onKeyDown={(event) => event.key === "Enter" && event.currentTarget.blur()}
          />
        </label>
      </nav>
      {/* The key gives each room a state of its own. */}
      <Room key={room} room={room} name={name} />
    </div>
  );
}

createRoot(document.getElementById("app")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);

import { useState } from "react";
import { createRoot } from "react-dom/client";
import usePartySocket from "partysocket/react";

function Counter() {
  const [count, setCount] = useState("?");
  const socket = usePartySocket({
    host: location.host,
    room: "lobby",
    onMessage: (event) => setCount(event.data),
  });
  return <button onClick={() => socket.send("more")}>Everybody has clicked {count} times</button>;
}

createRoot(document.getElementById("app")!).render(<Counter />);

import { useEffect, useState } from "react";

// The room is what the address says: /lobby, /garden, and any other.
const roomOfAddress = () => location.pathname.split("/")[1] || "lobby";

export function useRoom(): [string, (room: string) => void] {
  const [room, setRoom] = useState(roomOfAddress);
  useEffect(() => {
    const moved = () => setRoom(roomOfAddress());
    addEventListener("popstate", moved);
    return () => removeEventListener("popstate", moved);
  }, []);
  const enter = (room: string) => {
    history.pushState(null, "", `/${room}`);
    setRoom(room);
  };
  return [room, enter];
}

// A room's id is a part of an address; this is what people read.
export function titleOf(room: string) {
  try {
    return decodeURIComponent(room);
  } catch {
    return room;
  }
}

// A state that this browser remembers.
export function useRemembered<Value>(key: string, first: () => Value): [Value, (value: Value) => void] {
  const [value, setValue] = useState<Value>(() => {
    const known = localStorage.getItem(key);
    return known ? JSON.parse(known) : first();
  });
  useEffect(() => localStorage.setItem(key, JSON.stringify(value)), [key, value]);
  return [value, setValue];
}

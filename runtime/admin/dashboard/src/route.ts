// Which page is shown: the fragment of the address, so that a reload and the buttons of the browser do what people expect.

import { useEffect, useState } from "preact/hooks";
import { takeToken } from "./api";

export interface Route {
  names: string[];
  parameters: URLSearchParams;
}

function read(): Route {
  const [path = "", search = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const names = path.split("/").filter((name) => name !== "");
  return { names: names.map(decode), parameters: new URLSearchParams(search) };
}

function decode(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

export function useRoute(): Route {
  const [route, show] = useState(read);
  useEffect(() => {
    const changed = () => {
      takeToken();
      show(read());
    };
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

// The address of a page.
export function to(names: string[], parameters: Record<string, string | undefined> = {}): string {
  const given = Object.entries(parameters).filter((pair): pair is [string, string] => !!pair[1]);
  const search = new URLSearchParams(given).toString();
  return `#/${names.map(encodeURIComponent).join("/")}${search && `?${search}`}`;
}

// Shows a page in place of this one, without a step back: for filters that are typed.
export function replace(address: string) {
  history.replaceState(null, "", address);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

// Asks for the token, where the address did not bring one that the server takes.

import { useEffect, useRef, useState } from "preact/hooks";
import { Refusal, ask, hadToken, setToken } from "./api";

export function SignIn() {
  const [text, type] = useState("");
  const [problem, explain] = useState(hadToken() ? "The server does not take the token that this tab had: it may have been restarted." : "");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    document.title = "Sign in · partyrun";
    field.current?.focus();
  }, []);
  const submit = async (event: Event) => {
    event.preventDefault();
    const token = text.trim();
    if (token === "") return explain("Enter the token.");
    try {
      // Bytes that no header takes are in no token.
      if (!/^[\x21-\x7e]+$/.test(token)) throw new Refusal(401, "token", "");
      const answer = await fetch("/v1/openapi.json", { headers: { authorization: `Bearer ${token}` }, cache: "no-store" });
      if (answer.status === 401) throw new Refusal(401, "token", "");
      if (!answer.ok) throw new Refusal(answer.status, "failed", `The server answers ${answer.status}.`);
      setToken(token);
      await ask("/v1/openapi.json");
    } catch (error) {
      if (error instanceof Refusal) explain(error.status === 401 ? "This is not the token of this server." : error.message);
      else explain("The server does not answer. Is it running?");
      field.current?.select();
    }
  };
  return (
    <main class="sign-in">
      <form onSubmit={submit}>
        <img src="/dashboard.svg" alt="" width="32" height="32" />
        <h1>partyrun dashboard</h1>
        <label>
          Token
          <input
            ref={field}
            type="password"
            autocomplete="off"
            spellcheck={false}
            value={text}
            aria-describedby="token-help"
            aria-invalid={problem !== ""}
            onInput={(event) => type(event.currentTarget.value)}
          />
        </label>
        <p class="problem" role="alert">
          {problem}
        </p>
        <button type="submit" class="primary">
          Sign in
        </button>
        <p id="token-help" class="hint">
          <code>partyrun dev</code> prints an address that has it: press <kbd>a</kbd> in its terminal. <code>partyrun start</code> takes
          it from <code>PARTYRUN_ADMIN_TOKEN</code>, or keeps it in <code>.partyrun/admin.token</code>.
        </p>
      </form>
    </main>
  );
}

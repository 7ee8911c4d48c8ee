//! What `dev` shows a browser at `/` where the project has nothing of its own there: its parties, the rooms in memory, and how
//! to connect. Programs get the original's "Not found": they don't ask for HTML.

use std::fmt::Write;

use http::{HeaderValue, Method, header};
use partyrun_engine::RoomState;
use partyrun_net::{Body, Request, Response};

use crate::Server;

const STYLE: &str = "
:root { color-scheme: light dark; --page: #f4f2ee; --paper: #fff; --ink: #22201c; --quiet: #6f6a61; --line: #e2ded6;
  --accent: #b4381f }
@media (prefers-color-scheme: dark) { :root { --page: #191816; --paper: #23211e; --ink: #ece8e0; --quiet: #a29c91;
  --line: #38352f; --accent: #f08a70 } }
* { box-sizing: border-box; margin: 0 }
body { background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; padding: 2rem 1rem }
main { max-width: 46rem; margin: auto; display: grid; gap: 1.5rem }
section { background: var(--paper); border: 1px solid var(--line); border-radius: .8rem; padding: 1.25rem 1.5rem }
h1 { font-size: 1.4rem } h2 { font-size: 1rem; margin-bottom: .5rem }
p, td, th { font-size: .95rem } p.quiet, th { color: var(--quiet); font-weight: normal }
a { color: var(--accent) } table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .3rem .8rem .3rem 0; overflow-wrap: anywhere }
pre { overflow-x: auto; font: .85rem/1.6 ui-monospace, monospace } input, button, select { font: inherit; padding: .4rem .7rem;
  border: 1px solid var(--line); border-radius: .5rem; background: var(--page); color: inherit }
form { display: flex; flex-wrap: wrap; gap: .5rem } #log { min-height: 1.6rem; margin-top: .5rem }
";

// Connects to a room from the page, to see that it answers.
const TRY: &str = r##"
const form = document.querySelector("form"), log = document.querySelector("#log");
const line = (text) => { log.append(text + "\n"); };
let socket;
form.onsubmit = (event) => {
  event.preventDefault();
  const { party, room, message } = form.elements;
  const path = `/parties/${party.value}/${encodeURIComponent(room.value)}`;
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
  const send = () => { if (message.value) { socket.send(message.value); line(`> ${message.value}`); } };
  if (socket?.url === url && socket.readyState === WebSocket.OPEN) return send();
  socket?.close();
  socket = new WebSocket(url);
  const own = socket;
  socket.onopen = () => { line(`connected to ${path}`); send(); };
  socket.onmessage = ({ data }) => line(typeof data === "string" ? `< ${data}` : "< (bytes)");
  socket.onclose = ({ code, reason }) => { if (own === socket) line(`closed with ${code} ${reason}`); };
};
"##;

impl Server {
    /// The page, for a browser that asks for `/`.
    pub(crate) async fn welcome(&self, request: &Request) -> Option<Response> {
        let accept = request.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let wants_page = accept.is_some_and(|accept| accept.contains("text/html"));
        let is_asked = request.method == Method::GET && request.path() == "/" && wants_page;
        // The page of another site that has found a name for this machine must not read which rooms there are.
        let is_own = partyrun_net::host::is_under_own_name(&request.headers)
            && !request.headers.contains_key(header::ORIGIN);
        if !is_asked || !is_own || request.upgrade.is_some() {
            return None;
        }
        let parties: Vec<String> = self.engine.parties().iter().map(|party| party.name.clone()).collect();
        let mut rooms = self.engine.rooms().await;
        rooms.sort_by(|one, other| one.key.cmp(&other.key));
        let crons: Vec<&str> = self.options.crons.iter().map(|(name, _)| name.as_str()).collect();
        let host =
            request.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let page = page(&parties, &rooms, &crons, host);
        let mut response = Response::new(200, Body::Full(page.into()));
        response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        response.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }
}

fn page(parties: &[String], rooms: &[RoomState], crons: &[&str], host: &str) -> String {
    let mut text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>partyrun</title><link rel=\"icon\" href=\"data:,\">\
         <style>{STYLE}</style></head><body><main><h1>Your project runs.</h1>\
         <p class=\"quiet\">This page is here because nothing else answers at <code>/</code>: the project has no static files \
         (<code>\"serve\": \"public\"</code>) and no <code>onFetch</code>. Only <code>partyrun dev</code> shows it.</p>"
    );
    write_rooms(&mut text, parties, rooms);
    write_trial(&mut text, parties);
    let party = parties.first().map_or("main", String::as_str);
    let path = if party == "main" { "/party/lobby".to_string() } else { format!("/parties/{party}/lobby") };
    let (host, path, party) = (escaped(host), escaped(&path), escaped(party));
    push(
        &mut text,
        format_args!(
            "<section><h2>How to connect</h2><pre>new WebSocket(\"ws://{host}{path}\");\n\n\
             import PartySocket from \"partysocket\";\n\
             new PartySocket({{ host: \"{host}\", party: \"{party}\", room: \"lobby\" }});\n\n\
             curl http://{host}{path}</pre></section>"
        ),
    );
    for name in crons {
        let encoded: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        push(
            &mut text,
            format_args!(
                "<p class=\"quiet\">Run the cron {0} now: <a href=\"/__scheduled__?cron={1}\">/__scheduled__?cron={1}</a></p>",
                escaped(name),
                escaped(&encoded)
            ),
        );
    }
    text.push_str("</main><script>");
    text.push_str(TRY);
    text.push_str("</script></body></html>\n");
    text
}

fn write_rooms(text: &mut String, parties: &[String], rooms: &[RoomState]) {
    text.push_str(
        "<section><h2>Parties and rooms in memory</h2><table><tr><th>party<th>room<th>connections<th></tr>",
    );
    for party in parties {
        let mut own = rooms.iter().filter(|room| room.key.party() == party).peekable();
        let name = escaped(party);
        if own.peek().is_none() {
            push(text, format_args!("<tr><td>{name}<td class=\"quiet\">none yet<td><td></tr>"));
        }
        for room in own {
            let id = room.key.id();
            let state = if room.live { "live" } else { "hibernated" };
            push(
                text,
                format_args!(
                    "<tr><td>{name}<td><a href=\"/parties/{name}/{0}\">{0}</a><td>{1}<td>{state}</tr>",
                    escaped(id),
                    room.connections
                ),
            );
        }
    }
    text.push_str("</table></section>");
}

fn write_trial(text: &mut String, parties: &[String]) {
    text.push_str("<section><h2>Try a room</h2><form><select name=\"party\" aria-label=\"Party\">");
    for party in parties {
        push(text, format_args!("<option>{}</option>", escaped(party)));
    }
    text.push_str(
        "</select><input name=\"room\" value=\"lobby\" aria-label=\"Room\" required>\
         <input name=\"message\" placeholder=\"a message\" aria-label=\"Message\"><button>Connect and send</button></form>\
         <pre id=\"log\" aria-live=\"polite\"></pre></section>",
    );
}

fn push(text: &mut String, piece: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(piece);
}

/// A text within HTML, also within an attribute. Names of rooms come from anybody.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use partyrun_store::RoomKey;

    #[test]
    fn names_are_shown_and_do_nothing() {
        let key = RoomKey::new("main", "<img src=x onerror=\"alert(1)\">");
        let rooms = [RoomState { key, live: false, connections: 2 }];
        let page = page(&["main".to_string(), "chat".to_string()], &rooms, &["a b&c"], "x.test\"><script>");
        assert!(!page.contains("<img") && !page.contains("test\"><script>"), "{page}");
        assert!(
            page.contains("&lt;img") && page.contains("hibernated") && page.contains("none yet"),
            "{page}"
        );
        assert!(page.contains("/__scheduled__?cron=a+b%26c"), "{page}");
    }
}

//! What is particular to the edge isolate: what its modules declare, and sockets that it accepts itself.

use std::rc::Rc;
use std::time::Duration;

use partyrun_net::Response;
use serde::Deserialize;

use crate::room::actor::Actor;
use crate::room::event::Waiting;
use crate::room::sockets::Handshake;

/// Which handlers a party's module declares.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct PartyDescription {
    /// The party.
    pub name: String,
    /// It has a static `onBeforeConnect`.
    pub before_connect: bool,
    /// It has a static `onBeforeRequest`.
    pub before_request: bool,
    /// Its prototype has `onRequest`.
    pub request: bool,
    /// It has a static `onFetch`; only that of `main` is used.
    pub fetch: bool,
    /// It has a static `onSocket`; only that of `main` is used.
    pub socket: bool,
    /// It has a static `onCron`; only that of `main` is used.
    pub cron: bool,
    /// Milliseconds that its modules took to be evaluated, but for what they waited for; 0 where nobody measured.
    pub import_ms: u32,
}

/// What `describe` of js/80_edge.js answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Described {
    /// Why the server must not start: the party whose module is wrong, and what is.
    pub(crate) problem: Option<(String, String)>,
    pub(crate) parties: Vec<PartyDescription>,
}

impl Described {
    /// How long the modules of each party took.
    pub(crate) fn import_times(&self) -> impl Iterator<Item = (String, Duration)> {
        let time =
            |party: &PartyDescription| (party.name.clone(), Duration::from_millis(party.import_ms.into()));
        self.parties.iter().map(time)
    }
}

/// Makes a socket of the handshake that request `id` is, to be answered with 101 and `headers`.
pub(crate) fn open(actor: &Rc<Actor>, id: u32, headers: http::HeaderMap) -> u32 {
    let request = actor.requests.borrow_mut().remove(&id);
    let handshake = request.and_then(|request| {
        let upgrade = request.upgrade?;
        let (reply, answer) = tokio::sync::oneshot::channel::<Result<Response, String>>();
        let waiting = request.waiting;
        tokio::task::spawn_local(async move {
            let response = match answer.await {
                Ok(Ok(response)) => response,
                Ok(Err(message)) => Response::text(500, message),
                Err(_) => Response::text(500, "The socket was dropped."),
            };
            match waiting {
                Waiting::Fetch(sender) => drop(sender.send(crate::Fetched::Respond(response))),
                Waiting::Before(sender) => drop(sender.send(crate::Before::Respond(response))),
                Waiting::Plain(sender) => drop(sender.send(response)),
                Waiting::Room(sender) => drop(sender.send(Ok(response))),
            }
        });
        Some(Handshake { upgrade, reply, headers })
    });
    actor.sockets.borrow_mut().add(actor, None, handshake)
}

/// A room id as it stands in a URL's path. Escapes that are there already stay, so that a stub and a URL name the same
/// room (spec 2.9 [P]).
pub(crate) fn encode_room_id(id: &str) -> String {
    let mut encoded = String::with_capacity(id.len());
    for byte in id.bytes() {
        let kept = byte.is_ascii_graphic() && !b"\"#<>?`{}/^|\\".contains(&byte);
        if kept {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::encode_room_id;

    #[test]
    fn room_ids_are_encoded_once() {
        assert_eq!(encode_room_id("a b"), "a%20b");
        assert_eq!(encode_room_id("a%20b"), "a%20b");
        assert_eq!(encode_room_id("a/b?c"), "a%2Fb%3Fc");
        assert_eq!(encode_room_id("\u{e9}"), "%C3%A9");
    }
}

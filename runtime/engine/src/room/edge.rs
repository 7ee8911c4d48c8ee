//! What is particular to the edge: sockets that its static handlers accept themselves, and how rooms stand in URLs.

use std::rc::Rc;

use partyrun_net::Response;

use crate::room::actor::Actor;
use crate::room::requests::Answer;
use crate::room::sockets::Handshake;

/// Makes a socket of the handshake that request `id` is, to be answered with 101 and `headers`.
pub(crate) fn open(actor: &Rc<Actor>, id: u32, headers: http::HeaderMap) -> u32 {
    let handshake = actor.requests.take(id).and_then(|request| {
        let upgrade = request.upgrade?;
        let (reply, answer) = tokio::sync::oneshot::channel::<Answer>();
        let waiting = request.waiting;
        tokio::task::spawn_local(async move {
            waiting.answer(match answer.await {
                Ok(Ok(response)) => response,
                Ok(Err(rejected)) => Response::text(500, rejected.to_string()),
                Err(_) => Response::text(500, "The socket was dropped."),
            });
        });
        Some(Handshake { upgrade, reply, headers })
    });
    actor.sockets.borrow_mut().add(None, handshake)
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

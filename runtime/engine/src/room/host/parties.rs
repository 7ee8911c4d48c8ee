//! Other rooms of the project, asked from inside the process.

use std::rc::Rc;

use deno_error::JsErrorBox;
use http::header;
use partyrun_extensions as ext;
use partyrun_net::{RequestUrl, Response, Upgrade};
use partyrun_store::RoomKey;

use super::HostSlot;
use crate::room::actor::Actor;
use crate::room::edge;
use crate::room::event::Origin;
use crate::room::http::{outgoing_body, parse_headers, reply_of};

impl ext::Parties for HostSlot {
    fn party_url(&self, _party: &str, id: &str, path: &str) -> Result<String, JsErrorBox> {
        Ok(format!("http://{}/parties/{_party}/{}{path}", self.program.host, edge::encode_room_id(id)))
    }

    fn party_fetch(
        &self,
        room: u32,
        request: ext::PartyRequest,
    ) -> ext::LocalFuture<Result<ext::Reply, String>> {
        let Some(actor) = self.room(room) else {
            return Box::pin(async {
                Err("Other parties cannot be reached while modules are loaded.".to_string())
            });
        };
        let url = format!(
            "http://{}/parties/{}/{}{}",
            self.program.host,
            request.party,
            edge::encode_room_id(&request.id),
            request.path
        );
        let written = actor.written();
        Box::pin(async move {
            written.await.map_err(|gone| gone.to_string())?;
            party_fetch(actor, request, &url).await
        })
    }
}

// Asks a room of this project, from inside the process.
async fn party_fetch(actor: Rc<Actor>, request: ext::PartyRequest, url: &str) -> Result<ext::Reply, String> {
    let unpacked_max = actor.shared.limits.answer_inflated_bytes_max;
    let id = edge::encode_room_id(&request.id);
    if id.is_empty() {
        return Ok(reply_of(Response::text(500, "No room id found in request url"), None, unpacked_max));
    }
    let mut headers = parse_headers(&request.headers);
    // As on the network: a body whose length is known says it.
    if let ext::Body::Bytes(bytes) = &request.body {
        headers.entry(header::CONTENT_LENGTH).or_insert_with(|| http::HeaderValue::from(bytes.len()));
    }
    let wants_socket =
        headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let (upgrade, offer) = if wants_socket {
        let (upgrade, offer) = Upgrade::offer();
        (Some(upgrade), Some(offer))
    } else {
        (None, None)
    };
    let message = partyrun_net::Request {
        method: http::Method::from_bytes(request.method.as_bytes()).map_err(|error| error.to_string())?,
        url: RequestUrl::parse(url).ok_or_else(|| format!("Invalid URL: {url}"))?,
        headers,
        version: http::Version::HTTP_11,
        body: outgoing_body(request.body),
        peer: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        upgrade,
        client: None,
    };
    let key = RoomKey::new(request.party, id);
    let origin = if request.forwarded { Origin::Forwarded } else { Origin::Stub };
    let neighbours = actor.shared.neighbours().map_err(|gone| gone.to_string())?;
    let response = neighbours.ask(key, message, origin).await.map_err(|rejected| rejected.to_string())?;
    if response.status != 101 {
        return Ok(reply_of(response, None, unpacked_max));
    }
    let Some(offer) = offer else { return Ok(reply_of(response, None, unpacked_max)) };
    let index = actor.sockets.borrow_mut().add(None, None);
    let socket = actor.sockets.borrow_mut().socket(index);
    let attached = socket.map(|socket| socket.attach(partyrun_net::Transport::Pipe(offer.accept())));
    match attached {
        Some(Ok(())) => Ok(reply_of(response, Some(index), unpacked_max)),
        _ => Err("The socket could not be opened.".to_string()),
    }
}

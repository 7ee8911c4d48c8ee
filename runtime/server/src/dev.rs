//! Endpoints that exist in development only, under `/__partyrun__/`.
//!
//! `POST /__partyrun__/rooms/PARTY/ROOM/hibernate` takes a room out of memory as its idle time would: 204 when it is out,
//! 409 when something in it is in progress or a socket needs it. Tests use it to see a room wake.

use partyrun_net::{Request, Response};
use partyrun_store::RoomKey;

use crate::Server;

const PREFIX: &str = "/__partyrun__/rooms/";

impl Server {
    pub(crate) async fn development(&self, request: &Request) -> Option<Response> {
        let rest = request.path().strip_prefix(PREFIX)?;
        let mut parts = rest.split('/');
        let (Some(party), Some(room), Some("hibernate"), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Some(Response::text(404, "Not found"));
        };
        if request.method != http::Method::POST {
            return Some(Response::text(405, "Use POST."));
        }
        let out = self.engine.hibernate(RoomKey::new(party, room)).await;
        Some(if out {
            Response::new(204, partyrun_net::Body::Empty)
        } else {
            Response::text(409, "Something in the room is in progress, or a socket needs it.")
        })
    }
}

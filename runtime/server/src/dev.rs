//! Endpoints that exist in development only, under `/__partyrun__/`.
//!
//! `POST /__partyrun__/rooms/PARTY/ROOM/hibernate` takes a room out of memory as its idle time would: 204 when it is out,
//! 409 when something in it is still in progress, or a socket needs it, after a moment. Tests use it to see a room wake.

use std::time::Duration;

use partyrun_net::{Request, Response};
use partyrun_store::RoomKey;

use crate::{RELOAD_PATH, Server};

// Whoever closed a socket and asks at once must not lose to the socket's last event.
const WAIT_MAX: Duration = Duration::from_secs(2);
const ASK_EVERY: Duration = Duration::from_millis(10);

const PREFIX: &str = "/__partyrun__/rooms/";

impl Server {
    pub(crate) async fn development(&self, request: &Request) -> Option<Response> {
        if !request.path().starts_with("/__partyrun__/") {
            return None;
        }
        if !partyrun_net::host::is_own_request(&request.headers) {
            return Some(not_own());
        }
        if let Some(reload) = self.options.reload.as_ref().filter(|_| request.path() == RELOAD_PATH) {
            return Some(reload.listen(request));
        }
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
        let key = RoomKey::new(party, room);
        let asking = async {
            while !self.engine.hibernate(key.clone()).await {
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        let out = tokio::time::timeout(WAIT_MAX, asking).await.is_ok();
        Some(if out {
            Response::new(204, partyrun_net::Body::Empty)
        } else {
            Response::text(409, "Something in the room is in progress, or a socket needs it.")
        })
    }
}

/// The answer to whom a page of another site, or another name of this machine, has sent.
pub(crate) fn not_own() -> Response {
    Response::text(
        403,
        "Only a program of this machine's user, or a page of this server, may ask for this, by an IP address or `localhost`.",
    )
}

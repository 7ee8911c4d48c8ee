//! What a request must pass before it is anybody's: the limits of its client (429), and for a WebSocket the origin of the page
//! that opens it (403).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderValue, Version, header};
use partyrun_limits::Limits;
use partyrun_net::{Client, Clients, Excess, Notes, Request, Response};

use crate::client::{Network, is_trusted};
use crate::origins::origin_of;
use crate::{Reporter, Server};

/// As much of an origin as the log shows.
const SHOWN_CHARS: usize = 200;

/// The limits of each client, if any is set: for the front and the server.
pub fn clients(limits: &Limits, proxies: &[Network], reporter: Arc<dyn Reporter>) -> Option<Arc<Clients>> {
    let proxies = proxies.to_vec();
    let is_proxy = move |address: IpAddr| is_trusted(address.to_canonical(), &proxies);
    Clients::new(limits, is_proxy, move |line| reporter.warn(line))
}

/// Lines about origins, for the log.
pub(crate) fn notes(reporter: Arc<dyn Reporter>) -> Notes {
    Notes::new(Box::new(move |line| reporter.warn(line)))
}

impl Server {
    /// The answer to a request that nobody else shall see, if it is one.
    pub(crate) fn refuse(&self, request: &mut Request, client: IpAddr, at: Instant) -> Option<Response> {
        if let Some(clients) = &self.options.clients
            && let Err(excess) = count(clients, request, client, at)
        {
            return Some(Response::too_many(&excess, &self.options.limits));
        }
        let origins = self.options.origins.as_ref().filter(|_| request.upgrade.is_some())?;
        let origin = match origin_of(&request.headers) {
            Ok(None) => return None,
            Ok(Some(origin)) if origins.allow(origin, &request.headers) => return None,
            Ok(Some(origin)) | Err(origin) => origin,
        };
        let (origin, host) = (shown(Some(origin)), shown(request.headers.get(header::HOST)));
        self.origin_notes.say("allowedOrigins", self.started.elapsed(), || {
            format!(
                "A WebSocket from a page of {origin} to {host} was refused with 403: `allowedOrigins` does not name this \
                 origin. If the page is yours, add \"{origin}\" to `allowedOrigins` in partykit.json, or start with \
                 `--allowed-origin`"
            )
        });
        Some(Response::text(403, format!("Pages of {origin} may not connect here.")))
    }
}

fn count(clients: &Arc<Clients>, request: &mut Request, client: IpAddr, at: Instant) -> Result<(), Excess> {
    clients.request(client, request.upgrade.is_some(), at)?;
    if let Some(upgrade) = &mut request.upgrade
        && let Some(hold) = clients.join(request.peer.ip(), client, request.version == Version::HTTP_2)?
    {
        upgrade.count_for(hold);
    }
    request.client = Some(Client::new(clients, client));
    Ok(())
}

// A header's value as a line may have it.
fn shown(value: Option<&HeaderValue>) -> String {
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("(no text)");
    text.chars().take(SHOWN_CHARS).collect()
}

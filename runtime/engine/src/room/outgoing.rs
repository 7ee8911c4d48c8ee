//! WebSockets that user code opens to other servers: `new WebSocket(url)`, and `fetch` with an `Upgrade` header.
//!
//! The host connects and sets up TLS, and `partyrun_net::client` does the handshake. After that the socket is one of the
//! actor's sockets like any other. The request leaves only when the room's writes are durable.

use std::rc::Rc;

use deno_error::JsErrorBox;
use http::header;
use partyrun_extensions as ext;
use partyrun_extensions::tls::{TlsOptions, bare, secure};
use partyrun_net::client::{self, Answer, ClientError};
use partyrun_net::{Body, Response, Transport};
use partyrun_telemetry::limit_hit;
use url::Url;

use crate::room::actor::Actor;
use crate::room::http::{parse_headers, reply_of};
use crate::room::proxy;

/// Opens a WebSocket to `url`. A refusal is a reply without socket.
pub(crate) async fn connect(
    actor: Rc<Actor>,
    url: &str,
    protocols: &str,
    headers: &str,
) -> Result<ext::Reply, JsErrorBox> {
    let url = Url::parse(url).map_err(|error| JsErrorBox::type_error(format!("Invalid URL: {error}")))?;
    if actor.sockets.borrow().len() >= actor.shared.limits.connections_per_room_max {
        limit_hit!(connections_per_room_max);
        let limit = actor.shared.limits.cite("connections_per_room_max");
        return Err(JsErrorBox::range_error(format!("The room has too many connections ({limit}).")));
    }
    actor.written().await.map_err(|gone| JsErrorBox::generic(gone.to_string()))?;
    let asking = ask(&actor, &url, protocols, headers);
    let answer =
        tokio::time::timeout(actor.shared.limits.socket_connect_max, asking).await.map_err(|_| {
            let limit = actor.shared.limits.cite("socket_connect_max");
            JsErrorBox::type_error(format!("{} did not answer in time ({limit})", url.authority()))
        })??;
    let mut response = Response::new(answer.status, Body::Full(answer.body));
    response.reason = Some(answer.reason);
    response.headers = answer.headers;
    if !headers.is_empty() {
        // `fetch` shows what the server would have said without compression.
        response.headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
    }
    response.packed = true;
    let unpacked_max = actor.shared.limits.answer_inflated_bytes_max;
    let Some(end) = answer.socket else { return Ok(reply_of(response, None, unpacked_max)) };
    response.body = Body::Empty;
    let index = actor.sockets.borrow_mut().add(None, None);
    let socket = actor.sockets.borrow_mut().socket(index);
    match socket.map(|socket| socket.attach(Transport::Pipe(end))) {
        Some(Ok(())) => Ok(reply_of(response, Some(index), unpacked_max)),
        _ => Err(JsErrorBox::generic("The socket could not be opened.")),
    }
}

async fn ask(actor: &Actor, url: &Url, protocols: &str, headers: &str) -> Result<Answer, JsErrorBox> {
    let stream = proxy::connect(url).await?;
    // Frames are small and must not wait for one another; if it fails they only come later.
    let _slower = stream.set_nodelay(true);
    let headers = parse_headers(headers);
    let (limits, compression) = (&actor.shared.limits, actor.shared.compression);
    let lost = |error: ClientError| JsErrorBox::type_error(error.to_string());
    if url.scheme() == "wss" {
        let options = TlsOptions { alpn: vec!["http/1.1".to_string()], ..TlsOptions::default() };
        let name = bare(url.host_str().unwrap_or_default());
        let refused = |error: JsErrorBox| JsErrorBox::type_error(error.to_string());
        let stream = secure(stream, name, &options).await.map_err(refused)?;
        client::connect(stream, url, protocols, &headers, compression, limits).await.map_err(lost)
    } else {
        client::connect(stream, url, protocols, &headers, compression, limits).await.map_err(lost)
    }
}

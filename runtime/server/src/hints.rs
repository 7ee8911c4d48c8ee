//! Warnings about a proxy in front that is set up wrongly, each given once: nothing else would tell the operator.

use std::sync::atomic::{AtomicBool, Ordering};

use http::{Method, header};
use partyrun_net::Request;

use crate::client::{self, FORWARDED_FOR};
use crate::{Reporter, ServerOptions};

/// What was told already.
#[derive(Default)]
pub(crate) struct Hints {
    stranger: AtomicBool,
    no_upgrade: AtomicBool,
}

impl Hints {
    /// Looks at a request as it came.
    pub(crate) fn look(&self, request: &Request, options: &ServerOptions, reporter: &dyn Reporter) {
        let headers = &request.headers;
        let peer = request.peer.ip().to_canonical();
        let forwarded = !options.development && headers.contains_key(FORWARDED_FOR);
        if forwarded && !client::is_trusted(peer, &options.trusted_proxies) && is_first(&self.stranger) {
            reporter.warn(&format!(
                "A request from {peer} has the header `x-forwarded-for`, which is not believed: rooms see {peer} as the \
                 client. If {peer} is your proxy, start with `--trusted-proxy {peer}`."
            ));
        }
        // Only a WebSocket's client sends such a key, and always together with `Upgrade`.
        let handshake = request.method == Method::GET && headers.contains_key(header::SEC_WEBSOCKET_KEY);
        if handshake && !headers.contains_key(header::UPGRADE) && is_first(&self.no_upgrade) {
            reporter.warn(
                "The handshake of a WebSocket came without its header `Upgrade`: a proxy in front took it away. In nginx \
                 add to the `location`: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                 proxy_set_header Connection \"upgrade\";",
            );
        }
    }
}

fn is_first(told: &AtomicBool) -> bool {
    !told.swap(true, Ordering::Relaxed)
}

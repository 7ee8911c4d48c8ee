//! Warnings about a proxy in front that is set up wrongly, each given once: nothing else would tell the operator.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use partyrun_net::{Body, Ending, Request, Response};

use crate::client::{self, FORWARDED_FOR};
use crate::{Reporter, ServerOptions};

/// Sockets that were lost lately, as many as are compared.
const LOST_COMPARED: usize = 16;
/// So many of them must have been silent for the same time.
const LOST_ALIKE: usize = 12;
/// The code of a connection that broke.
const LOST: u16 = 1006;
/// A header by which an answer tells nginx, and others after it, not to hold it back.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What was told already.
#[derive(Default)]
pub(crate) struct Hints {
    stranger: AtomicBool,
    no_upgrade: AtomicBool,
    cuts: AtomicBool,
    /// For how many seconds those sockets were silent that were lost lately.
    silences: Mutex<VecDeque<u64>>,
}

/// Lets a stream of events through proxies that would hold it back: what a proxy buffers is no event any more when it comes.
pub(crate) fn unbuffered(mut response: Response) -> Response {
    let is_events = |value: &HeaderValue| value.as_bytes().starts_with(b"text/event-stream");
    if matches!(response.body, Body::Stream(_))
        && response.headers.get(header::CONTENT_TYPE).is_some_and(is_events)
    {
        response.headers.entry(BUFFERING).or_insert(HeaderValue::from_static("no"));
    }
    response
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

impl Hints {
    /// Looks at the end of a socket behind a proxy. Connections that people leave are silent for all kinds of times; a proxy that
    /// waits too short a time cuts them all after the same. partyrun itself drops those that leave pings unanswered for
    /// `pings_end`.
    pub(crate) fn ended(&self, ending: Ending, pings_end: Duration, reporter: &dyn Reporter) {
        let second = Duration::from_secs(1);
        if ending.code != LOST || ending.silent < 2 * second || ending.silent + 2 * second > pings_end {
            return;
        }
        let mut silences = self.silences.lock().unwrap_or_else(PoisonError::into_inner);
        silences.push_back(ending.silent.as_secs());
        if silences.len() > LOST_COMPARED {
            silences.pop_front();
        }
        let Some(seconds) = common(&silences) else { return };
        drop(silences);
        if is_first(&self.cuts) {
            reporter.warn(&format!(
                "A proxy in front seems to cut WebSockets after {seconds} s without a message. Let it wait longer (nginx: \
                 `proxy_read_timeout 1h;`, HAProxy: `timeout tunnel 1h`), or let partyrun ping before that: \
                 `--limit socket_ping_after={}s`.",
                (seconds / 2).max(1)
            ));
        }
    }
}

// The time that most of them have in common, within a second.
fn common(silences: &VecDeque<u64>) -> Option<u64> {
    let alike = |one: u64| silences.iter().filter(|other| other.abs_diff(one) <= 1).count();
    silences.iter().copied().find(|one| alike(*one) >= LOST_ALIKE)
}

fn is_first(told: &AtomicBool) -> bool {
    !told.swap(true, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_time_that_most_have_in_common_is_a_proxys() {
        let of = |list: &[u64]| common(&list.iter().copied().collect());
        assert_eq!(of(&[10; 11]), None);
        assert_eq!(of(&[10, 10, 11, 10, 9, 10, 10, 10, 10, 10, 10, 11]), Some(10));
        assert_eq!(of(&[3, 10, 10, 7, 10, 10, 10, 10, 10, 10, 10, 10, 10, 25, 10]), Some(10));
        assert_eq!(of(&(2..18).collect::<Vec<_>>()), None);
    }

    #[test]
    fn streams_of_events_are_let_through() {
        let field = |content: &'static str, body: Body| {
            let mut response = Response::new(200, body);
            response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
            unbuffered(response).headers.get(BUFFERING).cloned()
        };
        let stream = || Body::Stream(partyrun_net::BodyStream::channel(1, None).1);
        assert_eq!(field("text/event-stream; charset=utf-8", stream()), Some(HeaderValue::from_static("no")));
        assert_eq!(field("text/plain", stream()), None);
        assert_eq!(field("text/event-stream", Body::Empty), None);
    }
}

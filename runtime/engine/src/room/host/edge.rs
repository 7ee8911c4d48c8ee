//! How static handlers end: requests handed on or let pass, handshakes answered by the edge itself.

use std::rc::Rc;

use http::header;
use partyrun_extensions as ext;
use partyrun_net::{RequestUrl, Response, SocketSink};

use super::HostSlot;
use crate::api::{Before, Fetched};
use crate::room::edge;
use crate::room::http::{outgoing_body, parse_headers};
use crate::room::requests::Waiting;
use crate::room::sockets::Relay;

impl ext::Edge for HostSlot {
    fn edge_forward(&self, id: u32, forwarded: ext::Forwarded) {
        let Some(actor) = self.edge() else { return };
        let Some(request) = actor.requests.take(id) else { return };
        let Waiting::Before(sender) = request.waiting else { return };
        let Some(url) = RequestUrl::parse(&forwarded.url) else {
            let _gone = sender.send(Before::Respond(Box::new(Response::text(500, "Invalid URL"))));
            return;
        };
        let headers = parse_headers(&forwarded.headers);
        let wants_socket = headers
            .get(header::UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
        if wants_socket && request.upgrade.is_none() {
            let text = "Worker tried to return a WebSocket in a response to a request which did not contain \
                        the header \"Upgrade: websocket\".";
            let _gone = sender.send(Before::Respond(Box::new(Response::text(500, text))));
            return;
        }
        let keeps_cf = forwarded.keeps_cf;
        let forwarded = partyrun_net::Request {
            method: http::Method::from_bytes(forwarded.method.as_bytes()).unwrap_or(http::Method::GET),
            url,
            headers,
            version: request.version,
            body: outgoing_body(forwarded.body),
            peer: request.peer,
            upgrade: request.upgrade.filter(|_| wants_socket),
            client: None,
        };
        let _gone = sender.send(Before::Forward { request: Box::new(forwarded), keeps_cf });
    }

    fn edge_pass(&self, id: u32) {
        let Some(actor) = self.edge() else { return };
        let Some(request) = actor.requests.take(id) else { return };
        let Waiting::Fetch(sender) = request.waiting else { return };
        let Some(url) = request.url else { return };
        let passed = partyrun_net::Request {
            method: request.method,
            url,
            headers: request.headers.unwrap_or_default(),
            version: request.version,
            body: partyrun_net::Body::Empty,
            peer: request.peer,
            upgrade: None,
            client: None,
        };
        let _gone = sender.send(Fetched::Pass(passed));
    }

    fn edge_wait(&self, change: i32) {
        if let Some(actor) = self.edge() {
            actor.rest.wait(change);
        }
    }

    fn edge_accept(&self, id: u32, headers: &str) -> u32 {
        self.edge().map_or(u32::MAX, |actor| {
            let index = edge::open(&actor, id, parse_headers(headers));
            actor.sockets.borrow_mut().accept(index);
            index
        })
    }

    fn edge_relay(&self, client: u32, socket: u32) {
        let Some(actor) = self.edge() else { return };
        let outer = actor.sockets.borrow_mut().socket(client);
        let inner = actor.sockets.borrow_mut().socket(socket);
        let (Some(outer), Some(inner)) = (outer, inner) else { return };
        let (to_inner, to_outer) = (Relay { other: inner.clone() }, Relay { other: outer.clone() });
        // What arrived and was not given to JavaScript yet goes first.
        for (index, relay) in [(client, &to_inner), (socket, &to_outer)] {
            for event in actor.inbox.take_of_socket(index) {
                relay.event(event);
            }
        }
        outer.set_sink(Rc::new(to_inner));
        inner.set_sink(Rc::new(to_outer));
        // What JavaScript passed on is queued, and no turn of the edge writes it any more.
        outer.flush();
        inner.flush();
        // Both go on without the isolate; JavaScript no longer knows them.
        actor.sockets.borrow_mut().remove(client);
        actor.sockets.borrow_mut().remove(socket);
    }

    fn edge_refuse(&self, index: u32, message: &str) {
        if let Some(actor) = self.edge() {
            actor.sockets.borrow_mut().refuse(index, Response::text(500, message));
        }
    }

    fn edge_open(&self, id: u32) -> u32 {
        self.edge().map_or(u32::MAX, |actor| edge::open(&actor, id, http::HeaderMap::new()))
    }
}

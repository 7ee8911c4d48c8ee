//! Answers to requests, behind the output gate.

use partyrun_extensions as ext;
use partyrun_extensions::wire::PACKED;
use partyrun_net::Response;

use super::HostSlot;
use crate::room::http::{answer_body, parse_headers};

impl ext::Responses for HostSlot {
    fn response(&self, room: u32, id: u32, status: u32, headers: &str, body: ext::Body) {
        let Some(actor) = self.room(room) else { return };
        // The mark says that the body is already in the coding that its header names (js/31_responses.js).
        let packed = status & PACKED != 0;
        let status = u16::try_from(status & !PACKED).unwrap_or(500);
        let mut response = Response::new(status, answer_body(body, actor.requests.answers()));
        response.packed = packed;
        response.headers = parse_headers(headers);
        actor.respond(id, response);
    }

    fn response_reason(&self, room: u32, id: u32, reason: &str) {
        if let Some(actor) = self.room(room) {
            actor.requests.set_reason(id, reason);
        }
    }

    fn response_reject(&self, room: u32, id: u32, message: &str) {
        if let Some(actor) = self.room(room) {
            actor.requests.reject(id, message);
        }
    }
}

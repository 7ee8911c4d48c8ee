//! Answers to requests, behind the output gate.

use partyrun_extensions as ext;
use partyrun_extensions::wire::PACKED;
use partyrun_net::{Response, counted};

use super::HostSlot;
use crate::room::actor::Actor;
use crate::room::event::Waiting;
use crate::room::http::{answer_body, busy, parse_headers};
use crate::room::output_gate::Output;

/// Answers from this length on are counted; what all clients have of shorter ones is bounded by their number.
const LONG_ANSWER_BYTES: usize = 16 << 10;

impl ext::Responses for HostSlot {
    fn response(&self, room: u32, id: u32, status: u32, headers: &str, body: ext::Body) {
        let Some(actor) = self.room(room) else { return };
        // The mark says that the body is already in the coding that its header names (js/31_responses.js).
        let packed = status & PACKED != 0;
        let status = u16::try_from(status & !PACKED).unwrap_or(500);
        let mut response = Response::new(status, answer_body(body, &actor));
        response.packed = packed;
        response.headers = parse_headers(headers);
        response = within_memory(&actor, response);
        response.reason = actor.requests.borrow_mut().get_mut(&id).and_then(|request| request.reason.take());
        if actor.gate.is_open() {
            actor.answer(id, response);
        } else {
            actor.gate.hold(Output::Response(id, response));
        }
    }

    fn response_reason(&self, room: u32, id: u32, reason: &str) {
        if let Some(actor) = self.room(room)
            && let Some(request) = actor.requests.borrow_mut().get_mut(&id)
        {
            request.reason = Some(reason.to_string());
        }
    }

    fn response_reject(&self, room: u32, id: u32, message: &str) {
        let Some(actor) = self.room(room) else { return };
        let request = actor.requests.borrow_mut().remove(&id);
        if let Some(Waiting::Room(sender)) = request.map(|request| request.waiting) {
            let _gone = sender.send(Err(message.to_string()));
        }
    }
}

// An answer, if memory allows it; a long one counts until its client has read it.
fn within_memory(actor: &Actor, mut response: Response) -> Response {
    if let partyrun_net::Body::Full(bytes) = &mut response.body
        && bytes.len() >= LONG_ANSWER_BYTES
    {
        let full = actor.answers.refuses() || !actor.gate.is_open() && actor.gate.is_full();
        if full {
            return busy(&actor.shared.limits, "The room has too many answers that were not read yet.");
        }
        let charge = actor.answers.charge(bytes.len());
        *bytes = counted(std::mem::take(bytes), charge);
    }
    response
}

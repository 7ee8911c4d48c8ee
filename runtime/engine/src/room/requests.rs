//! The requests of a room or of the edge that wait for their answers, by the id under which JavaScript knows them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;

use partyrun_extensions::wire::ID_MAX;
use partyrun_limits::{Budget, Charge, Limits};
use partyrun_net::{Body, RequestUrl, Response, Upgrade, counted};
use partyrun_telemetry::{Span, limit_hit};
use tokio::sync::oneshot;

use crate::api::{Before, Fetched, Rejected};
use crate::room::http::busy;

/// Answers from this length on are counted; what all clients have of shorter ones is bounded by their number.
const LONG_ANSWER_BYTES: usize = 16 << 10;

/// What a room answers. A stub hears of a rejection.
pub(crate) type Answer = Result<Response, Rejected>;

/// Ids for JavaScript, one after the other; 0 means none.
pub(crate) struct Ids(Cell<u32>);

impl Default for Ids {
    fn default() -> Self {
        Self(Cell::new(1))
    }
}

impl Ids {
    /// The next one.
    pub(crate) fn next(&self) -> u32 {
        let id = self.0.get();
        self.0.set(if id >= ID_MAX { 1 } else { id + 1 });
        id
    }
}

/// Who waits for an answer.
pub(crate) enum Waiting {
    /// An HTTP request of a room. A stub hears of a rejection.
    Room(oneshot::Sender<Answer>),
    /// A static handler that may forward.
    Before(oneshot::Sender<Before>),
    /// A static handler that may pass.
    Fetch(oneshot::Sender<Fetched>),
    /// A static handler that must answer.
    Plain(oneshot::Sender<Response>),
}

impl Waiting {
    /// Answers, unless whoever asked has gone away meanwhile.
    pub(crate) fn answer(self, response: Response) {
        match self {
            Self::Room(sender) => drop(sender.send(Ok(response))),
            Self::Before(sender) => drop(sender.send(Before::Respond(Box::new(response)))),
            Self::Fetch(sender) => drop(sender.send(Fetched::Respond(response))),
            Self::Plain(sender) => drop(sender.send(response)),
        }
    }
}

/// A request that waits for its answer, with what is needed to forward it.
pub(crate) struct Pending {
    pub(crate) waiting: Waiting,
    pub(crate) peer: SocketAddr,
    pub(crate) reason: Option<String>,
    pub(crate) upgrade: Option<Upgrade>,
    pub(crate) url: Option<RequestUrl>,
    pub(crate) method: http::Method,
    pub(crate) headers: Option<http::HeaderMap>,
    pub(crate) version: http::Version,
    // What the request is in its trace, if it is traced.
    span: Option<Span>,
    // What its body may take while it waits to be read; counted as long as the request waits.
    _body: Option<Charge>,
}

impl Pending {
    /// A request that will not be forwarded.
    pub(crate) fn answered_only(waiting: Waiting, peer: SocketAddr) -> Self {
        Self {
            waiting,
            peer,
            reason: None,
            upgrade: None,
            url: None,
            method: http::Method::GET,
            headers: None,
            version: http::Version::HTTP_11,
            span: None,
            _body: None,
        }
    }

    /// The same with a streamed body that counts while the request waits.
    pub(crate) fn with_body(self, body: Option<Charge>) -> Self {
        Self { _body: body, ..self }
    }

    /// One that a static handler may hand on.
    pub(crate) fn forwardable(request: &partyrun_net::Request, waiting: Waiting) -> Self {
        Self {
            url: Some(request.url.clone()),
            method: request.method.clone(),
            headers: Some(request.headers.clone()),
            version: request.version,
            ..Self::answered_only(waiting, request.peer)
        }
    }
}

/// The table of them.
pub(crate) struct Requests {
    table: RefCell<HashMap<u32, Pending>>,
    ids: Ids,
    // Of long answers that their clients have not read.
    answers: Rc<Budget>,
    // Of streamed bodies of those that wait.
    bodies: Budget,
}

impl Requests {
    /// Nobody waits yet; what clients have not read of their answers counts in `answers`, streamed bodies in `bodies`.
    pub(crate) fn new(answers: Budget, bodies: Budget) -> Self {
        Self { table: RefCell::default(), ids: Ids::default(), answers: Rc::new(answers), bodies }
    }

    /// The next request's id.
    pub(crate) fn reserve(&self) -> u32 {
        self.ids.next()
    }

    /// Remembers a request under an id from [`Requests::reserve`].
    pub(crate) fn keep(&self, id: u32, request: Pending) {
        self.table.borrow_mut().insert(id, request);
    }

    /// Remembers a request until it is answered, and answers its id.
    pub(crate) fn remember(&self, request: Pending) -> u32 {
        let id = self.reserve();
        self.keep(id, request);
        id
    }

    /// Of long answers, and of pieces of streamed ones, that clients have not read.
    pub(crate) fn answers(&self) -> &Rc<Budget> {
        &self.answers
    }

    /// Of streamed bodies of those that wait.
    pub(crate) fn bodies(&self) -> &Budget {
        &self.bodies
    }

    /// Takes a request out, to be answered by the caller.
    pub(crate) fn take(&self, id: u32) -> Option<Pending> {
        self.table.borrow_mut().remove(&id)
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.table.borrow().len()
    }

    /// Answers a request at once. An unknown one was answered before.
    pub(crate) fn answer(&self, id: u32, response: Response) {
        if let Some(mut request) = self.take(id) {
            if let Some(span) = &mut request.span {
                span.answered(response.status);
            }
            request.waiting.answer(response);
        }
    }

    /// Answers all that wait.
    pub(crate) fn answer_all(&self, response: impl Fn() -> Response) {
        let all = self.table.take();
        for request in all.into_values() {
            request.waiting.answer(response());
        }
    }

    /// The handler failed. Only a stub hears of it; others get their answer from the caller.
    pub(crate) fn reject(&self, id: u32, message: &str) {
        if let Some(Pending { waiting: Waiting::Room(sender), .. }) = self.take(id) {
            let _gone = sender.send(Err(Rejected(message.to_string())));
        }
    }

    /// The span of a request, which ends with its answer.
    pub(crate) fn trace(&self, id: u32, span: Span) {
        if let Some(request) = self.table.borrow_mut().get_mut(&id) {
            request.span = Some(span);
        }
    }

    /// The reason phrase that the answer shall have.
    pub(crate) fn set_reason(&self, id: u32, reason: &str) {
        if let Some(request) = self.table.borrow_mut().get_mut(&id) {
            request.reason = Some(reason.to_string());
        }
    }

    /// The reason phrase that was set.
    pub(crate) fn take_reason(&self, id: u32) -> Option<String> {
        self.table.borrow_mut().get_mut(&id)?.reason.take()
    }

    /// The answer itself if memory allows it, else 503. A long one counts until its client has read it. `full` names the
    /// limit that lets no more of them wait for the disk.
    pub(crate) fn within_memory(
        &self,
        mut response: Response,
        limits: &Limits,
        full: Option<String>,
    ) -> Response {
        if let Body::Full(bytes) = &mut response.body
            && bytes.len() >= LONG_ANSWER_BYTES
        {
            if let Some(limit) = full {
                limit_hit!(held_bytes_max);
                let text =
                    format!("The room has too many answers that wait for its writes to be stored ({limit}).");
                return busy(limits, &text);
            }
            if self.answers.refuses() {
                limit_hit!(answers_bytes_max);
                let limit = self.answers.cite("answers_bytes_max", "answers_total_bytes_max");
                return busy(
                    limits,
                    &format!("The room has too many answers that were not read yet ({limit})."),
                );
            }
            let charge = self.answers.charge(bytes.len());
            *bytes = counted(std::mem::take(bytes), charge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_waiting_gets_its_answer_and_only_stubs_a_rejection() {
        let requests = Requests::new(Budget::unbounded(), Budget::unbounded());
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let (room, mut answer) = oneshot::channel();
        let (stub, mut rejected) = oneshot::channel();
        let (before, mut decided) = oneshot::channel();
        let (plain, mut told) = oneshot::channel();
        let kinds =
            [Waiting::Room(room), Waiting::Room(stub), Waiting::Before(before), Waiting::Plain(plain)];
        let ids = kinds.map(|waiting| requests.remember(Pending::answered_only(waiting, peer)));
        assert_eq!(ids, [1, 2, 3, 4]);
        requests.set_reason(ids[0], "Fine");
        assert_eq!(requests.take_reason(ids[0]).as_deref(), Some("Fine"));
        requests.answer(ids[0], Response::text(200, "yes"));
        requests.answer(ids[0], Response::text(500, "twice"));
        assert_eq!(answer.try_recv().unwrap().unwrap().status, 200);
        requests.reject(ids[1], "no");
        assert_eq!(rejected.try_recv().unwrap().unwrap_err(), Rejected("no".to_string()));
        requests.answer_all(|| Response::text(503, "later"));
        assert!(matches!(decided.try_recv(), Ok(Before::Respond(response)) if response.status == 503));
        assert_eq!(told.try_recv().unwrap().status, 503);
        assert!(requests.is_empty());
    }

    #[test]
    fn long_answers_count_until_they_are_read() {
        let total = partyrun_limits::Total::new(1 << 20);
        let requests = Requests::new(Budget::new(&total, 30_000), Budget::unbounded());
        let limits = Limits::default();
        let answer = |full: Option<&str>| {
            let full = full.map(str::to_string);
            requests.within_memory(Response::text(200, "x".repeat(20_000)), &limits, full)
        };
        let text = |response: Response| match response.body {
            Body::Full(bytes) if response.status == 503 => String::from_utf8(bytes.to_vec()).unwrap(),
            other => panic!("{} {other:?}", response.status),
        };
        let first = answer(None);
        let second = answer(None);
        assert_eq!((first.status, second.status), (200, 200));
        assert!(text(answer(None)).ends_with("not read yet (limit `answers_bytes_max`: 29.3 KiB)."));
        drop((first, second));
        assert_eq!(total.used(), 0);
        assert!(text(answer(Some("limit `x`"))).ends_with("to be stored (limit `x`)."));
    }
}

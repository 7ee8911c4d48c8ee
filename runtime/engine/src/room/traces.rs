//! The spans of a room: of its events, of its commits, and of the requests that it makes.
//!
//! A request has a span if it says that it belongs to a trace, any other event by the sampler's choice. The span of a request
//! lasts until its answer, that of an alarm until its run has ended, and that of any other event until its handler waits for
//! something or has ended. Nothing here is done while nobody traces.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};

use http::HeaderMap;
use partyrun_net::RequestUrl;
use partyrun_telemetry::{Place, Side, Span, Tracer, tracer};

use crate::api::Source;
use crate::ground::pulse::Step;
use crate::room::event::Event;

/// Requests of one room that are traced at a time; more than that are made without a span.
const CALLS_MAX: usize = 1024;
/// Commits that are traced at a time.
const COMMITS_MAX: usize = 64;

/// An event's place in a trace, with its span if it is sampled.
pub(crate) struct Traced {
    pub(crate) place: Place,
    pub(crate) span: Option<Span>,
}

/// The spans of a room that have not ended.
#[derive(Default)]
pub(crate) struct Traces {
    // The last event of this turn that is sampled: what the turn writes is its.
    turn: RefCell<Option<Place>>,
    // By the number of their batch.
    commits: RefCell<VecDeque<(u64, Span)>>,
    // By their place, as the scripts know it.
    calls: RefCell<HashMap<String, Span>>,
}

impl Traces {
    /// An event begins. None if it has no place in any trace.
    #[inline]
    pub(crate) fn begin(&self, tracer: &'static Tracer, source: &Source, event: &Event) -> Option<Traced> {
        if event.headers().is_none() {
            let step = event.step();
            let span = tracer.begin(Side::Internal, None, || name(step))?;
            return self.begun(source, span);
        }
        self.begin_within(tracer, source, event)
    }

    // An event that was brought by a request.
    fn begin_within(&self, tracer: &'static Tracer, source: &Source, event: &Event) -> Option<Traced> {
        // Without one, whoever brought the request has decided that it is in no trace.
        let parent = event.headers().and_then(place_of)?;
        let step = event.step();
        let Some(span) = tracer.begin(Side::Internal, Some(&parent), || name(step)) else {
            // Whoever is asked on the way must not begin a trace of its own.
            return Some(Traced { place: tracer.dropped(&parent), span: None });
        };
        self.begun(source, span)
    }

    fn begun(&self, source: &Source, mut span: Span) -> Option<Traced> {
        if let Source::Room(key) = source {
            span.set("partyrun.party", key.party().to_string());
            span.set("partyrun.room", key.id().to_string());
        }
        let place = span.place()?;
        *self.turn.borrow_mut() = Some(place.clone());
        Some(Traced { place, span: Some(span) })
    }

    /// The turn ends, with a batch of this number or without one.
    pub(crate) fn end_of_turn(&self, batch: Option<u64>) {
        let Some(parent) = self.turn.take() else { return };
        let mut commits = self.commits.borrow_mut();
        if let (Some(seq), Some(tracer)) = (batch, tracer())
            && commits.len() < COMMITS_MAX
            && let Some(span) = tracer.begin(Side::Internal, Some(&parent), || "commit")
        {
            commits.push_back((seq, span));
        }
    }

    /// The batch of this number, and those before it, are durable, or never will be.
    pub(crate) fn committed(&self, seq: u64, durable: bool) {
        let mut commits = self.commits.borrow_mut();
        while commits.front().is_some_and(|(number, _)| *number <= seq) {
            if let Some((_, mut span)) = commits.pop_front()
                && !durable
            {
                span.fail("the writes could not be stored");
            }
        }
    }

    /// User code at `place` asks another server or room. Answers the place of the request.
    pub(crate) fn begin_call(&self, place: &str, method: &str, url: &str) -> String {
        let Some(tracer) = tracer() else { return String::new() };
        let Some(parent) = Place::of_text(place) else { return tracer.unsampled().text() };
        let mut calls = self.calls.borrow_mut();
        let span = match calls.len() < CALLS_MAX {
            true => tracer.begin(Side::Client, Some(&parent), || method.to_string()),
            false => None,
        };
        let Some(mut span) = span else { return tracer.dropped(&parent).text() };
        span.set("http.request.method", method.to_string());
        if let Some(url) = RequestUrl::parse(url) {
            // Tokens stand in queries.
            span.set("url.full", format!("{}{}", url.origin(), url.path()));
        }
        let own = span.place().map(|place| place.text()).unwrap_or_default();
        calls.insert(own.clone(), span);
        own
    }

    /// A request has ended.
    pub(crate) fn end_call(&self, place: &str, status: u32) {
        let Some(mut span) = self.calls.borrow_mut().remove(place) else { return };
        match u16::try_from(status) {
            Ok(status) if status > 0 => span.answered(status),
            _ => span.fail("there was no answer"),
        }
    }

    /// The isolate is gone, and with it what it waited for.
    pub(crate) fn forget(&self) {
        self.calls.borrow_mut().clear();
        *self.turn.borrow_mut() = None;
    }
}

/// The place in a trace that a request has.
fn place_of(headers: &HeaderMap) -> Option<Place> {
    let field = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Place::read(field("traceparent")?, field("tracestate").unwrap_or_default())
}

fn name(step: Step) -> String {
    step.subject().replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_named_by_their_handlers() {
        assert_eq!(name(Step::Message), "onMessage");
        assert_eq!(name(Step::BeforeRequest), "onBeforeRequest");
    }

    #[test]
    fn nothing_is_kept_while_nobody_traces() {
        let traces = Traces::default();
        assert_eq!(traces.begin_call("", "GET", "http://localhost/"), "");
        traces.end_call("", 200);
        traces.end_of_turn(Some(1));
        traces.committed(1, true);
        assert!(traces.calls.borrow().is_empty() && traces.commits.borrow().is_empty());
    }
}

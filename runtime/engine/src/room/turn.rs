//! A room's part of a turn: its events go in, and at the end goes out what it wrote and said.

use deno_core::v8;
use partyrun_net::Response;
use partyrun_telemetry::tracer;

use crate::api::Level;
use crate::api::admin::AskError;
use crate::ground::overrun;
use crate::ground::pulse::{Overrun, Step};
use crate::isolate::{CallError, Calls, Entered, call, text};
use crate::room::actor::Actor;
use crate::room::event::{Event, dispatch};
use crate::room::state::Start;
use crate::room::traces::Traced;

/// Events that one turn may take before other rooms of the worker get theirs.
const EVENTS_PER_TURN_MAX: usize = 256;

impl Actor {
    /// What runs from now on is `step`.
    pub(crate) fn step(&self, step: Step) -> Result<(), CallError> {
        let was_ended = self.shared.pulse.step(step);
        if self.shared.shares_isolate {
            self.shared.pulse.now_of(Some(&self.source));
        }
        if was_ended { Err(CallError::Terminated) } else { Ok(()) }
    }

    /// Whether events may be given to JavaScript.
    pub(crate) fn is_ready(&self) -> bool {
        !self.startup.is_held()
            && !self.rest.is_reset()
            && (self.key().is_none() || self.startup.state() == Start::Started)
    }

    /// Gives JavaScript the events that wait, with a microtask checkpoint after each.
    pub(crate) fn deliver(&self, entered: &mut Entered<'_>) -> Result<(), CallError> {
        self.fail_first_if_start_failed();
        if self.inbox.is_empty() || !self.is_ready() {
            return Ok(());
        }
        let delivered = entered.scope(|scope, calls| {
            for _ in 0..EVENTS_PER_TURN_MAX {
                if !self.is_ready() {
                    break;
                }
                let Some(event) = self.inbox.pop() else { break };
                if let Event::Change(wanted) = event {
                    self.change(*wanted);
                    continue;
                }
                match &event {
                    Event::Text(_, message) => self.meters.received(message.len()),
                    Event::Binary(_, message) => self.meters.received(message.len()),
                    _ => {}
                }
                self.step(event.step())?;
                v8::scope!(let scope, scope);
                match tracer().and_then(|tracer| self.traces.begin(tracer, &self.source, &event)) {
                    None => dispatch(scope, calls, self.number(), event)?,
                    Some(traced) => self.dispatch_traced(scope, calls, traced, event)?,
                }
                scope.perform_microtask_checkpoint();
                if scope.is_execution_terminating() {
                    return Err(CallError::Terminated);
                }
            }
            Ok(())
        });
        delivered.unwrap_or(Ok(()))
    }

    // The same as `dispatch`, as a part of the trace to which the event belongs, or in which it begins one.
    #[cold]
    fn dispatch_traced(
        &self,
        scope: &mut v8::PinScope<'_, '_>,
        calls: &Calls,
        Traced { place, span }: Traced,
        event: Event,
    ) -> Result<(), CallError> {
        let mut own = None;
        match (span, event.answered_by(), &event) {
            (Some(span), Some(id), _) => self.requests.trace(id, span),
            (Some(span), None, Event::Alarm(token)) => self.trace_alarm(*token, span),
            (span, ..) => own = span,
        }
        let place = text(scope, &place.text())?;
        call(scope, &calls.trace, &[place])?;
        dispatch(scope, calls, self.number(), event)?;
        scope.perform_microtask_checkpoint();
        let nowhere = v8::undefined(scope).into();
        call(scope, &calls.trace, &[nowhere])?;
        drop(own);
        Ok(())
    }

    /// The room had a part in a turn that has ended.
    pub(crate) fn end_of_turn(&self) {
        self.leave_turn();
        if let Some((why, reason)) = self.rest.take_reset() {
            self.reset(why, &reason);
        }
        if self.startup.state() == Start::Started {
            self.placing.settle();
        }
        if self.inbox.lets_go_on() {
            self.sockets.borrow().resume();
        }
    }

    /// Answers an event that will not be given to user code.
    pub(crate) fn refuse(&self, event: Event, response: impl FnOnce() -> Response) {
        match event {
            Event::Request(id, ..)
            | Event::Before(id, _)
            | Event::Fetch(id, _)
            | Event::Socket(id, _)
            | Event::Cron(id, _) => self.requests.answer(id, response()),
            Event::Connect(index, ..) => self.sockets.borrow_mut().refuse(index, response()),
            Event::End(index, _) => self.sockets.borrow_mut().remove(index),
            Event::Alarm(token) => self.alarm_done(token, false),
            Event::Change(wanted) => wanted.answer(Err(AskError::Gone("the room was reset".to_string()))),
            Event::Text(..) | Event::Binary(..) => {}
        }
    }

    /// A step of this turn took long: the room is a slow one, and its owner hears of it. Of rooms that share an isolate it may
    /// be any, and `who` names them.
    pub(crate) fn overran(&self, overrun: &Overrun, who: &str) {
        // All rooms import the same project; the edge has told it.
        if overrun.step == Step::Import {
            return;
        }
        self.rest.note_slow();
        let Ok(engine) = self.shared.neighbours() else { return };
        // Where the step was ended, the reason of the reset says so.
        if overrun.ended.is_some() || !engine.warns_of(&self.source, overrun.step) {
            return;
        }
        let text = format!(
            "{}: {} used {} of CPU time in one go. The other rooms of its thread waited meanwhile (limit `turn_cpu_warn`).{}\n",
            who,
            overrun.step.subject(),
            overrun::seconds(overrun.cpu),
            overrun.stack,
        );
        match &overrun.source {
            Some(source) => self.shared.observer.console(source, Level::Warn, &text),
            None => self.shared.observer.warn(text.trim_end()),
        }
    }
}

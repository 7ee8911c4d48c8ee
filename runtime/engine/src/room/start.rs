//! A room's start: from a fresh isolate to the end of `onStart`; and what the edge does instead, which is to say what its
//! modules declare.

use deno_core::v8;
use partyrun_extensions::wire;
use partyrun_net::Response;

use crate::api::{Described, RoomChange};
use crate::ground::pulse::Step;
use crate::isolate::{CallError, Entered, call, text};
use crate::room::actor::Actor;
use crate::room::state::Start;

impl Actor {
    /// Begins the start, if there is an event for it and it has not begun.
    pub(crate) fn begin(&self, entered: &mut Entered<'_>) -> Result<(), CallError> {
        if self.startup.state() != Start::New || self.inbox.is_empty() {
            return Ok(());
        }
        match self.key() {
            Some(_) => self.begin_start(entered),
            // The edge was reset: its new isolate must be told again what it runs.
            None => self.describe_in(entered).map(drop),
        }
    }

    // Calls `start` of js/70_room.js.
    fn begin_start(&self, entered: &mut Entered<'_>) -> Result<(), CallError> {
        let Some(key) = self.key().cloned() else { return Ok(()) };
        self.step(Step::Start)?;
        self.startup.state.set(Start::Starting);
        let program = self.shared.program.borrow().clone();
        let started = entered.scope(|scope, calls| {
            let info = serde_json::json!({
                "id": key.id(),
                "party": key.party(),
                "internalId": key.internal_id(),
                "env": program.env,
                "parties": program.parties,
                "resources": program.resources,
            });
            let info =
                deno_core::serde_v8::to_v8(scope, info).map_err(|_| CallError::Failed("starting a room"))?;
            let restored = self.restored(scope)?;
            let room = v8::Integer::new_from_unsigned(scope, self.number()).into();
            let outcome = call(scope, &calls.start, &[room, info, restored])?;
            let outcome = outcome.uint32_value(scope).unwrap_or(wire::START_FAILED);
            scope.perform_microtask_checkpoint();
            Ok::<u32, CallError>(outcome)
        });
        match started.unwrap_or(Ok(wire::START_FAILED))? {
            wire::STARTED => self.has_started(),
            // `op_room_started` ends it: perhaps it has already.
            wire::STARTING => {}
            _ => self.startup.state.set(Start::New),
        }
        Ok(())
    }

    // The connections that outlived the isolate, RESTORED_FIELDS values each.
    fn restored<'s>(&self, scope: &mut v8::PinScope<'s, '_>) -> Result<v8::Local<'s, v8::Value>, CallError> {
        let sockets = self.sockets.borrow();
        let mut values: Vec<v8::Local<v8::Value>> = Vec::new();
        for (index, connection) in sockets.hibernated() {
            values.push(v8::Integer::new_from_unsigned(scope, index).into());
            values.push(text(scope, &connection.id)?);
            values.push(text(scope, &connection.uri)?);
            let tags: Vec<v8::Local<v8::Value>> =
                connection.tags.iter().map(|tag| text(scope, tag)).collect::<Result<_, _>>()?;
            values.push(v8::Array::new_with_elements(scope, &tags).into());
            values.push(match &connection.attachment {
                None => v8::undefined(scope).into(),
                Some(bytes) => {
                    let length = bytes.len();
                    let store = v8::ArrayBuffer::new_backing_store_from_vec(bytes.clone()).make_shared();
                    let buffer = v8::ArrayBuffer::with_backing_store(scope, &store);
                    let view = v8::Uint8Array::new(scope, buffer, 0, length);
                    view.ok_or(CallError::Failed("restoring a connection"))?.into()
                }
            });
        }
        Ok(v8::Array::new_with_elements(scope, &values).into())
    }

    /// `onStart` has ended; `failure` is empty when it went well.
    pub(crate) fn started(&self, failure: &str) {
        if failure.is_empty() {
            self.has_started();
        } else {
            self.startup.state.set(Start::New);
            *self.startup.failure.borrow_mut() = Some(failure.to_string());
        }
        self.wake();
    }

    fn has_started(&self) {
        self.startup.state.set(Start::Started);
        if let Some((since, wakes)) = self.startup.take_awaited() {
            let kind = if wakes { &self.meters.wake_ups } else { &self.meters.new_rooms };
            let took = since.elapsed();
            kind.record(took);
            self.shared.changed(&self.source, &RoomChange::Started { woke: wakes, took });
        }
    }

    /// The event that began a failed start is answered with the failure; the next event tries again (spec 2.3 [P]).
    pub(crate) fn fail_first_if_start_failed(&self) {
        let Some(failure) = self.startup.failure.take() else { return };
        if let Some(event) = self.inbox.pop() {
            self.refuse(event, || Response::text(500, failure));
        }
        if !self.inbox.is_empty() {
            self.wake();
        }
    }

    /// Asks the edge what the modules declare.
    pub(crate) fn describe_in(&self, entered: &mut Entered<'_>) -> Result<Described, CallError> {
        let program = self.shared.program.borrow().clone();
        let described = entered.scope(|scope, calls| {
            let info = serde_json::json!({
                "env": program.env, "parties": program.parties, "resources": program.resources,
            });
            let info = deno_core::serde_v8::to_v8(scope, info)
                .map_err(|_| CallError::Failed("reading the parties"))?;
            let value = call(scope, &calls.describe, &[info])?;
            deno_core::serde_v8::from_v8::<Described>(scope, value)
                .map_err(|error| CallError::Thrown(error.to_string()))
        });
        self.startup.state.set(Start::Started);
        if let Some(Ok(described)) = &described {
            program.note_import_times(described.import_times());
        }
        described.unwrap_or(Err(CallError::Failed("reading the parties")))
    }
}

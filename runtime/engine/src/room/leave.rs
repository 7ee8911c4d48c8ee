//! The way out of a room. Whatever leaves it leaves after the writes before it: messages and answers through the output gate,
//! and what asks the outside (a `fetch`, a connection, another room, a binding) after [`Actor::written`].

use partyrun_net::Response;
use partyrun_store::StoreError;
use partyrun_telemetry::Reset;

use crate::api::Gone;
use crate::room::actor::Actor;
use crate::room::output_gate::Output;

impl Actor {
    /// Waits until what the room has written by now is durable. Every op that reaches the outside awaits it first; where
    /// nothing was written it is ready at once. An error says that the writes are lost, and the room with them.
    pub(crate) fn written(&self) -> impl Future<Output = Result<(), Gone>> + use<> {
        let waiting = self.gate.wait();
        if waiting.is_some() {
            // The turn's end hands the writes to the store.
            self.wake();
        }
        async move {
            match waiting {
                None => Ok(()),
                // Who is dropped unanswered belongs to a turn that was discarded.
                Some(durable) => durable.await.unwrap_or_else(|_| Err(Gone::reset())),
            }
        }
    }

    /// Hands the turn's writes to the store and what may leave to the sockets.
    pub(crate) fn leave_turn(&self) {
        let end = self.gate.end_of_turn(self.records.as_ref().map(|records| records.storage()));
        self.traces.end_of_turn(end.batch.as_ref().map(|batch| batch.seq));
        if let (Some(batch), Some(records)) = (end.batch, &self.records)
            && let Some(worker) = self.shared.worker.upgrade()
        {
            worker.commit(self.serial, records.life(), batch);
        }
        self.say(end.outputs);
    }

    /// A batch of that life is durable, or never will be: then the room is reset and begins anew with what is durable.
    pub(crate) fn durable(&self, life: u32, seq: u64, result: Result<(), StoreError>) {
        self.traces.committed(seq, result.is_ok());
        let Some(records) = &self.records else { return };
        // Later batches of a life that has failed fail, too; the room has a new one by then.
        if records.life() != life {
            return;
        }
        let Err(failure) = result else {
            records.committed(seq);
            return self.say(self.gate.settled(seq));
        };
        records.storage().borrow_mut().failed(seq);
        let reason = format!("its writes could not be stored: {failure}");
        self.gate.fail(&reason);
        self.reset(Reset::Storage, &reason);
        if let Some(key) = self.key() {
            records.renew(self.shared.store.room(key.clone()));
        }
    }

    fn say(&self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Frame(index, frame) => self.sockets.borrow_mut().send_shared(index, &frame),
                Output::Frames(indexes, frame) => {
                    let mut sockets = self.sockets.borrow_mut();
                    for index in indexes {
                        sockets.send_shared(index, &frame);
                    }
                }
                Output::Close(index, close) => self.sockets.borrow_mut().close(index, close),
                Output::Accept(index) => self.sockets.borrow_mut().accept(index),
                Output::Response(id, response) => self.requests.answer(id, response),
            }
        }
        self.sockets.borrow_mut().flush();
    }

    /// Sends an answer now, or when what was written before it is durable.
    pub(crate) fn respond(&self, id: u32, response: Response) {
        let full = (!self.gate.is_open()).then(|| self.gate.full()).flatten();
        let mut response = self.requests.within_memory(response, &self.shared.limits, full);
        response.reason = self.requests.take_reason(id);
        if self.gate.is_open() {
            self.requests.answer(id, response);
        } else {
            self.gate.hold(Output::Response(id, response));
        }
    }
}

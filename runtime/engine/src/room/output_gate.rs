//! The output gate: what a room says after a write leaves only when that write is durable (design, section 4).
//!
//! While nothing is undurable, frames go straight into the queues of their sockets, and the end of the turn flushes each
//! socket that has something once. Otherwise what is said is kept here, in order, under the number of the batch that it
//! waits for. When a batch fails, what waited is forgotten and the room is reset.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};

use partyrun_limits::Budget;
use partyrun_net::{Body, CloseFrame, Response, SharedFrame};
use tokio::sync::oneshot;

use crate::room::actor::Actor;

/// Something that a room says.
pub(crate) enum Output {
    /// A message to one socket.
    Frame(u32, SharedFrame),
    /// A message to several.
    Frames(Vec<u32>, SharedFrame),
    /// A close frame.
    Close(u32, Option<CloseFrame>),
    /// The answer 101 to a handshake.
    Accept(u32),
    /// An answer.
    Response(u32, Response),
}

impl Output {
    // The bytes that it keeps.
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Frame(_, frame) => frame.length(),
                Self::Frames(to, frame) => frame.length() + size_of_val(to.as_slice()),
                Self::Response(_, response) => match &response.body {
                    Body::Full(bytes) => bytes.len(),
                    Body::Empty | Body::Stream(_) => 0,
                },
                Self::Close(..) | Self::Accept(_) => 0,
            }
    }

    fn for_sockets(&self, mut each: impl FnMut(u32, usize)) {
        match self {
            Self::Frame(to, frame) => each(*to, frame.payload_length()),
            Self::Frames(to, frame) => to.iter().for_each(|to| each(*to, frame.payload_length())),
            _ => {}
        }
    }
}

type DurableSender = oneshot::Sender<Result<(), String>>;

pub(crate) struct Gate {
    budget: Budget,
    // Bytes of messages that are kept for each socket; without the heads of frames.
    of_socket: RefCell<HashMap<u32, usize>>,
    // This turn has written something.
    wrote: Cell<bool>,
    // The room will be reset at the end of this turn: what it says from now on is never sent.
    shut: Cell<bool>,
    // The newest batch that is not durable yet.
    pending: Cell<Option<u64>>,
    turn: RefCell<Vec<Output>>,
    held: RefCell<VecDeque<(u64, Vec<Output>)>>,
    waiting_turn: RefCell<Vec<DurableSender>>,
    waiting: RefCell<Vec<(u64, DurableSender)>>,
}

impl Gate {
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            budget,
            of_socket: RefCell::default(),
            wrote: Cell::new(false),
            shut: Cell::new(false),
            pending: Cell::new(None),
            turn: RefCell::default(),
            held: RefCell::default(),
            waiting_turn: RefCell::default(),
            waiting: RefCell::default(),
        }
    }

    /// Whether so much is kept that no message or answer should be added.
    pub(crate) fn is_full(&self) -> bool {
        self.budget.refuses()
    }

    /// The room wrote something.
    pub(crate) fn wrote(&self) {
        self.wrote.set(true);
    }

    /// Whether what is said now may leave with the end of the turn.
    pub(crate) fn is_open(&self) -> bool {
        !self.wrote.get() && !self.shut.get() && self.pending.get().is_none()
    }

    /// Lets nothing more of this turn out: its room will be reset.
    pub(crate) fn shut(&self) {
        self.shut.set(true);
    }

    /// Keeps something for later.
    pub(crate) fn hold(&self, output: Output) {
        self.budget.add(output.bytes());
        let mut of_socket = self.of_socket.borrow_mut();
        output.for_sockets(|index, bytes| *of_socket.entry(index).or_default() += bytes);
        self.turn.borrow_mut().push(output);
    }

    // What was kept is no longer.
    fn uncount(&self, outputs: &[Output]) {
        let mut of_socket = self.of_socket.borrow_mut();
        for output in outputs {
            self.budget.give(output.bytes());
            output.for_sockets(|index, bytes| {
                if let Some(kept) = of_socket.get_mut(&index) {
                    *kept = kept.saturating_sub(bytes);
                    if *kept == 0 {
                        of_socket.remove(&index);
                    }
                }
            });
        }
    }

    /// The bytes of the messages to one socket that are kept here; without the heads of frames.
    pub(crate) fn held_bytes(&self, index: u32) -> usize {
        self.of_socket.borrow().get(&index).copied().unwrap_or(0)
    }

    /// Resolves when all that has been written by now is durable; `None` if it is already.
    pub(crate) fn wait(&self, actor: &Actor) -> Option<oneshot::Receiver<Result<(), String>>> {
        if self.is_open() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.waiting_turn.borrow_mut().push(sender);
        actor.wake();
        Some(receiver)
    }

    /// Hands the turn's writes to the store and what may leave to the sockets.
    pub(crate) fn end_of_turn(&self, actor: &Actor) {
        if self.shut.get() {
            return;
        }
        if self.wrote.take() {
            let batch = actor.storage.as_ref().and_then(|storage| storage.borrow_mut().take_batch());
            if let Some(batch) = batch {
                self.pending.set(Some(batch.seq));
                actor.shared.commit(actor.serial, actor.life.get(), batch);
            }
        }
        let outputs = self.turn.take();
        let waiting = self.waiting_turn.take();
        match self.pending.get() {
            Some(seq) => {
                if !outputs.is_empty() {
                    self.held.borrow_mut().push_back((seq, outputs));
                }
                self.waiting.borrow_mut().extend(waiting.into_iter().map(|sender| (seq, sender)));
            }
            None => {
                self.uncount(&outputs);
                say(actor, outputs);
                for sender in waiting {
                    let _gone = sender.send(Ok(()));
                }
            }
        }
        actor.sockets.borrow_mut().flush();
    }

    /// A batch is durable.
    pub(crate) fn settled(&self, actor: &Actor, seq: u64) {
        if self.pending.get().is_some_and(|pending| pending <= seq) {
            self.pending.set(None);
        }
        let waiting = self.waiting.take();
        let (done, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(waited, _)| *waited <= seq);
        *self.waiting.borrow_mut() = rest;
        for (_, sender) in done {
            let _gone = sender.send(Ok(()));
        }
        loop {
            let ready = self.held.borrow().front().is_some_and(|(waited, _)| *waited <= seq);
            if !ready {
                break;
            }
            let next = self.held.borrow_mut().pop_front();
            if let Some((_, outputs)) = next {
                self.uncount(&outputs);
                say(actor, outputs);
            }
        }
        actor.sockets.borrow_mut().flush();
    }

    /// A batch never will be durable, and nothing that was written after it: what waited for any of them is forgotten.
    pub(crate) fn fail(&self, reason: &str) {
        self.pending.set(None);
        for (_, outputs) in self.held.take() {
            self.uncount(&outputs);
        }
        for (_, sender) in self.waiting.take() {
            let _gone = sender.send(Err(reason.to_string()));
        }
    }

    /// Forgets what the current turn wanted to say. What waits for earlier batches stays: those were acknowledged.
    pub(crate) fn discard(&self) {
        self.uncount(&self.turn.take());
        self.waiting_turn.borrow_mut().clear();
        self.wrote.set(false);
        self.shut.set(false);
    }
}

fn say(actor: &Actor, outputs: Vec<Output>) {
    for output in outputs {
        match output {
            Output::Frame(index, frame) => actor.sockets.borrow_mut().send_shared(index, &frame),
            Output::Frames(indexes, frame) => {
                let mut sockets = actor.sockets.borrow_mut();
                for index in indexes {
                    sockets.send_shared(index, &frame);
                }
            }
            Output::Close(index, close) => actor.sockets.borrow_mut().close(index, close),
            Output::Accept(index) => actor.sockets.borrow_mut().accept(index),
            Output::Response(id, response) => actor.answer(id, response),
        }
    }
}

//! The output gate: what a room sends after a write leaves only when that write is durable (design, section 4).
//!
//! While every write is durable, frames go straight into the queues of their sockets, and each socket is flushed once at the
//! end of the turn. Otherwise the gate keeps what is sent, in order, with the number of the batch that it waits for. If a
//! batch fails, the gate drops what waited for it and the room is reset.
//!
//! The gate is a queue with numbers and knows no room. At the end of a turn it returns the batch to commit and what may
//! leave now; the caller does both.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};

use partyrun_limits::Budget;
use partyrun_net::{Body, CloseFrame, Response, SharedFrame};
use partyrun_store::{Batch, RoomStorage};
use tokio::sync::oneshot;

use crate::api::Gone;

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

type DurableSender = oneshot::Sender<Result<(), Gone>>;

/// Resolves when what was written before is durable.
pub(crate) type Durable = oneshot::Receiver<Result<(), Gone>>;

/// What the end of a turn leaves to do.
#[must_use]
pub(crate) struct TurnEnd {
    /// The turn's writes, which the store is to make durable.
    pub(crate) batch: Option<Batch>,
    /// What leaves now, in order.
    pub(crate) outputs: Vec<Output>,
}

/// The gate of one room.
pub(crate) struct OutputGate {
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

impl OutputGate {
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

    /// The limit that lets nothing more be held, as messages name it.
    pub(crate) fn full(&self) -> Option<String> {
        self.is_full().then(|| self.budget.cite("held_bytes_max", "held_total_bytes_max"))
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

    /// Resolves when all that has been written by now is durable; `None` if it is already. Needs the turn to end, so that
    /// who asks wakes the room.
    pub(crate) fn wait(&self) -> Option<Durable> {
        if self.is_open() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.waiting_turn.borrow_mut().push(sender);
        Some(receiver)
    }

    /// Ends the turn. What it wrote is taken out of `storage`; what it said leaves now if nothing before it waits for a batch.
    pub(crate) fn end_of_turn(&self, storage: Option<&RefCell<RoomStorage>>) -> TurnEnd {
        let mut end = TurnEnd { batch: None, outputs: Vec::new() };
        if self.shut.get() {
            return end;
        }
        if self.wrote.take() {
            end.batch = storage.and_then(|storage| storage.borrow_mut().take_batch());
            if let Some(batch) = &end.batch {
                self.pending.set(Some(batch.seq));
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
                end.outputs = outputs;
                for sender in waiting {
                    let _gone = sender.send(Ok(()));
                }
            }
        }
        end
    }

    /// A batch is durable: what waited for it leaves now.
    #[must_use]
    pub(crate) fn settled(&self, seq: u64) -> Vec<Output> {
        if self.pending.get().is_some_and(|pending| pending <= seq) {
            self.pending.set(None);
        }
        let waiting = self.waiting.take();
        let (done, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(waited, _)| *waited <= seq);
        *self.waiting.borrow_mut() = rest;
        for (_, sender) in done {
            let _gone = sender.send(Ok(()));
        }
        let mut held = self.held.borrow_mut();
        let mut outputs = Vec::new();
        while held.front().is_some_and(|(waited, _)| *waited <= seq) {
            outputs.extend(held.pop_front().into_iter().flat_map(|(_, outputs)| outputs));
        }
        drop(held);
        self.uncount(&outputs);
        outputs
    }

    /// A batch never will be durable, and nothing that was written after it: what waited for any of them is forgotten.
    pub(crate) fn fail(&self, reason: &str) {
        self.pending.set(None);
        for (_, outputs) in self.held.take() {
            self.uncount(&outputs);
        }
        for (_, sender) in self.waiting.take() {
            let _gone = sender.send(Err(Gone::Reset(reason.to_string())));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use partyrun_limits::{Limits, Total};
    use partyrun_store::{Memory, RoomKey, WorkerStore};

    use super::*;

    struct Room {
        gate: OutputGate,
        storage: RefCell<RoomStorage>,
        total: Arc<Total>,
    }

    impl Room {
        fn new() -> Self {
            let store = WorkerStore::open(&Memory::new(), Arc::new(Limits::default())).unwrap();
            let total = Total::new(1 << 20);
            Self {
                gate: OutputGate::new(Budget::new(&total, 1000)),
                storage: RefCell::new(store.room(RoomKey::new("main", "a"))),
                total,
            }
        }

        fn write(&self, key: &str) {
            self.gate.wrote();
            self.storage.borrow_mut().put(key, Bytes::from_static(b"value")).unwrap();
        }

        fn say(&self, id: u32) {
            self.gate.hold(Output::Close(id, None));
        }

        // The number of the batch, and what leaves.
        fn end(&self) -> (Option<u64>, Vec<u32>) {
            let end = self.gate.end_of_turn(Some(&self.storage));
            (end.batch.map(|batch| batch.seq), sockets(end.outputs))
        }
    }

    fn sockets(outputs: Vec<Output>) -> Vec<u32> {
        let index = |output: &Output| match output {
            Output::Frame(index, _) | Output::Close(index, _) | Output::Accept(index) => *index,
            Output::Frames(..) | Output::Response(..) => panic!("nobody said that"),
        };
        outputs.iter().map(index).collect()
    }

    #[test]
    fn words_wait_for_the_batch_before_them_and_for_no_other() {
        let room = Room::new();
        room.say(1);
        assert_eq!(room.end(), (None, vec![1]), "nothing was written");
        room.write("a");
        room.say(2);
        assert!(!room.gate.is_open());
        let (first, said) = room.end();
        assert!(said.is_empty());
        // A turn that writes nothing waits for the batch that was pending when it spoke.
        room.say(3);
        assert_eq!(room.end(), (None, vec![]));
        room.write("b");
        room.say(4);
        let (second, said) = room.end();
        assert!(said.is_empty() && second > first && first.is_some());
        assert_eq!(sockets(room.gate.settled(first.unwrap())), [2, 3]);
        assert!(!room.gate.is_open(), "the second batch is on its way");
        assert_eq!(sockets(room.gate.settled(second.unwrap())), [4]);
        assert!(room.gate.is_open());
        assert_eq!(room.total.used(), 0);
    }

    #[test]
    fn who_waits_hears_of_the_batch_or_of_its_failure() {
        let room = Room::new();
        assert!(room.gate.wait().is_none(), "nothing was written");
        room.write("a");
        let mut durable = room.gate.wait().unwrap();
        let (first, _) = room.end();
        assert!(durable.try_recv().is_err(), "the batch is on its way");
        assert!(room.gate.settled(first.unwrap()).is_empty());
        assert_eq!(durable.try_recv(), Ok(Ok(())));
        room.write("b");
        room.say(1);
        let mut durable = room.gate.wait().unwrap();
        let _second = room.end();
        room.gate.fail("the disk is full");
        assert_eq!(durable.try_recv(), Ok(Err(Gone::Reset("the disk is full".to_string()))));
        assert!(room.gate.is_open());
        assert_eq!(room.end(), (None, vec![]), "what waited is forgotten");
        assert_eq!(room.total.used(), 0);
    }

    #[test]
    fn a_room_that_is_reset_says_nothing_of_its_last_turn() {
        let room = Room::new();
        room.write("a");
        room.say(1);
        let (first, _) = room.end();
        room.write("b");
        room.say(2);
        room.gate.shut();
        assert_eq!(room.end(), (None, vec![]));
        room.gate.discard();
        room.storage.borrow_mut().discard_turn();
        assert_eq!(room.end(), (None, vec![]));
        // What was said before belongs to a batch that was acknowledged.
        assert_eq!(sockets(room.gate.settled(first.unwrap())), [1]);
        assert_eq!(room.total.used(), 0);
    }

    #[test]
    fn what_is_kept_counts_for_the_room_and_for_each_socket() {
        let room = Room::new();
        room.write("a");
        room.gate.hold(Output::Frame(1, SharedFrame::text("0123456789")));
        room.gate.hold(Output::Frames(vec![1, 2], SharedFrame::text("01234")));
        assert_eq!((room.gate.held_bytes(1), room.gate.held_bytes(2), room.gate.held_bytes(3)), (15, 5, 0));
        assert!(!room.gate.is_full());
        room.gate.hold(Output::Frame(1, SharedFrame::text(&"x".repeat(1000))));
        assert!(room.gate.is_full());
        let (first, _) = room.end();
        assert_eq!(room.gate.settled(first.unwrap()).len(), 3);
        assert!(!room.gate.is_full());
        assert_eq!((room.gate.held_bytes(1), room.total.used()), (0, 0));
    }
}

//! What a room has of the store: its storage of this life, the transactions that are open, and how much is not durable yet.

use std::cell::{Cell, RefCell};

use partyrun_limits::Budget;
use partyrun_store::{RoomStorage, TransactionId};

/// One room's part of the store, while the room is in memory.
pub(crate) struct Records {
    storage: RefCell<RoomStorage>,
    // Counts the storages that the room has had: a new one follows a failed write.
    life: Cell<u32>,
    // Those that are open, the innermost last.
    transactions: RefCell<Vec<TransactionId>>,
    undurable: Budget,
    undurable_counted: Cell<usize>,
}

impl Records {
    /// The records of a room that comes into memory; writes that are not durable count in `undurable`.
    pub(crate) fn new(storage: RoomStorage, undurable: Budget) -> Self {
        Self {
            storage: RefCell::new(storage),
            life: Cell::new(0),
            transactions: RefCell::default(),
            undurable,
            undurable_counted: Cell::new(0),
        }
    }

    /// The store's half.
    pub(crate) fn storage(&self) -> &RefCell<RoomStorage> {
        &self.storage
    }

    /// Which storage this is, among those that the room has had.
    pub(crate) fn life(&self) -> u32 {
        self.life.get()
    }

    /// Counts the writes that are not durable.
    pub(crate) fn count_undurable(&self) {
        let bytes = self.storage.borrow().undurable_bytes();
        let before = self.undurable_counted.replace(bytes);
        match bytes.checked_sub(before) {
            Some(more) => self.undurable.add(more),
            None => self.undurable.give(before - bytes),
        }
    }

    /// Whether writes should wait for the disk.
    pub(crate) fn outruns_disk(&self) -> bool {
        self.undurable.refuses()
    }

    /// A transaction was opened.
    pub(crate) fn opened(&self, transaction: TransactionId) {
        self.transactions.borrow_mut().push(transaction);
    }

    /// The innermost open transaction, which is to be closed.
    pub(crate) fn closing(&self) -> Option<TransactionId> {
        self.transactions.borrow_mut().pop()
    }

    /// Forgets what the turn wrote, and the transactions that it belonged to.
    pub(crate) fn discard_turn(&self) {
        self.storage.borrow_mut().discard_turn();
        self.transactions.borrow_mut().clear();
    }

    /// The room's isolate is gone, and with it its open transactions.
    pub(crate) fn rest(&self) {
        self.discard_turn();
        self.storage.borrow_mut().shrink();
    }

    /// A batch is durable.
    pub(crate) fn committed(&self, seq: u64) {
        self.storage.borrow_mut().committed(seq);
        self.count_undurable();
    }

    /// Begins anew with what is durable, after a batch that failed.
    pub(crate) fn renew(&self, storage: RoomStorage) {
        *self.storage.borrow_mut() = storage;
        self.count_undurable();
        self.life.set(self.life.get().wrapping_add(1));
    }
}

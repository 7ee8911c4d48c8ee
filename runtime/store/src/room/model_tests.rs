//! A room against a model: random calls on both, with batches that become durable at random later moments.
//!
//! The model is a stack of ordered maps: the turn, and one copy for each open transaction. Every answer must be equal,
//! over SQLite and over memory, whatever is in the overlay, the cache or the database at that moment.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use fastrand::Rng;

use super::*;
use crate::testing::{TestFolder, commit, open_room};
use crate::{Memory, Sqlite};

const KEYS: &[&str] =
    &["", "\0", "Z", "a", "a\0", "aa", "b", "b:", "b:1", "b:2", "b;", "é", "～", "😀", "😀x"];

#[derive(Clone, Default)]
struct Model {
    values: BTreeMap<String, Bytes>,
    alarm: Option<i64>,
}

struct Run<'a> {
    store: &'a dyn Store,
    room: RoomStorage,
    rng: Rng,
    /// The state at the end of the last turn, then the turn's, then one for each open transaction.
    base: Model,
    stack: Vec<Model>,
    open: Vec<TransactionId>,
    /// Batches that the store does not have yet.
    waiting: VecDeque<Batch>,
    /// Batches that are durable without the room knowing.
    durable: VecDeque<u64>,
    written: u32,
}

impl<'a> Run<'a> {
    fn new(store: &'a dyn Store, seed: u64) -> Self {
        Self {
            store,
            room: open_room(store, "model"),
            rng: Rng::with_seed(seed),
            base: Model::default(),
            stack: vec![Model::default()],
            open: Vec::new(),
            waiting: VecDeque::new(),
            durable: VecDeque::new(),
            written: 0,
        }
    }

    fn key(&mut self) -> &'static str {
        KEYS[self.rng.usize(..KEYS.len())]
    }

    fn keys(&mut self) -> Vec<&'static str> {
        (0..self.rng.usize(..6)).map(|_| self.key()).collect()
    }

    fn value(&mut self) -> Bytes {
        self.written += 1;
        let mut value = self.written.to_string().into_bytes();
        if self.rng.u8(..20) == 0 {
            value.resize(100_000, b'x');
        }
        value.into()
    }

    fn top(&mut self) -> &mut Model {
        self.stack.last_mut().unwrap()
    }

    fn step(&mut self) {
        match self.rng.u8(..22) {
            0..4 => self.write(),
            4..6 => self.delete(),
            6..8 => self.read(),
            8..12 => self.list(),
            12 => self.alarm(),
            13..15 => self.transaction(),
            15..18 => self.end_turn(),
            18..20 => self.make_durable(),
            20 => self.rare(),
            _ => {
                while let Some(seq) = self.durable.pop_front() {
                    self.room.committed(seq);
                }
            }
        }
    }

    fn write(&mut self) {
        let entries: Vec<_> = self.keys().into_iter().map(|key| (key.to_owned(), self.value())).collect();
        self.room.put_many(entries.clone()).unwrap();
        self.top().values.extend(entries);
    }

    fn delete(&mut self) {
        let keys = self.keys();
        let top = self.top();
        let deleted = keys.iter().filter(|key| top.values.remove(**key).is_some()).count();
        assert_eq!(self.room.delete_many(&keys).unwrap(), deleted);
    }

    fn read(&mut self) {
        let keys = self.keys();
        let top = self.stack.last().unwrap();
        let found: BTreeMap<_, _> = keys.iter().filter_map(|key| top.values.get_key_value(*key)).collect();
        let read = self.room.get_many(&keys).unwrap();
        assert!(found.into_iter().eq(read.iter().map(|(key, value)| (key, value))));
        assert_eq!(self.room.get_alarm().unwrap(), top.alarm);
    }

    fn list(&mut self) {
        let mut maybe =
            |share: u8| (self.rng.u8(..100) < share).then(|| KEYS[self.rng.usize(..KEYS.len())].to_owned());
        let (start, start_after, end, prefix) = (maybe(40), maybe(40), maybe(40), maybe(30));
        let options = ListOptions {
            start_after: if start.is_some() { None } else { start_after },
            start,
            end,
            prefix,
            reverse: self.rng.bool(),
            limit: self.rng.bool().then(|| self.rng.i64(1..8)),
        };
        let wanted = |key: &str| {
            options.start.as_deref().is_none_or(|start| key >= start)
                && options.start_after.as_deref().is_none_or(|after| key > after)
                && options.end.as_deref().is_none_or(|end| key < end)
                && options.prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix))
        };
        let mut expected: Vec<_> = self.stack.last().unwrap().values.clone().into_iter().collect();
        expected.retain(|(key, _)| wanted(key));
        if options.reverse {
            expected.reverse();
        }
        expected.truncate(options.limit.map_or(usize::MAX, |limit| limit as usize));
        assert_eq!(self.room.list(&options).unwrap(), expected, "{options:?}");
    }

    fn alarm(&mut self) {
        if self.rng.bool() {
            let at_ms = self.rng.i64(1..1_000_000);
            self.room.set_alarm(at_ms as f64, 500_000).unwrap();
            self.top().alarm = Some(at_ms.max(500_000));
        } else {
            self.room.delete_alarm().unwrap();
            self.top().alarm = None;
        }
    }

    fn transaction(&mut self) {
        let innermost = self.open.last().copied();
        match (innermost, self.rng.u8(..4)) {
            (Some(id), 0) => {
                self.room.rollback(id).unwrap();
                self.stack.pop();
                self.open.pop();
            }
            (Some(id), 1 | 2) => {
                self.room.commit(id).unwrap();
                let top = self.stack.pop().unwrap();
                *self.top() = top;
                self.open.pop();
            }
            _ if self.open.len() < 3 => {
                self.open.push(self.room.begin());
                self.stack.push(self.stack.last().unwrap().clone());
            }
            _ => {}
        }
    }

    fn end_turn(&mut self) {
        self.base = self.stack[0].clone();
        self.waiting.extend(self.room.take_batch());
    }

    fn make_durable(&mut self) {
        if let Some(batch) = self.waiting.pop_front() {
            self.durable.push_back(batch.seq);
            commit(self.store, batch).unwrap();
        }
    }

    fn rare(&mut self) {
        match self.rng.u8(..6) {
            0 | 1 => {
                self.room.delete_all().unwrap();
                self.top().values.clear();
            }
            2 => {
                self.room.discard_turn();
                self.open.clear();
                self.stack = vec![self.base.clone()];
            }
            3 => self.room.shrink(),
            4 => self.reopen(),
            _ => {}
        }
    }

    /// A new life of the room after everything is durable; what is not part of a batch is lost.
    fn reopen(&mut self) {
        self.end_turn();
        while !self.waiting.is_empty() {
            self.make_durable();
        }
        for seq in self.durable.drain(..) {
            self.room.committed(seq);
        }
        assert!(!self.room.undurable() && self.room.pending_seq().is_none());
        self.room = open_room(self.store, "model");
        self.open.clear();
        self.stack = vec![self.base.clone()];
    }
}

fn run(store: &dyn Store, seed: u64, steps: usize) {
    let mut run = Run::new(store, seed);
    for _ in 0..steps {
        run.step();
    }
    run.reopen();
    assert_eq!(run.room.undurable_bytes(), 0);
    let all = run.room.list(&ListOptions::default()).unwrap();
    assert!(all.into_iter().eq(run.base.values.clone()));
    assert_eq!(run.room.get_alarm().unwrap(), run.base.alarm);
}

#[test]
fn a_room_over_memory_answers_like_the_model() {
    for seed in 0..40 {
        run(&Memory::new(), seed, 1500);
    }
}

#[test]
fn a_room_over_sqlite_answers_like_the_model() {
    for seed in 0..4 {
        let folder = TestFolder::new();
        run(&Sqlite::open(folder.path()).unwrap(), seed, 1500);
    }
}

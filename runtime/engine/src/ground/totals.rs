//! The byte limits of queues for the whole process, and each room's part of them.
//!
//! The limits (`…_total_bytes_max`) are meant for machines with much memory. If an eighth of the available memory is less than
//! a limit, the eighth is used instead.

use std::sync::Arc;

use partyrun_limits::{Budget, Limits, Total};

use crate::ground::machine::Machine;

/// So many queues share the memory at most.
const PARTS: u64 = 8;

/// The totals of one engine.
#[derive(Clone)]
pub(crate) struct Totals {
    inboxes: Arc<Total>,
    unfinished: Arc<Total>,
    send_queues: Arc<Total>,
    held: Arc<Total>,
    answers: Arc<Total>,
    undurable: Arc<Total>,
}

impl Totals {
    /// For the machine that the process runs on.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self::within(limits, Machine::here().tightest().map(|bound| bound.total()))
    }

    fn within(limits: &Limits, memory: Option<u64>) -> Self {
        let part = memory.and_then(|memory| usize::try_from(memory / PARTS).ok()).unwrap_or(usize::MAX);
        let total = |max: usize| Total::new(max.min(part));
        Self {
            inboxes: total(limits.inboxes_total_bytes_max),
            unfinished: total(limits.unfinished_total_bytes_max),
            send_queues: total(limits.send_queues_total_bytes_max),
            held: total(limits.held_total_bytes_max),
            answers: total(limits.answers_total_bytes_max),
            undurable: total(limits.undurable_total_bytes_max),
        }
    }

    /// By the names of their limits: what is used of each total, and what may be.
    pub(crate) fn used(&self) -> [(&'static str, usize, usize); 6] {
        let named = [
            ("inboxes_total_bytes_max", &self.inboxes),
            ("unfinished_total_bytes_max", &self.unfinished),
            ("send_queues_total_bytes_max", &self.send_queues),
            ("held_total_bytes_max", &self.held),
            ("answers_total_bytes_max", &self.answers),
            ("undurable_total_bytes_max", &self.undurable),
        ];
        named.map(|(name, total)| (name, total.used(), total.max()))
    }

    /// Each with the name that metrics have for it.
    pub(crate) fn named(&self) -> [(&'static str, &Total); 6] {
        [
            ("inboxes", &*self.inboxes),
            ("unfinished", &*self.unfinished),
            ("send_queues", &*self.send_queues),
            ("held", &*self.held),
            ("answers", &*self.answers),
            ("undurable", &*self.undurable),
        ]
    }

    /// Of the events that wait for a room.
    pub(crate) fn inbox(&self, limits: &Limits) -> Budget {
        Budget::new(&self.inboxes, limits.inbox_bytes_max)
    }

    /// Of the messages for a room that have not come whole.
    pub(crate) fn unfinished(&self, limits: &Limits) -> Budget {
        Budget::new(&self.unfinished, limits.unfinished_bytes_max)
    }

    /// Of what is queued for a room's sockets.
    pub(crate) fn send_queues(&self, limits: &Limits) -> Budget {
        Budget::new(&self.send_queues, limits.send_queues_bytes_max)
    }

    /// Of what a room says while its writes are not durable.
    pub(crate) fn held(&self, limits: &Limits) -> Budget {
        Budget::new(&self.held, limits.held_bytes_max)
    }

    /// Of a room's answers that are not read yet.
    pub(crate) fn answers(&self, limits: &Limits) -> Budget {
        Budget::new(&self.answers, limits.answers_bytes_max)
    }

    /// Of the streamed request bodies that a room has not answered. What the process has of them, the front bounds.
    pub(crate) fn bodies(limits: &Limits) -> Budget {
        Budget::new(&Total::new(usize::MAX), limits.bodies_bytes_max)
    }

    /// Of a room's writes that are not durable.
    pub(crate) fn undurable(&self, limits: &Limits) -> Budget {
        Budget::new(&self.undurable, limits.undurable_bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_queue_is_full_when_its_room_or_the_process_has_taken_its_part() {
        const MIB: usize = 1 << 20;
        let limits = Limits {
            inboxes_total_bytes_max: 11 * MIB,
            unfinished_total_bytes_max: 12 * MIB,
            send_queues_total_bytes_max: 13 * MIB,
            held_total_bytes_max: 14 * MIB,
            answers_total_bytes_max: 15 * MIB,
            undurable_total_bytes_max: 16 * MIB,
            inbox_bytes_max: MIB,
            unfinished_bytes_max: 2 * MIB,
            send_queues_bytes_max: 3 * MIB,
            held_bytes_max: 4 * MIB,
            answers_bytes_max: 5 * MIB,
            undurable_bytes_max: 6 * MIB,
            ..Limits::default()
        };
        let totals = Totals::within(&limits, None);
        type Queue = fn(&Totals, &Limits) -> Budget;
        let queues: [(Queue, usize, usize); 6] = [
            (Totals::inbox, 1, 11),
            (Totals::unfinished, 2, 12),
            (Totals::send_queues, 3, 13),
            (Totals::held, 4, 14),
            (Totals::answers, 5, 15),
            (Totals::undurable, 6, 16),
        ];
        for (of, own, all) in queues {
            let room = of(&totals, &limits);
            room.add(own * MIB - 1);
            assert!(!room.is_full(), "{own}");
            room.add(1);
            assert!(room.is_full(), "{own}");
            // The others take what is left of the total, each within its own part.
            let others: Vec<Budget> = (own..all)
                .step_by(own)
                .map(|taken| {
                    let other = of(&totals, &limits);
                    other.add(own.min(all - taken) * MIB);
                    other
                })
                .collect();
            let late = of(&totals, &limits);
            late.add(MIB / 2);
            assert!(late.is_full(), "{all}");
            drop(others);
            assert!(!late.is_full(), "{all}");
        }
    }

    #[test]
    fn little_memory_makes_the_totals_less() {
        let limits = Limits::default();
        let small = Totals::within(&limits, Some(512 << 20));
        assert_eq!(small.inboxes.max(), 64 << 20);
        assert_eq!(Totals::within(&limits, None).inboxes.max(), limits.inboxes_total_bytes_max);
    }
}

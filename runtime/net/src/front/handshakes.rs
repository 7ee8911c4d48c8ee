//! The connections that have not come as far as HTTP: how many there may be, and for how long.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use partyrun_limits::Limits;
use partyrun_telemetry::limit_hit;
use tokio::sync::Notify;
use tokio::time::timeout;

/// The connections of a thread that have not come as far as HTTP, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    waiting: RefCell<BTreeMap<u64, Rc<Notify>>>,
    next: Cell<u64>,
}

/// A place among them.
struct Place<'all> {
    all: &'all Handshakes,
    number: u64,
    ends: Rc<Notify>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.all.waiting.borrow_mut().remove(&self.number);
    }
}

impl Handshakes {
    /// Waits for one of them, within the limits: where there are too many, the oldest one ends.
    pub(super) async fn bounded<T>(
        &self,
        limits: &Limits,
        handshake: impl Future<Output = Option<T>>,
    ) -> Option<T> {
        let place = self.take_place(limits.handshakes_max);
        tokio::select! {
            biased;
            done = timeout(limits.handshake_time_max, handshake) => done.unwrap_or_else(|_late| {
                limit_hit!(handshake_time_max);
                None
            }),
            () = place.ends.notified() => None,
        }
    }

    fn take_place(&self, most: usize) -> Place<'_> {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= most.max(1)
            && let Some((_, oldest)) = waiting.pop_first()
        {
            limit_hit!(handshakes_max);
            oldest.notify_one();
        }
        let ends = Rc::new(Notify::new());
        waiting.insert(number, Rc::clone(&ends));
        Place { all: self, number, ends }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_of_too_many_ends_and_the_others_go_on() {
        let limits = Limits { handshakes_max: 2, ..Limits::default() };
        let all = Handshakes::default();
        let never = || all.bounded(&limits, std::future::pending::<Option<()>>());
        let (first, second) = (never(), never());
        let done = all.bounded(&limits, async {
            tokio::task::yield_now().await;
            Some(3)
        });
        let both =
            async { tokio::select!(biased; ended = first => ended, ended = second => ended.or(Some(()))) };
        assert_eq!(tokio::join!(both, done), (None, Some(3)));
        assert!(all.waiting.borrow().is_empty());
    }

    #[tokio::test]
    async fn one_that_takes_too_long_ends() {
        let limits = Limits { handshake_time_max: std::time::Duration::ZERO, ..Limits::default() };
        let all = Handshakes::default();
        assert_eq!(all.bounded(&limits, std::future::pending::<Option<()>>()).await, None);
        assert!(all.waiting.borrow().is_empty());
    }
}

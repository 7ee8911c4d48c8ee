//! A queue of what is to be exported: whoever adds to it never waits, what does not fit is dropped and counted, and a task takes
//! all that there is every so often.

use std::future::Future;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::everywhere::EVERYWHERE;

enum Item<T> {
    One(T),
    // Told when all that came before is exported.
    Flush(std::sync::mpsc::Sender<()>),
}

/// The end of a queue that is added to.
pub(crate) struct Queue<T>(Sender<Item<T>>);

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> std::fmt::Debug for Queue<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Queue").field(&self.0.capacity()).finish()
    }
}

/// The end that is taken from.
pub(crate) struct Taker<T>(Receiver<Item<T>>);

/// A queue of at most so many.
pub(crate) fn queue<T>(max: usize) -> (Queue<T>, Taker<T>) {
    let (sender, receiver) = channel(max.max(1));
    (Queue(sender), Taker(receiver))
}

impl<T> Queue<T> {
    /// Adds one, or drops it.
    pub(crate) fn put(&self, one: T) {
        if self.0.try_send(Item::One(one)).is_err() {
            EVERYWHERE.export_dropped.add_shared(1);
        }
    }

    /// Waits until all that is in the queue is exported, or until it takes too long.
    pub(crate) fn flush(&self, patience: Duration) {
        let (done, flushed) = std::sync::mpsc::channel();
        if self.0.try_send(Item::Flush(done)).is_ok() {
            let _late = flushed.recv_timeout(patience);
        }
    }
}

impl<T> Taker<T> {
    /// Gives `export` all that there is, at most `most` at a time, every so often; until nobody can add any more.
    pub(crate) async fn run<F: Future<Output = ()>>(
        mut self,
        every: Duration,
        most: usize,
        mut export: impl FnMut(Vec<T>) -> F,
    ) {
        let mut items = Vec::new();
        while self.0.recv_many(&mut items, most.max(1)).await > 0 {
            let flushes = items.iter().any(|item| matches!(item, Item::Flush(_)));
            if items.len() < most && !flushes {
                // A request for each would cost more than all else: those of the next moments come along.
                let until = tokio::time::Instant::now() + every;
                while let Ok(Some(item)) = tokio::time::timeout_at(until, self.0.recv()).await {
                    let ends = matches!(item, Item::Flush(_));
                    items.push(item);
                    if ends || items.len() >= most {
                        break;
                    }
                }
            }
            let mut told = Vec::new();
            let ones: Vec<T> = items
                .drain(..)
                .filter_map(|item| match item {
                    Item::One(one) => Some(one),
                    Item::Flush(done) => {
                        told.push(done);
                        None
                    }
                })
                .collect();
            if !ones.is_empty() {
                export(ones).await;
            }
            for done in told {
                let _late = done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn what_does_not_fit_is_dropped_and_the_rest_is_exported_in_order() {
        let (queue, taker) = queue(3);
        let before = EVERYWHERE.export_dropped.get();
        (0..5).for_each(|number| queue.put(number));
        assert_eq!(EVERYWHERE.export_dropped.get(), before + 2);
        let exported: Arc<Mutex<Vec<Vec<i32>>>> = Arc::default();
        let kept = exported.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        drop(queue);
        runtime.block_on(taker.run(Duration::from_millis(1), 2, move |batch| {
            kept.lock().unwrap().push(batch);
            std::future::ready(())
        }));
        assert_eq!(*exported.lock().unwrap(), [vec![0, 1], vec![2]]);
    }
}

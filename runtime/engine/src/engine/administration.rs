//! What operators ask of the engine: each question is a message to the thread of the room, and waits for a bounded time. A
//! thread that one turn holds up is "busy"; the others answer meanwhile.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use partyrun_store::{Listed, RoomKey};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::api::admin::{
    Act, Acted, AskError, Change, Claim, RoomDetails, RoomQuery, RoomReport, RoomUsage, StorageQuery, Usage,
};
use crate::engine::Engine;
use crate::room::event::WantedChange;
use crate::worker::message::{Ask, Message};

impl Engine {
    /// A page of the rooms in memory. The rooms of threads that do not answer within `patience` are listed as busy.
    pub async fn list_rooms(&self, query: &RoomQuery, patience: Duration) -> Vec<RoomReport> {
        let asked = self.0.placement.workers().into_iter().map(|worker| async move {
            let (reply, answer) = oneshot::channel();
            let sent = worker.send(Message::Ask(Ask::List(query.clone(), reply))).is_ok();
            match timeout(patience, answer).await {
                Ok(answer) => answer.unwrap_or_default(),
                Err(_) if sent => {
                    let held: Vec<RoomKey> = worker.inbox().rooms.iter().cloned().collect();
                    held.into_iter().filter(|key| query.wants(key, true)).map(RoomReport::busy).collect()
                }
                Err(_) => Vec::new(),
            }
        });
        query.page(join_all(asked).await.into_iter().flatten().collect())
    }

    /// Those of `keys` that are in memory.
    pub async fn which_rooms(&self, keys: &[RoomKey], patience: Duration) -> Vec<RoomReport> {
        let asked = self.0.placement.workers().into_iter().map(|worker| async move {
            let own: Vec<RoomKey> = {
                let inbox = worker.inbox();
                keys.iter().filter(|key| inbox.rooms.contains(*key)).cloned().collect()
            };
            if own.is_empty() {
                return Vec::new();
            }
            let (reply, answer) = oneshot::channel();
            let _ended = worker.send(Message::Ask(Ask::Which(own.clone(), reply)));
            match timeout(patience, answer).await {
                Ok(answer) => answer.unwrap_or_default(),
                Err(_) => own.into_iter().map(RoomReport::busy).collect(),
            }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// One room, if it is in memory, with up to so many of its connections.
    pub async fn look_at(
        &self,
        key: &RoomKey,
        connections_max: usize,
        patience: Duration,
    ) -> Result<Option<RoomDetails>, AskError> {
        self.ask(key, patience, |reply| Ask::Details(key.clone(), connections_max, reply))
            .await
            .map(Option::flatten)
    }

    /// A part of the storage of a room, as the room sees it; `None` if it is not in memory: then the store has all of it.
    pub async fn read_storage(
        &self,
        key: &RoomKey,
        query: &StorageQuery,
        patience: Duration,
    ) -> Result<Option<Listed>, AskError> {
        let answer = self.ask(key, patience, |reply| Ask::Read(key.clone(), query.clone(), reply)).await?;
        Ok(answer.flatten().transpose()?)
    }

    /// Changes a room's storage in the room's own order, and answers when that is durable: how many keys were deleted. With
    /// [`AskError::Busy`] nothing was changed, and nothing will be.
    pub async fn change_storage(
        &self,
        key: &RoomKey,
        change: Change,
        patience: Duration,
    ) -> Result<usize, AskError> {
        if self.0.stopping.load(Ordering::Acquire) {
            return Err(AskError::Stopping);
        }
        let (reply, mut answer) = oneshot::channel();
        let claim = Claim::default();
        let wanted = WantedChange { change, claim: claim.clone(), reply };
        if self.0.send_to_room(key, Message::Change(key.clone(), Box::new(wanted))).is_err() {
            return Err(AskError::Stopping);
        }
        let answered = match timeout(patience, &mut answer).await {
            Ok(answered) => answered,
            Err(_) if claim.take() => return Err(AskError::Busy),
            // It was begun with: the disk is what is waited for.
            Err(_) => answer.await,
        };
        answered.unwrap_or_else(|_| Err(AskError::Gone("the room was reset".to_string())))
    }

    /// Does something to a room in memory.
    pub async fn act(&self, key: &RoomKey, act: Act, patience: Duration) -> Result<Acted, AskError> {
        let acted = self.ask(key, patience, |reply| Ask::Act(key.clone(), act, reply)).await?;
        Ok(acted.unwrap_or(Acted::Absent))
    }

    // An answer of the thread that a room is on; `None` where there is no thread.
    async fn ask<T>(
        &self,
        key: &RoomKey,
        patience: Duration,
        ask: impl FnOnce(oneshot::Sender<T>) -> Ask,
    ) -> Result<Option<T>, AskError> {
        let Some(worker) = self.0.placement.find(key) else { return Ok(None) };
        let (reply, answer) = oneshot::channel();
        if worker.send(Message::Ask(ask(reply))).is_err() {
            return Ok(None);
        }
        match timeout(patience, answer).await {
            Ok(answered) => Ok(answered.ok()),
            // A room that its thread does not have is elsewhere in the store, and nobody needs to be waited for.
            Err(_) if !worker.inbox().rooms.contains(key) => Ok(None),
            Err(_) => Err(AskError::Busy),
        }
    }

    /// Whether the static handlers' thread answers within `patience`.
    pub async fn edge_answers(&self, patience: Duration) -> bool {
        let answer = self.0.edge(Message::Counts);
        timeout(patience, answer).await.is_ok_and(|answer| answer.is_some())
    }

    /// How much of what is limited is used.
    pub async fn usage(&self, patience: Duration) -> Usage {
        let asked = self.0.placement.workers().into_iter().map(|worker| async move {
            let (reply, answer) = oneshot::channel();
            let _ended = worker.send(Message::Ask(Ask::Usage(reply)));
            timeout(patience, answer).await.ok().and_then(Result::ok)
        });
        let answers = join_all(asked).await;
        let mut usage =
            Usage { busy_threads: answers.iter().filter(|one| one.is_none()).count(), ..Usage::default() };
        let mut most = RoomUsage::default();
        for worker in answers.into_iter().flatten() {
            usage.live_rooms += worker.live;
            usage.hibernated_rooms += worker.hibernated;
            usage.connections += worker.connections;
            usage.spares += worker.spares;
            most = most.max(worker.most);
        }
        let limits = &self.0.options.limits;
        let count = |used: usize, max: usize| (used as f64, max as f64);
        let memory_max = limits.heap_bytes_max.saturating_add(limits.external_bytes_max);
        let own = [
            ("connections_per_room_max", count(most.connections, limits.connections_per_room_max)),
            ("heap_bytes_max", count(most.memory_bytes, memory_max)),
            ("inbox_events_max", count(most.inbox_events, limits.inbox_events_max)),
            ("inbox_bytes_max", count(most.inbox_bytes, limits.inbox_bytes_max)),
            ("send_queues_bytes_max", count(most.queued_bytes, limits.send_queues_bytes_max)),
            ("undurable_bytes_max", count(most.undurable_bytes, limits.undurable_bytes_max)),
            ("rooms_max", count(self.0.places.live(), limits.rooms_max)),
            ("memory_share_max", (self.0.places.memory_share(), limits.memory_share_max)),
            (
                "alarms_running_max",
                count(self.0.alarms_running.load(Ordering::Acquire), limits.alarms_running_max),
            ),
        ];
        usage.used.extend(own.into_iter().map(|(name, (used, max))| (name, used, max)));
        let totals = self.0.totals.used();
        usage.used.extend(totals.into_iter().map(|(name, used, max)| (name, used as f64, max as f64)));
        usage
    }
}

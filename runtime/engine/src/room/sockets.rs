//! The sockets of an actor, by the index under which JavaScript knows them.
//!
//! An index is used again only after JavaScript has seen the socket's last event. A hibernating room keeps its entries, with
//! everything that is needed to restore a connection: id, uri, tags and attachment.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use partyrun_limits::{Budget, Limits};
use partyrun_net::close::close_code_allowed;
use partyrun_net::{
    CloseFrame, Response, SharedFrame, Socket, SocketBudgets, SocketEvent, SocketSink, Transport, Upgrade,
};
use partyrun_telemetry::Meters;
use tokio::sync::oneshot;

use crate::api::admin::ConnectionReport;
use crate::room::event::{Ending, Event};
use crate::room::inbox::Inbox;
use crate::room::lodging::{Berth, Connection, Lodger};
use crate::room::requests::Answer;

struct Entry {
    socket: Socket,
    sink: Rc<Sink>,
    /// A connection of a room; other sockets are those that user code opened or was given.
    connection: Option<Arc<Connection>>,
    handshake: Option<Handshake>,
    listed: bool,
    skipped: bool,
    dirty: bool,
    /// When it was listed first, counted in connections; 0 is never.
    arrival: u64,
}

/// A handshake that has not been answered.
pub(crate) struct Handshake {
    pub(crate) upgrade: Upgrade,
    pub(crate) reply: oneshot::Sender<Answer>,
    pub(crate) headers: http::HeaderMap,
}

/// A socket with less in its queue is not closed because others have too much: it takes about as much by itself.
const SHORT_QUEUE_BYTES: usize = 8 << 10;
/// The same while it is other rooms that have too much.
const FAIR_QUEUE_BYTES: usize = 256 << 10;

pub(crate) struct Sockets {
    limits: Rc<Limits>,
    inbox: Rc<Inbox>,
    lodger: Rc<Lodger>,
    budgets: SocketBudgets,
    /// Nothing more can be done about long queues until this much is queued.
    relieve_from: usize,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    dirty: Vec<u32>,
    count: usize,
    arrivals: u64,
    meters: &'static Meters,
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.meters.sockets.sink(self.count);
    }
}

impl Sockets {
    /// None yet; what they say goes to `inbox`. Their room is claimed from `lodger` before they are touched.
    pub(crate) fn new(
        limits: Rc<Limits>,
        inbox: Rc<Inbox>,
        lodger: Rc<Lodger>,
        budgets: SocketBudgets,
        meters: &'static Meters,
    ) -> Self {
        Self {
            limits,
            inbox,
            lodger,
            budgets,
            relieve_from: 0,
            entries: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            count: 0,
            arrivals: 0,
            meters,
        }
    }

    /// The budget of what is queued for the room's sockets.
    pub(crate) fn queued(&self) -> &Budget {
        &self.budgets.queued
    }

    /// Adds a socket that has no connection yet.
    pub(crate) fn add(&mut self, connection: Option<Connection>, handshake: Option<Handshake>) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        let sink = Rc::new(Sink {
            inbox: Rc::downgrade(&self.inbox),
            lodger: self.lodger.clone(),
            index,
            closed_here: Cell::new(false),
        });
        let socket = Socket::within(self.limits.clone(), self.budgets.clone(), sink.clone());
        socket.agree(handshake.as_ref().and_then(|handshake| handshake.upgrade.agreed()));
        let entry = Entry {
            socket,
            sink,
            connection: connection.map(Arc::new),
            handshake,
            listed: false,
            skipped: false,
            dirty: false,
            arrival: 0,
        };
        if let Some(place) = self.entries.get_mut(index as usize) {
            *place = Some(entry);
            self.count += 1;
            self.meters.sockets.rise();
            self.meters.sockets_opened.add(1);
        }
        index
    }

    /// Takes in a connection that hibernated with another worker.
    pub(crate) fn adopt(&mut self, connection: Arc<Connection>, transport: Transport) {
        let index = self.add(None, None);
        self.arrivals += 1;
        let arrival = self.arrivals;
        let Some(entry) = self.get(index) else { return };
        (entry.connection, entry.arrival) = (Some(connection), arrival);
        let (socket, sink) = (entry.socket.clone(), entry.sink.clone());
        if socket.attach(transport).is_err() {
            sink.event(SocketEvent::Lost);
        }
    }

    /// What others can take the connections of the room by; none where one of them cannot be taken.
    pub(crate) fn berths(&self) -> Option<Vec<Berth>> {
        let mut found = Vec::new();
        for entry in self.entries.iter().flatten() {
            let connection = entry.connection.clone().filter(|_| entry.handshake.is_none())?;
            found.push((entry.arrival, Berth { connection, mooring: entry.socket.moor()? }));
        }
        found.sort_unstable_by_key(|(arrival, _)| *arrival);
        Some(found.into_iter().map(|(_, berth)| berth).collect())
    }

    /// Reads none of them any more, once no message is half read.
    pub(crate) fn hold_still(&self) {
        self.entries.iter().flatten().for_each(|entry| entry.socket.hold_still());
    }

    /// Reads on.
    pub(crate) fn release(&self) {
        self.entries.iter().flatten().for_each(|entry| entry.socket.release());
    }

    /// Whether all connections that are open stand still.
    pub(crate) fn is_still(&self) -> bool {
        let open = self.entries.iter().flatten().filter(|entry| entry.socket.is_open());
        open.filter(|entry| entry.connection.is_some()).all(|entry| entry.socket.is_still())
    }

    /// Takes the connections that another process can have, in the order of their arrival; the others stay.
    pub(crate) fn lift(&mut self) -> Vec<(Arc<Connection>, Transport)> {
        let mut lifted = Vec::new();
        let free = &mut self.free;
        for (index, place) in self.entries.iter_mut().enumerate() {
            let Some(entry) = place.as_ref().filter(|entry| entry.handshake.is_none()) else { continue };
            let Some(connection) = entry.connection.clone() else { continue };
            if let Some(transport) = entry.socket.lift() {
                entry.socket.abandon();
                lifted.push((entry.arrival, connection, transport));
                *place = None;
                free.extend(u32::try_from(index));
            }
        }
        self.count -= lifted.len();
        self.meters.sockets.sink(lifted.len());
        lifted.sort_unstable_by_key(|(arrival, ..)| *arrival);
        lifted.into_iter().map(|(_, connection, transport)| (connection, transport)).collect()
    }

    /// Forgets all of them: another worker has the room.
    pub(crate) fn abandon(&mut self) {
        std::mem::take(&mut self.entries).iter().flatten().for_each(|entry| entry.socket.abandon());
        self.free.clear();
        self.dirty.clear();
        self.count = 0;
    }

    fn get(&mut self, index: u32) -> Option<&mut Entry> {
        self.entries.get_mut(index as usize)?.as_mut()
    }

    /// The socket itself.
    pub(crate) fn socket(&mut self, index: u32) -> Option<Socket> {
        self.get(index).map(|entry| entry.socket.clone())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Frees an index, once JavaScript knows that the socket is gone.
    pub(crate) fn remove(&mut self, index: u32) {
        if let Some(place) = self.entries.get_mut(index as usize)
            && place.take().is_some()
        {
            self.count -= 1;
            self.meters.sockets.sink(1);
            self.free.push(index);
        }
    }

    fn mark(&mut self, index: u32) {
        let Some(entry) = self.get(index) else { return };
        if !entry.dirty {
            entry.dirty = true;
            self.dirty.push(index);
        }
    }

    /// Queues a text message for one socket; one that is closed or gone drops it.
    pub(crate) fn send_text(&mut self, index: u32, text: &str) {
        let Some(entry) = self.get(index) else { return };
        if entry.socket.send_text(text).is_ok() {
            let counts = entry.socket.is_counted();
            self.meters.sent(1, text.len());
            self.mark(index);
            if counts {
                self.relieve();
            }
        }
    }

    pub(crate) fn send_binary(&mut self, index: u32, bytes: &[u8]) {
        let Some(entry) = self.get(index) else { return };
        if entry.socket.send_binary(bytes).is_ok() {
            let counts = entry.socket.is_counted();
            self.meters.sent(1, bytes.len());
            self.mark(index);
            if counts {
                self.relieve();
            }
        }
    }

    pub(crate) fn send_shared(&mut self, index: u32, frame: &SharedFrame) {
        let Some(entry) = self.get(index) else { return };
        if entry.socket.send_shared(frame).is_ok() {
            let counts = entry.socket.is_counted();
            self.meters.sent(1, frame.payload_length());
            self.mark(index);
            if counts {
                self.relieve();
            }
        }
    }

    // Where the queues have become too long, what the peers take leaves at once, although the turn goes on; then the sockets
    // with the longest queues are closed.
    fn relieve(&mut self) {
        if !self.budgets.queued.is_full() {
            return;
        }
        let budget = self.budgets.queued.clone();
        if budget.used() < self.relieve_from {
            return;
        }
        self.flush();
        let shortest = if budget.is_used_up() { SHORT_QUEUE_BYTES } else { FAIR_QUEUE_BYTES };
        let mut longest: Vec<(usize, u32)> = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| {
                let queued = entry.as_ref()?.socket.queued_bytes();
                (queued >= shortest).then_some((queued, u32::try_from(index).ok()?))
            })
            .collect();
        longest.sort_unstable();
        while budget.is_full()
            && let Some((_, index)) = longest.pop()
        {
            self.overflow(index, false);
        }
        self.relieve_from = if budget.is_full() { budget.used().saturating_add(FAIR_QUEUE_BYTES) } else { 0 };
    }

    /// Closes a socket whose peer does not read what it is sent; `alone` says that its own queue is too long.
    pub(crate) fn overflow(&mut self, index: u32, alone: bool) {
        if let Some(entry) = self.get(index) {
            entry.socket.overflow(alone);
        }
    }

    /// Bytes that are queued for a socket.
    pub(crate) fn queued_bytes(&mut self, index: u32) -> usize {
        self.get(index).map_or(0, |entry| entry.socket.queued_bytes())
    }

    /// Queues a message for all listed connections that are not skipped.
    pub(crate) fn broadcast(&mut self, frame: &SharedFrame) {
        let mut reached = 0;
        for index in 0..u32::try_from(self.entries.len()).unwrap_or(u32::MAX) {
            let Some(entry) = self.get(index) else { continue };
            if std::mem::take(&mut entry.skipped) || !entry.listed || entry.sink.closed_here.get() {
                continue;
            }
            if entry.socket.send_shared(frame).is_ok() {
                reached += 1;
                self.mark(index);
            }
        }
        self.meters.sent(reached, frame.payload_length());
        self.relieve();
    }

    /// The connections that a broadcast would reach now.
    pub(crate) fn broadcast_targets(&mut self) -> Vec<u32> {
        let mut targets = Vec::new();
        for (index, place) in self.entries.iter_mut().enumerate() {
            let Some(entry) = place else { continue };
            if !std::mem::take(&mut entry.skipped) && entry.listed && !entry.sink.closed_here.get() {
                targets.push(u32::try_from(index).unwrap_or(u32::MAX));
            }
        }
        targets
    }

    pub(crate) fn skip(&mut self, index: u32) {
        if let Some(entry) = self.get(index) {
            entry.skipped = true;
        }
    }

    pub(crate) fn list(&mut self, index: u32, listed: bool) {
        let next = self.arrivals + 1;
        let Some(entry) = self.get(index) else { return };
        entry.listed = listed;
        if listed && entry.arrival == 0 {
            entry.arrival = next;
            self.arrivals = next;
        }
    }

    pub(crate) fn attach(&mut self, index: u32, bytes: &[u8]) {
        if let Some(connection) = self.get(index).and_then(|entry| entry.connection.as_mut()) {
            Arc::make_mut(connection).attachment = Some(bytes.to_vec());
        }
    }

    pub(crate) fn tag(&mut self, index: u32, tags: Vec<String>) {
        if let Some(connection) = self.get(index).and_then(|entry| entry.connection.as_mut()) {
            Arc::make_mut(connection).tags = tags;
        }
    }

    /// JavaScript has closed the socket: broadcasts leave it out although the frame may still wait in the gate.
    pub(crate) fn closing(&mut self, index: u32) {
        if let Some(entry) = self.get(index) {
            entry.sink.closed_here.set(true);
        }
    }

    pub(crate) fn close(&mut self, index: u32, close: Option<CloseFrame>) {
        let Some(entry) = self.get(index) else { return };
        entry.sink.closed_here.set(true);
        entry.socket.close(close);
        self.mark(index);
    }

    /// Closes all of them; none is given to JavaScript any more.
    pub(crate) fn close_all(&mut self, code: u16, reason: &str) {
        for place in std::mem::take(&mut self.entries) {
            let Some(mut entry) = place else { continue };
            if let Some(handshake) = entry.handshake.take() {
                let _gone = handshake.reply.send(Ok(Response::text(500, reason)));
                continue;
            }
            entry.socket.set_sink(Rc::new(Nobody));
            entry.socket.close(Some(CloseFrame { code, reason: reason.to_string() }));
            entry.socket.flush();
        }
        self.free.clear();
        self.dirty.clear();
        self.meters.sockets.sink(self.count);
        self.count = 0;
    }

    /// Sends the answer 101; the socket gets its connection as soon as the front has let go of it.
    pub(crate) fn accept(&mut self, index: u32) {
        let Some(entry) = self.get(index) else { return };
        let Some(handshake) = entry.handshake.take() else { return };
        let mut response = Response::switching_protocols();
        response.headers = handshake.headers;
        let (socket, sink) = (entry.socket.clone(), entry.sink.clone());
        let answered = handshake.reply.send(Ok(response)).is_ok();
        self.mark(index);
        // A client that is gone already is lost a moment later as well: its event asks these sockets about it.
        tokio::task::spawn_local(async move {
            let attached = answered
                && match handshake.upgrade.transport().await {
                    Ok(transport) => socket.attach(transport).is_ok(),
                    Err(_) => false,
                };
            if !attached {
                sink.event(SocketEvent::Lost);
            }
        });
    }

    /// Answers a handshake with something else than 101, and forgets the socket.
    pub(crate) fn refuse(&mut self, index: u32, response: Response) {
        if let Some(handshake) = self.get(index).and_then(|entry| entry.handshake.take()) {
            let _gone = handshake.reply.send(Ok(response));
        }
        self.remove(index);
    }

    /// Writes what was queued, one system call a socket.
    pub(crate) fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            if let Some(entry) = self.get(index) {
                entry.dirty = false;
                entry.socket.flush();
            }
        }
        self.dirty = dirty;
    }

    pub(crate) fn resume(&self) {
        for entry in self.entries.iter().flatten() {
            entry.socket.resume();
        }
    }

    /// Whether no socket needs the room's instance.
    pub(crate) fn allow_eviction(&self, hibernates: bool) -> bool {
        self.entries
            .iter()
            .flatten()
            .all(|entry| hibernates && entry.connection.is_some() && entry.handshake.is_none())
    }

    /// The connections with an id.
    pub(crate) fn with_id(&self, id: &str) -> Vec<u32> {
        let found = self.entries.iter().enumerate().filter(|(_, place)| {
            let entry = place.as_ref().filter(|entry| entry.handshake.is_none());
            entry.and_then(|entry| entry.connection.as_ref()).is_some_and(|connection| connection.id == id)
        });
        found.filter_map(|(index, _)| u32::try_from(index).ok()).collect()
    }

    /// Up to so many connections, the oldest first.
    pub(crate) fn reports(&self, count_max: usize) -> Vec<ConnectionReport> {
        let connections = self.entries.iter().flatten().filter(|entry| entry.handshake.is_none());
        let mut found: Vec<_> = connections
            .filter_map(|entry| Some((entry.arrival, entry, entry.connection.as_deref()?)))
            .collect();
        found.sort_unstable_by_key(|(arrival, ..)| *arrival);
        let report = |(_, entry, connection): (u64, &Entry, &Connection)| ConnectionReport {
            id: connection.id.clone(),
            uri: connection.uri.clone(),
            tags: connection.tags.iter().filter(|tag| **tag != connection.id).cloned().collect(),
            state_bytes: connection.attachment.as_ref().map(Vec::len),
            queue_bytes: entry.socket.queued_bytes(),
        };
        found.into_iter().take(count_max).map(report).collect()
    }

    /// The connections of a room that hibernated, in the order of their arrival: indexes are used again.
    pub(crate) fn hibernated(&self) -> impl Iterator<Item = (u32, &Connection)> {
        let mut found: Vec<(u64, u32, &Connection)> = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, place)| {
                let entry = place.as_ref()?;
                let connection = entry.connection.as_deref()?;
                // A handshake that waits is no connection yet: its event is still to come.
                entry.handshake.is_none().then_some((entry.arrival, u32::try_from(index).ok()?, connection))
            })
            .collect();
        found.sort_unstable_by_key(|(arrival, ..)| *arrival);
        found.into_iter().map(|(_, index, connection)| (index, connection))
    }

    /// Whether a connection waits for its room to wake.
    pub(crate) fn any_hibernated(&self) -> bool {
        self.entries.iter().flatten().any(|entry| entry.connection.is_some() && entry.handshake.is_none())
    }
}

// Takes the events of a socket and puts them into the room's inbox. It may be called at any time, whatever part of its
// room is borrowed.
struct Sink {
    inbox: Weak<Inbox>,
    lodger: Rc<Lodger>,
    index: u32,
    // This side closed the socket: broadcasts leave it out although the frame may still wait in the gate.
    closed_here: Cell<bool>,
}

impl SocketSink for Sink {
    fn event(&self, event: SocketEvent<'_>) {
        let Some(inbox) = self.inbox.upgrade() else { return };
        let event = match event {
            SocketEvent::Text(text) => Event::Text(self.index, text.into_owned()),
            SocketEvent::Binary(bytes) => Event::Binary(self.index, bytes.into_owned()),
            SocketEvent::Close(close) => {
                let how = if self.closed_here.get() { Ending::HERE } else { Ending::BY_PEER };
                let (code, reason) = close.map_or((1005, String::new()), |close| (close.code, close.reason));
                Event::End(self.index, Ending { how, code, reason })
            }
            SocketEvent::Lost => {
                let how = if self.closed_here.get() { Ending::HERE } else { Ending::LOST };
                // In the words of the original.
                let reason = "WebSocket disconnected without sending Close frame.".to_string();
                Event::End(self.index, Ending { how, code: 1006, reason })
            }
            SocketEvent::Failed(close) => {
                Event::End(self.index, Ending { how: Ending::FAILED, code: close.code, reason: close.reason })
            }
        };
        let last = matches!(event, Event::End(..));
        inbox.push(event);
        if last {
            inbox.wake();
        }
    }

    fn drained(&self) {
        if let Some(inbox) = self.inbox.upgrade() {
            inbox.wake();
        }
    }

    fn full(&self) -> bool {
        self.inbox.upgrade().is_some_and(|inbox| inbox.holds_back())
    }

    fn claim(&self) -> bool {
        self.lodger.claim()
    }

    fn rest(&self) {
        if self.inbox.upgrade().is_some_and(|inbox| inbox.is_empty()) {
            self.lodger.settle();
        }
    }
}

// Nobody wants to hear of a socket that was closed with its room.
struct Nobody;

impl SocketSink for Nobody {
    fn event(&self, _event: SocketEvent<'_>) {}
}

/// Joins two sockets: what arrives on one leaves by the other.
pub(crate) struct Relay {
    pub(crate) other: Socket,
}

impl SocketSink for Relay {
    fn event(&self, event: SocketEvent<'_>) {
        // A message for a socket that is closing is dropped, as everywhere.
        match event {
            SocketEvent::Text(text) => drop(self.other.send_text(&text)),
            SocketEvent::Binary(bytes) => drop(self.other.send_binary(&bytes)),
            SocketEvent::Close(close) => {
                self.other.close(close.filter(|close| close_code_allowed(close.code)));
            }
            SocketEvent::Failed(close) => self.other.close(Some(close)),
            SocketEvent::Lost => self.other.close(Some(CloseFrame { code: 1001, reason: String::new() })),
        }
        self.other.flush();
    }
}

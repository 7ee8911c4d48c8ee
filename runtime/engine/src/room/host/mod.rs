//! The engine's side of the ops: what JavaScript asks of the outside, answered for the actor that the isolate belongs to.
//!
//! A [`HostSlot`] belongs to one isolate from its creation; a spare's slot has no actor yet, and whatever its modules ask
//! for at the top level is nothing to do (what they print there is shown once: when the edge isolate is made).

use std::cell::OnceCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use bytes::Bytes;
use deno_core::v8;
use deno_error::JsErrorBox;
use http::header;
use partyrun_extensions as ext;
use partyrun_net::socket::close_code_allowed;
use partyrun_net::{CloseFrame, RequestUrl, Response, SharedFrame, SocketSink, Upgrade, counted};
use partyrun_store::{RoomKey, RoomStorage, StorageError, StoreError};

use crate::ground::program::Program;
use crate::room::actor::Actor;
use crate::room::edge;
use crate::room::event::{Origin, Waiting};
use crate::room::http::{busy, outgoing_body, parse_headers, reply_of};
use crate::room::outgoing;
use crate::room::output_gate::Output;
use crate::room::sockets::Relay;
use crate::{Before, Fetched, Level, Observer, Source};

/// Answers from this length on are counted; what all clients have of shorter ones is bounded by their number.
const LONG_ANSWER_BYTES: usize = 16 << 10;

/// The host side of one isolate.
pub(crate) struct HostSlot {
    actor: OnceCell<Weak<Actor>>,
    program: Arc<Program>,
    /// Where the modules print before there is an actor.
    top_level: Option<Arc<dyn Observer>>,
}

impl HostSlot {
    pub(crate) fn new(program: Arc<Program>, top_level: Option<Arc<dyn Observer>>) -> Rc<Self> {
        Rc::new(Self { actor: OnceCell::new(), program, top_level })
    }

    /// Gives the isolate to an actor, once.
    pub(crate) fn bind(&self, actor: &Rc<Actor>) {
        let _bound = self.actor.set(Rc::downgrade(actor));
    }

    /// The room or the edge that the isolate belongs to.
    pub(crate) fn source(&self) -> Option<Source> {
        self.actor().map(|actor| actor.source.clone())
    }

    fn actor(&self) -> Option<Rc<Actor>> {
        self.actor.get()?.upgrade()
    }

    fn storage<T>(
        &self,
        writes: bool,
        body: impl FnOnce(&mut RoomStorage) -> Result<T, StorageError>,
    ) -> Result<T, JsErrorBox> {
        let actor = self.actor().ok_or_else(no_storage)?;
        let storage = actor.storage.as_ref().ok_or_else(no_storage)?;
        if writes {
            actor.gate.wrote();
        }
        let result = body(&mut storage.borrow_mut());
        if writes {
            actor.count_undurable(storage.borrow().undurable_bytes());
        }
        result.map_err(|error| {
            if error.resets_room() {
                actor.reset_soon(&error.to_string());
            }
            js_error(&error)
        })
    }

    // Says what a read left out, because nothing else would tell.
    fn report_altered(&self) {
        let Some(actor) = self.actor() else { return };
        let Some(storage) = actor.storage.as_ref() else { return };
        let altered = storage.borrow_mut().take_altered();
        for key in altered {
            let room = storage.borrow().key().to_string();
            let error = StorageError::from(StoreError::Altered { room, key });
            actor.shared.observer.console(&actor.source, Level::Error, &format!("{error} It was left out."));
        }
    }

    // Sends a frame now or when the gate opens.
    fn send(
        &self,
        index: u32,
        bytes: usize,
        now: impl FnOnce(&Actor),
        later: impl FnOnce() -> SharedFrame,
    ) -> u32 {
        let Some(actor) = self.actor() else { return SENT };
        if bytes > actor.shared.limits.message_out_bytes_max {
            return TOO_LONG;
        }
        if actor.gate.is_open() {
            now(&actor);
        } else if actor.gate.is_full() {
            return TOO_MUCH_HELD;
        } else if !overflows(&actor, index, bytes) {
            actor.gate.hold(Output::Frame(index, later()));
        }
        SENT
    }

    fn broadcast(&self, bytes: usize, frame: impl FnOnce() -> SharedFrame) -> u32 {
        let Some(actor) = self.actor() else { return SENT };
        if bytes > actor.shared.limits.message_out_bytes_max {
            return TOO_LONG;
        }
        if actor.gate.is_open() {
            let mut sockets = actor.sockets.borrow_mut();
            let frame = frame().counted(sockets.queued());
            sockets.broadcast(&frame);
        } else if actor.gate.is_full() {
            return TOO_MUCH_HELD;
        } else {
            let mut targets = actor.sockets.borrow_mut().broadcast_targets();
            targets.retain(|index| !overflows(&actor, *index, bytes));
            let frame = frame().counted(actor.sockets.borrow().queued());
            actor.gate.hold(Output::Frames(targets, frame));
        }
        SENT
    }
}

// What a send answers to JavaScript; the numbers are those of js/34_sockets.js.
const SENT: u32 = 0;
const TOO_LONG: u32 = 1;
const TOO_MUCH_HELD: u32 = 2;

// Whether `bytes` more behind the gate are more than a socket's queue may have; then it is closed, as without a gate.
fn overflows(actor: &Actor, index: u32, bytes: usize) -> bool {
    let mut sockets = actor.sockets.borrow_mut();
    let waiting = actor.gate.held_bytes(index) + sockets.queued_bytes(index);
    let too_much = waiting > 0 && waiting.saturating_add(bytes) > actor.shared.limits.send_queue_bytes_max;
    if too_much {
        sockets.overflow(index);
    }
    too_much
}

// An answer, if memory allows it; a long one counts until its client has read it.
fn within_memory(actor: &Actor, mut response: Response) -> Response {
    if let partyrun_net::Body::Full(bytes) = &mut response.body
        && bytes.len() >= LONG_ANSWER_BYTES
    {
        let full = actor.answers.refuses() || !actor.gate.is_open() && actor.gate.is_full();
        if full {
            return busy(&actor.shared.limits, "The room has too many answers that were not read yet.");
        }
        let charge = actor.answers.charge(bytes.len());
        *bytes = counted(std::mem::take(bytes), charge);
    }
    response
}

fn no_storage() -> JsErrorBox {
    JsErrorBox::generic("Storage is not available before the room is created.")
}

fn js_error(error: &StorageError) -> JsErrorBox {
    use partyrun_store::JsErrorClass;
    let message = error.to_string();
    match error.js_class() {
        JsErrorClass::RangeError => JsErrorBox::range_error(message),
        JsErrorClass::TypeError => JsErrorBox::type_error(message),
        JsErrorClass::Error => JsErrorBox::generic(message),
    }
}

// A code that no close frame may hold, as that of a broken one which is handed on, is left out.
fn close_frame(code: i32, reason: &str) -> Option<CloseFrame> {
    let code = u16::try_from(code).ok().filter(|code| close_code_allowed(*code))?;
    Some(CloseFrame { code, reason: reason.to_string() })
}

impl ext::Host for HostSlot {
    fn console(&self, level: u32, text: &str) {
        let level = match level {
            0 => Level::Debug,
            1 => Level::Log,
            2 => Level::Warn,
            _ => Level::Error,
        };
        match (self.actor(), &self.top_level) {
            (Some(actor), _) => actor.shared.observer.console(&actor.source, level, text),
            (None, Some(observer)) => observer.console(&Source::Edge, level, text),
            (None, None) => {}
        }
    }

    fn room_hold(&self, held: bool) {
        if let Some(actor) = self.actor() {
            actor.held.set(held);
            actor.wake();
        }
    }

    fn room_reset(&self, reason: &str) {
        if let Some(actor) = self.actor() {
            actor.reset_soon(reason);
            actor.wake();
        }
    }

    fn room_hibernates(&self, hibernates: bool) {
        if let Some(actor) = self.actor() {
            actor.hibernates.set(hibernates);
        }
    }

    fn room_started(&self, failure: &str) {
        if let Some(actor) = self.actor() {
            actor.started(failure);
        }
    }

    fn alarm_done(&self, token: u32, succeeded: bool) {
        if let Some(actor) = self.actor() {
            actor.alarm_done(token, succeeded);
            actor.wake();
        }
    }

    fn socket_send_text(&self, index: u32, text: &str) -> u32 {
        let now = |actor: &Actor| actor.sockets.borrow_mut().send_text(index, text);
        self.send(index, text.len(), now, || SharedFrame::text(text))
    }

    fn socket_send_binary(&self, index: u32, bytes: &[u8]) -> u32 {
        let now = |actor: &Actor| actor.sockets.borrow_mut().send_binary(index, bytes);
        self.send(index, bytes.len(), now, || SharedFrame::binary(bytes))
    }

    fn socket_close(&self, index: u32, code: i32, reason: &str) {
        let Some(actor) = self.actor() else { return };
        let close = close_frame(code, reason);
        actor.sockets.borrow_mut().closing(index);
        if actor.gate.is_open() {
            actor.sockets.borrow_mut().close(index, close);
        } else {
            actor.gate.hold(Output::Close(index, close));
        }
    }

    fn socket_connect(
        &self,
        url: String,
        protocols: String,
        headers: String,
    ) -> ext::LocalFuture<Result<ext::Reply, JsErrorBox>> {
        let actor = self.actor();
        Box::pin(async move {
            let actor = actor.ok_or_else(|| {
                JsErrorBox::generic("A WebSocket cannot be opened while modules are loaded.")
            })?;
            outgoing::connect(actor, &url, &protocols, &headers).await
        })
    }

    fn socket_forget(&self, index: u32) {
        if let Some(actor) = self.actor() {
            actor.sockets.borrow_mut().remove(index);
        }
    }

    fn socket_buffered(&self, index: u32) -> usize {
        let Some(actor) = self.actor() else { return 0 };
        let queued = actor.sockets.borrow_mut().socket(index).map_or(0, |socket| socket.waiting_bytes());
        queued + actor.gate.held_bytes(index)
    }

    fn connection_accept(&self, index: u32) {
        let Some(actor) = self.actor() else { return };
        if actor.gate.is_open() {
            actor.sockets.borrow_mut().accept(index);
        } else {
            actor.gate.hold(Output::Accept(index));
        }
    }

    fn connection_list(&self, index: u32, listed: bool) {
        if let Some(actor) = self.actor() {
            actor.sockets.borrow_mut().list(index, listed);
        }
    }

    fn connection_attach(&self, index: u32, bytes: &[u8]) {
        if let Some(actor) = self.actor() {
            actor.sockets.borrow_mut().attach(index, bytes);
        }
    }

    fn connection_tags(&self, index: u32, tags: Vec<String>) {
        if let Some(actor) = self.actor() {
            actor.sockets.borrow_mut().tag(index, tags);
        }
    }

    fn broadcast_skip(&self, index: u32) {
        if let Some(actor) = self.actor() {
            actor.sockets.borrow_mut().skip(index);
        }
    }

    fn broadcast_text(&self, text: &str) -> u32 {
        self.broadcast(text.len(), || SharedFrame::text(text))
    }

    fn broadcast_binary(&self, bytes: &[u8]) -> u32 {
        self.broadcast(bytes.len(), || SharedFrame::binary(bytes))
    }

    fn response(&self, id: u32, status: u32, headers: &str, body: ext::Body) {
        let Some(actor) = self.actor() else { return };
        // The mark says that the body is already in the coding that its header names (js/31_responses.js).
        let packed = status & ext::PACKED != 0;
        let status = u16::try_from(status & !ext::PACKED).unwrap_or(500);
        let mut response = Response::new(status, outgoing_body(body));
        response.packed = packed;
        response.headers = parse_headers(headers);
        response = within_memory(&actor, response);
        response.reason = actor.requests.borrow_mut().get_mut(&id).and_then(|request| request.reason.take());
        if actor.gate.is_open() {
            actor.answer(id, response);
        } else {
            actor.gate.hold(Output::Response(id, response));
        }
    }

    fn response_reason(&self, id: u32, reason: &str) {
        if let Some(actor) = self.actor()
            && let Some(request) = actor.requests.borrow_mut().get_mut(&id)
        {
            request.reason = Some(reason.to_string());
        }
    }

    fn response_reject(&self, id: u32, message: &str) {
        let Some(actor) = self.actor() else { return };
        let request = actor.requests.borrow_mut().remove(&id);
        if let Some(Waiting::Room(sender)) = request.map(|request| request.waiting) {
            let _gone = sender.send(Err(message.to_string()));
        }
    }

    fn storage_get(&self, key: &str) -> Result<Option<Bytes>, JsErrorBox> {
        self.storage(false, |storage| storage.get(key))
    }

    fn storage_get_many(&self, keys: Vec<String>) -> Result<Vec<(String, Bytes)>, JsErrorBox> {
        let found = self.storage(false, |storage| storage.get_many(&keys));
        self.report_altered();
        found
    }

    fn storage_list(&self, options: ext::ListOptions) -> Result<Vec<(String, Bytes)>, JsErrorBox> {
        let options = partyrun_store::ListOptions {
            start: options.start,
            start_after: options.start_after,
            end: options.end,
            prefix: options.prefix,
            reverse: options.reverse,
            limit: options.limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX)),
        };
        let found = self.storage(false, |storage| storage.list(&options));
        self.report_altered();
        found
    }

    fn storage_check_count(&self, count: usize) -> Result<(), JsErrorBox> {
        let max = self.actor().map_or(usize::MAX, |actor| actor.shared.limits.keys_per_call_max);
        if count > max {
            return Err(JsErrorBox::range_error(format!(
                "Maximum number of key value pairs is {max}. {count} pairs were provided."
            )));
        }
        Ok(())
    }

    fn storage_put(&self, key: &str, value: &[u8]) -> Result<(), JsErrorBox> {
        self.storage(true, |storage| storage.put(key, Bytes::copy_from_slice(value)))
    }

    fn storage_put_many(&self, entries: Vec<(String, Bytes)>) -> Result<(), JsErrorBox> {
        self.storage(true, |storage| storage.put_many(entries))
    }

    fn storage_delete(&self, key: &str) -> Result<bool, JsErrorBox> {
        self.storage(true, |storage| storage.delete(key))
    }

    fn storage_delete_many(&self, keys: Vec<String>) -> Result<u32, JsErrorBox> {
        self.storage(true, |storage| storage.delete_many(&keys))
            .map(|count| u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn storage_delete_all(&self) -> Result<(), JsErrorBox> {
        self.storage(true, RoomStorage::delete_all)
    }

    fn storage_begin(&self) -> Result<(), JsErrorBox> {
        let actor = self.actor().ok_or_else(no_storage)?;
        let id = self.storage(false, |storage| Ok(storage.begin()))?;
        actor.transactions.borrow_mut().push(id);
        Ok(())
    }

    fn storage_commit(&self) -> Result<(), JsErrorBox> {
        let actor = self.actor().ok_or_else(no_storage)?;
        let Some(id) = actor.transactions.borrow_mut().pop() else { return Ok(()) };
        self.storage(true, |storage| storage.commit(id))
    }

    fn storage_rollback(&self) -> Result<(), JsErrorBox> {
        let actor = self.actor().ok_or_else(no_storage)?;
        let Some(id) = actor.transactions.borrow_mut().pop() else { return Ok(()) };
        self.storage(false, |storage| storage.rollback(id))
    }

    fn storage_get_alarm(&self) -> Result<Option<f64>, JsErrorBox> {
        self.storage(false, RoomStorage::get_alarm).map(|alarm| alarm.map(|at_ms| at_ms as f64))
    }

    fn storage_set_alarm(&self, time_ms: f64) -> Result<(), JsErrorBox> {
        self.storage(true, |storage| storage.set_alarm(time_ms, partyrun_store::now_ms()))
    }

    fn storage_delete_alarm(&self) -> Result<(), JsErrorBox> {
        self.storage(true, RoomStorage::delete_alarm)
    }

    fn storage_pending(&self) -> bool {
        self.actor().is_some_and(|actor| !actor.gate.is_open())
    }

    fn storage_presses(&self) -> bool {
        self.actor().is_some_and(|actor| actor.outruns_disk())
    }

    fn storage_sync(&self) -> ext::LocalFuture<Result<(), JsErrorBox>> {
        let waiting = self.actor().and_then(|actor| actor.durable());
        Box::pin(async move {
            match waiting {
                None => Ok(()),
                Some(receiver) => match receiver.await {
                    Ok(result) => result.map_err(JsErrorBox::generic),
                    Err(_) => Err(JsErrorBox::generic("The room was reset.")),
                },
            }
        })
    }

    fn party_url(&self, _party: &str, id: &str, path: &str) -> Result<String, JsErrorBox> {
        Ok(format!("http://{}/parties/{_party}/{}{path}", self.program.host, edge::encode_room_id(id)))
    }

    fn party_fetch(&self, request: ext::PartyRequest) -> ext::LocalFuture<Result<ext::Reply, String>> {
        let Some(actor) = self.actor() else {
            return Box::pin(async {
                Err("Other parties cannot be reached while modules are loaded.".to_string())
            });
        };
        let url = format!(
            "http://{}/parties/{}/{}{}",
            self.program.host,
            request.party,
            edge::encode_room_id(&request.id),
            request.path
        );
        let durable = actor.durable();
        Box::pin(async move {
            // What a room asks of another one leaves like everything that it says: when its writes are durable.
            if let Some(durable) = durable
                && !matches!(durable.await, Ok(Ok(())))
            {
                return Err("The room was reset.".to_string());
            }
            party_fetch(actor, request, &url).await
        })
    }

    fn assets_fetch(&self, path: String) -> ext::LocalFuture<Option<ext::Reply>> {
        let Some(actor) = self.actor() else { return Box::pin(async { None }) };
        let asking = actor.shared.observer.assets(path);
        let unpacked_max = actor.shared.limits.answer_inflated_bytes_max;
        Box::pin(async move { asking.await.map(|response| reply_of(response, None, unpacked_max)) })
    }

    fn binding_call(&self, call: ext::BindingCall) -> ext::LocalFuture<Result<ext::BindingReply, String>> {
        let Some(actor) = self.actor() else {
            return Box::pin(async { Err("Bindings cannot be used while modules are loaded.".to_string()) });
        };
        let durable = actor.durable();
        let calling = actor.shared.observer.clone();
        Box::pin(async move {
            // What a binding stores leaves the room, like what it says.
            if let Some(durable) = durable
                && !matches!(durable.await, Ok(Ok(())))
            {
                return Err("The room was reset.".to_string());
            }
            calling.binding(call).await
        })
    }

    fn edge_forward(&self, id: u32, forwarded: ext::Forwarded) {
        let Some(actor) = self.actor() else { return };
        let Some(request) = actor.requests.borrow_mut().remove(&id) else { return };
        let Waiting::Before(sender) = request.waiting else { return };
        let Some(url) = RequestUrl::parse(&forwarded.url) else {
            let _gone = sender.send(Before::Respond(Response::text(500, "Invalid URL")));
            return;
        };
        let headers = parse_headers(&forwarded.headers);
        let wants_socket = headers
            .get(header::UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
        if wants_socket && request.upgrade.is_none() {
            let text = "Worker tried to return a WebSocket in a response to a request which did not contain \
                        the header \"Upgrade: websocket\".";
            let _gone = sender.send(Before::Respond(Response::text(500, text)));
            return;
        }
        let keeps_cf = forwarded.keeps_cf;
        let forwarded = partyrun_net::Request {
            method: http::Method::from_bytes(forwarded.method.as_bytes()).unwrap_or(http::Method::GET),
            url,
            headers,
            body: outgoing_body(forwarded.body),
            peer: request.peer,
            upgrade: request.upgrade.filter(|_| wants_socket),
        };
        let _gone = sender.send(Before::Forward { request: forwarded, keeps_cf });
    }

    fn edge_pass(&self, id: u32) {
        let Some(actor) = self.actor() else { return };
        let Some(request) = actor.requests.borrow_mut().remove(&id) else { return };
        let Waiting::Fetch(sender) = request.waiting else { return };
        let Some(url) = request.url else { return };
        let passed = partyrun_net::Request {
            method: request.method,
            url,
            headers: request.headers.unwrap_or_default(),
            body: partyrun_net::Body::Empty,
            peer: request.peer,
            upgrade: None,
        };
        let _gone = sender.send(Fetched::Pass(passed));
    }

    fn edge_wait(&self, change: i32) {
        if let Some(actor) = self.actor() {
            actor.waits.set(actor.waits.get() + change);
        }
    }

    fn edge_accept(&self, id: u32, headers: &str) -> u32 {
        self.actor().map_or(u32::MAX, |actor| {
            let index = edge::open(&actor, id, parse_headers(headers));
            actor.sockets.borrow_mut().accept(index);
            index
        })
    }

    fn edge_relay(&self, client: u32, socket: u32) {
        let Some(actor) = self.actor() else { return };
        let outer = actor.sockets.borrow_mut().socket(client);
        let inner = actor.sockets.borrow_mut().socket(socket);
        let (Some(outer), Some(inner)) = (outer, inner) else { return };
        let (to_inner, to_outer) = (Relay { other: inner.clone() }, Relay { other: outer.clone() });
        // What arrived and was not given to JavaScript yet goes first.
        for (index, relay) in [(client, &to_inner), (socket, &to_outer)] {
            for event in actor.take_socket_events(index) {
                relay.event(event);
            }
        }
        outer.set_sink(Rc::new(to_inner));
        inner.set_sink(Rc::new(to_outer));
        // What JavaScript passed on is queued, and no turn of the edge writes it any more.
        outer.flush();
        inner.flush();
        // Both go on without the isolate; JavaScript no longer knows them.
        actor.sockets.borrow_mut().remove(client);
        actor.sockets.borrow_mut().remove(socket);
    }

    fn edge_refuse(&self, index: u32, message: &str) {
        if let Some(actor) = self.actor() {
            actor.sockets.borrow_mut().refuse(index, Response::text(500, message));
        }
    }

    fn edge_open(&self, id: u32) -> u32 {
        self.actor().map_or(u32::MAX, |actor| edge::open(&actor, id, http::HeaderMap::new()))
    }

    fn bundle_wasm(&self, index: u32) -> Option<Arc<v8::CompiledWasmModule>> {
        self.program.compiled_wasm(index)
    }

    fn bundle_wasm_bytes(&self, index: u32) -> Option<Bytes> {
        self.program.wasm.get(index as usize).cloned()
    }

    fn keep_wasm(&self, index: u32, module: v8::CompiledWasmModule) {
        self.program.keep_wasm(index, module);
    }

    fn bundle_binary(&self, index: u32) -> Option<Bytes> {
        self.program.binaries.get(index as usize).cloned()
    }
}

// Asks a room of this project, from inside the process.
async fn party_fetch(actor: Rc<Actor>, request: ext::PartyRequest, url: &str) -> Result<ext::Reply, String> {
    let unpacked_max = actor.shared.limits.answer_inflated_bytes_max;
    let id = edge::encode_room_id(&request.id);
    if id.is_empty() {
        return Ok(reply_of(Response::text(500, "No room id found in request url"), None, unpacked_max));
    }
    let mut headers = parse_headers(&request.headers);
    // As on the network: a body whose length is known says it.
    if let ext::Body::Bytes(bytes) = &request.body {
        headers.entry(header::CONTENT_LENGTH).or_insert_with(|| http::HeaderValue::from(bytes.len()));
    }
    let wants_socket =
        headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let (upgrade, offer) = if wants_socket {
        let (upgrade, offer) = Upgrade::offer();
        (Some(upgrade), Some(offer))
    } else {
        (None, None)
    };
    let message = partyrun_net::Request {
        method: http::Method::from_bytes(request.method.as_bytes()).map_err(|error| error.to_string())?,
        url: RequestUrl::parse(url).ok_or_else(|| format!("Invalid URL: {url}"))?,
        headers,
        body: outgoing_body(request.body),
        peer: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        upgrade,
    };
    let key = RoomKey::new(request.party, id);
    let response = actor
        .shared
        .engine()?
        .ask(key, message, if request.forwarded { Origin::Forwarded } else { Origin::Stub })
        .await?;
    if response.status != 101 {
        return Ok(reply_of(response, None, unpacked_max));
    }
    let Some(offer) = offer else { return Ok(reply_of(response, None, unpacked_max)) };
    let index = actor.sockets.borrow_mut().add(&actor, None, None);
    let socket = actor.sockets.borrow_mut().socket(index);
    let attached = socket.map(|socket| socket.attach(partyrun_net::Transport::Pipe(offer.accept())));
    match attached {
        Some(Ok(())) => Ok(reply_of(response, Some(index), unpacked_max)),
        _ => Err("The socket could not be opened.".to_string()),
    }
}

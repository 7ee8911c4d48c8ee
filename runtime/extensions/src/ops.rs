//! The ops, one line of work each: take the arguments apart, call the [`Host`](crate::Host).
//!
//! Names carry their noun first. The ones that run per message are `fast`: V8 calls them without leaving optimized code
//! when it was given their functions by a residual script (`js/99_fast.js`).

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use deno_core::JsBuffer;
use deno_core::OpState;
use deno_core::ToJsBuffer;
use deno_core::convert::Uint8Array;
use deno_core::op2;
use deno_core::v8;
use deno_error::JsErrorBox;
use partyrun_limits::Charge;
use serde::Serialize;

use crate::body::add_stream;
use crate::host::{BindingCall, Body, Forwarded, Host, HostRef, ListOptions, PartyRequest, Reply};
use crate::memory;

fn host(state: &OpState) -> &dyn Host {
    &*state.borrow::<HostRef>().0
}

fn bytes_of(values: Bytes) -> Uint8Array {
    Uint8Array::from(Vec::from(values))
}

// --- console, room ----------------------------------------------------------------------------------------------------

#[op2(fast)]
pub(crate) fn op_console_write(state: &OpState, #[string] text: &str, #[smi] level: u32) {
    host(state).console(level, text);
}

#[op2(fast)]
pub(crate) fn op_room_hold(state: &OpState, held: bool) {
    host(state).room_hold(held);
}

#[op2(fast)]
pub(crate) fn op_room_reset(state: &OpState, #[string] reason: &str) {
    host(state).room_reset(reason);
}

#[op2(fast)]
pub(crate) fn op_room_hibernates(state: &OpState, hibernates: bool) {
    host(state).room_hibernates(hibernates);
}

#[op2(fast)]
pub(crate) fn op_room_started(state: &OpState, #[string] failure: &str) {
    host(state).room_started(failure);
}

#[op2(fast)]
pub(crate) fn op_alarm_done(state: &OpState, #[smi] token: u32, succeeded: bool) {
    host(state).alarm_done(token, succeeded);
}

// --- sockets ----------------------------------------------------------------------------------------------------------

#[op2(fast)]
#[smi]
pub(crate) fn op_socket_send_text(state: &OpState, #[smi] index: u32, #[string] text: &str) -> u32 {
    host(state).socket_send_text(index, text)
}

#[op2(fast)]
#[smi]
pub(crate) fn op_socket_send_binary(state: &OpState, #[smi] index: u32, #[buffer] bytes: &[u8]) -> u32 {
    host(state).socket_send_binary(index, bytes)
}

#[op2(fast)]
pub(crate) fn op_socket_close(state: &OpState, #[smi] index: u32, #[smi] code: i32, #[string] reason: &str) {
    host(state).socket_close(index, code, reason);
}

#[op2]
#[serde]
pub(crate) async fn op_socket_connect(
    state: Rc<RefCell<OpState>>,
    #[string] url: String,
    #[string] protocols: String,
    #[string] headers: String,
) -> Result<ReplyParts, JsErrorBox> {
    let connecting = host(&state.borrow()).socket_connect(url, protocols, headers);
    let reply = connecting.await?;
    Ok(ReplyParts::new(&mut state.borrow_mut(), reply))
}

#[op2(fast)]
pub(crate) fn op_connection_accept(state: &OpState, #[smi] index: u32) {
    host(state).connection_accept(index);
}

#[op2(fast)]
pub(crate) fn op_socket_forget(state: &OpState, #[smi] index: u32) {
    host(state).socket_forget(index);
}

/// Bytes that wait for the network.
#[op2(fast)]
#[number]
pub(crate) fn op_socket_buffered(state: &OpState, #[smi] index: u32) -> usize {
    host(state).socket_buffered(index)
}

#[op2(fast)]
pub(crate) fn op_connection_list(state: &OpState, #[smi] index: u32, listed: bool) {
    host(state).connection_list(index, listed);
}

#[op2(fast)]
pub(crate) fn op_connection_attach(state: &OpState, #[smi] index: u32, #[buffer] bytes: &[u8]) {
    host(state).connection_attach(index, bytes);
}

#[op2]
pub(crate) fn op_connection_tags(state: &OpState, #[smi] index: u32, #[serde] tags: Vec<String>) {
    host(state).connection_tags(index, tags);
}

#[op2(fast)]
pub(crate) fn op_broadcast_skip(state: &OpState, #[smi] index: u32) {
    host(state).broadcast_skip(index);
}

#[op2(fast)]
#[smi]
pub(crate) fn op_broadcast_text(state: &OpState, #[string] text: &str) -> u32 {
    host(state).broadcast_text(text)
}

#[op2(fast)]
#[smi]
pub(crate) fn op_broadcast_binary(state: &OpState, #[buffer] bytes: &[u8]) -> u32 {
    host(state).broadcast_binary(bytes)
}

// --- responses --------------------------------------------------------------------------------------------------------

#[op2(fast)]
pub(crate) fn op_response_static(
    state: &OpState,
    #[smi] id: u32,
    #[smi] status: u32,
    #[string] headers: &str,
    #[string] body: Cow<'_, str>,
) {
    let body =
        if body.is_empty() { Body::None } else { Body::Bytes(Bytes::copy_from_slice(body.as_bytes())) };
    host(state).response(id, status, headers, body);
}

#[op2(fast)]
pub(crate) fn op_response_bytes(
    state: &OpState,
    #[smi] id: u32,
    #[smi] status: u32,
    #[string] headers: &str,
    #[buffer] body: &[u8],
) {
    host(state).response(id, status, headers, Body::Bytes(Bytes::copy_from_slice(body)));
}

#[op2(fast)]
pub(crate) fn op_response_reason(state: &OpState, #[smi] id: u32, #[string] reason: &str) {
    host(state).response_reason(id, reason);
}

#[op2(fast)]
pub(crate) fn op_response_reject(state: &OpState, #[smi] id: u32, #[string] message: &str) {
    host(state).response_reject(id, message);
}

#[op2(fast)]
pub(crate) fn op_response_stream(
    state: &mut OpState,
    #[smi] id: u32,
    #[smi] status: u32,
    #[string] headers: &str,
    #[smi] resource: u32,
) -> Result<(), JsErrorBox> {
    let resource = state.resource_table.take_any(resource).map_err(JsErrorBox::from_err)?;
    host(state).response(id, status, headers, Body::Resource(resource));
    Ok(())
}

// --- storage ----------------------------------------------------------------------------------------------------------

#[op2]
pub(crate) fn op_storage_get(state: &OpState, #[string] key: &str) -> Result<Option<Uint8Array>, JsErrorBox> {
    Ok(host(state).storage_get(key)?.map(bytes_of))
}

// Keys and values in turn, in one array.
fn pairs<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    found: Vec<(String, Bytes)>,
) -> Result<v8::Local<'s, v8::Array>, JsErrorBox> {
    let mut elements: Vec<v8::Local<v8::Value>> = Vec::with_capacity(found.len() * 2);
    for (key, value) in found {
        let key = v8::String::new(scope, &key).ok_or_else(|| JsErrorBox::range_error("A key is too long"))?;
        let length = value.len();
        let store = v8::ArrayBuffer::new_backing_store_from_vec(Vec::from(value)).make_shared();
        let buffer = v8::ArrayBuffer::with_backing_store(scope, &store);
        let view = v8::Uint8Array::new(scope, buffer, 0, length)
            .ok_or_else(|| JsErrorBox::range_error("A value is too long"))?;
        elements.push(key.into());
        elements.push(view.into());
    }
    Ok(v8::Array::new_with_elements(scope, &elements))
}

#[op2]
pub(crate) fn op_storage_get_many<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    state: &OpState,
    #[serde] keys: Vec<String>,
) -> Result<v8::Local<'s, v8::Array>, JsErrorBox> {
    let found = host(state).storage_get_many(keys)?;
    pairs(scope, found)
}

#[op2]
pub(crate) fn op_storage_list<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    state: &OpState,
    #[string] start: Option<String>,
    #[string] start_after: Option<String>,
    #[string] end: Option<String>,
    #[string] prefix: Option<String>,
    reverse: bool,
    limit: f64,
) -> Result<v8::Local<'s, v8::Array>, JsErrorBox> {
    let limit = (limit >= 1.0).then_some(limit as usize);
    let found = host(state).storage_list(ListOptions { start, start_after, end, prefix, reverse, limit })?;
    pairs(scope, found)
}

#[op2(fast)]
pub(crate) fn op_storage_check_count(state: &OpState, #[smi] count: u32) -> Result<(), JsErrorBox> {
    host(state).storage_check_count(count as usize)
}

#[op2(fast)]
pub(crate) fn op_storage_put(
    state: &OpState,
    #[string] key: &str,
    #[buffer] value: &[u8],
) -> Result<(), JsErrorBox> {
    host(state).storage_put(key, value)
}

// Keys and values in turn. All or none of them are stored.
#[op2]
pub(crate) fn op_storage_put_many(
    state: &OpState,
    #[serde] keys: Vec<String>,
    #[serde] values: Vec<JsBuffer>,
) -> Result<(), JsErrorBox> {
    let values = values.iter().map(|value| Bytes::copy_from_slice(value));
    host(state).storage_put_many(keys.into_iter().zip(values).collect())
}

#[op2]
pub(crate) fn op_storage_delete_many(state: &OpState, #[serde] keys: Vec<String>) -> Result<u32, JsErrorBox> {
    host(state).storage_delete_many(keys)
}

#[op2(fast)]
pub(crate) fn op_storage_delete(state: &OpState, #[string] key: &str) -> Result<bool, JsErrorBox> {
    host(state).storage_delete(key)
}

#[op2(fast)]
pub(crate) fn op_storage_delete_all(state: &OpState) -> Result<(), JsErrorBox> {
    host(state).storage_delete_all()
}

#[op2(fast)]
pub(crate) fn op_storage_begin(state: &OpState) -> Result<(), JsErrorBox> {
    host(state).storage_begin()
}

#[op2(fast)]
pub(crate) fn op_storage_commit(state: &OpState) -> Result<(), JsErrorBox> {
    host(state).storage_commit()
}

#[op2(fast)]
pub(crate) fn op_storage_rollback(state: &OpState) -> Result<(), JsErrorBox> {
    host(state).storage_rollback()
}

// Milliseconds since the epoch; -1 where no alarm is set.
#[op2(fast)]
pub(crate) fn op_storage_get_alarm(state: &OpState) -> Result<f64, JsErrorBox> {
    Ok(host(state).storage_get_alarm()?.unwrap_or(-1.0))
}

#[op2(fast)]
pub(crate) fn op_storage_set_alarm(state: &OpState, time_ms: f64) -> Result<(), JsErrorBox> {
    host(state).storage_set_alarm(time_ms)
}

#[op2(fast)]
pub(crate) fn op_storage_delete_alarm(state: &OpState) -> Result<(), JsErrorBox> {
    host(state).storage_delete_alarm()
}

/// Whether the room has written something that is not durable yet.
#[op2(fast)]
pub(crate) fn op_storage_pending(state: &OpState) -> bool {
    host(state).storage_pending()
}

/// Whether the room has written so much more than the disk has taken that it should wait.
#[op2(fast)]
pub(crate) fn op_storage_presses(state: &OpState) -> bool {
    host(state).storage_presses()
}

#[op2]
pub(crate) async fn op_storage_sync(state: Rc<RefCell<OpState>>) -> Result<(), JsErrorBox> {
    let syncing = host(&state.borrow()).storage_sync();
    syncing.await
}

// --- other parties, assets --------------------------------------------------------------------------------------------

/// A reply as JavaScript takes it; see `js/60_parties.js`.
#[derive(Serialize)]
pub(crate) struct ReplyParts {
    error: Option<String>,
    status: u16,
    reason: String,
    headers: String,
    bytes: Option<ToJsBuffer>,
    resource: u32,
    socket: i32,
}

impl ReplyParts {
    fn new(state: &mut OpState, reply: Reply) -> Self {
        let (bytes, resource) = match reply.body {
            Body::None => (None, 0),
            Body::Bytes(bytes) => (Some(ToJsBuffer::from(Vec::from(bytes))), 0),
            Body::Stream(stream) => (None, add_stream(state, stream)),
            Body::Resource(resource) => (None, state.resource_table.add_rc_dyn(resource)),
        };
        let socket = reply.socket.map_or(-1, |index| index as i32);
        Self {
            error: None,
            status: reply.status,
            reason: reply.reason,
            headers: reply.headers,
            bytes,
            resource,
            socket,
        }
    }

    fn failed(message: String) -> Self {
        Self {
            error: Some(message),
            status: 0,
            reason: String::new(),
            headers: String::new(),
            bytes: None,
            resource: 0,
            socket: -1,
        }
    }
}

// A copy of what leaves an isolate for another one; a long one counts until nobody needs it any more.
fn copy(state: &OpState, bytes: &[u8]) -> Result<Bytes, JsErrorBox> {
    let copy = Bytes::copy_from_slice(bytes);
    if bytes.len() < COUNTED_FROM_BYTES {
        return Ok(copy);
    }
    let charge = memory::take_now(state, bytes.len())?;
    Ok(Bytes::from_owner(Copied { bytes: copy, _charge: charge }))
}

const COUNTED_FROM_BYTES: usize = 4096;

struct Copied {
    bytes: Bytes,
    _charge: Option<Charge>,
}

impl AsRef<[u8]> for Copied {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn body_of(state: &mut OpState, bytes: Option<JsBuffer>, resource: u32) -> Result<Body, JsErrorBox> {
    match bytes {
        Some(bytes) => Ok(Body::Bytes(copy(state, &bytes)?)),
        None if resource == 0 => Ok(Body::None),
        None => Ok(Body::Resource(state.resource_table.take_any(resource).map_err(JsErrorBox::from_err)?)),
    }
}

#[op2]
#[string]
pub(crate) fn op_party_url(
    state: &OpState,
    #[string] party: &str,
    #[string] id: &str,
    #[string] path: &str,
) -> Result<String, JsErrorBox> {
    host(state).party_url(party, id, path)
}

#[op2]
#[serde]
pub(crate) fn op_party_fetch(
    state: Rc<RefCell<OpState>>,
    #[string] party: String,
    #[string] id: String,
    #[string] path: String,
    #[string] method: String,
    #[string] headers: String,
    #[buffer] bytes: Option<JsBuffer>,
    #[smi] resource: u32,
    #[smi] forwarded: u32,
) -> Result<impl Future<Output = Result<ReplyParts, JsErrorBox>> + use<>, JsErrorBox> {
    let fetching = {
        let mut borrowed = state.borrow_mut();
        let body = body_of(&mut borrowed, bytes, resource)?;
        host(&borrowed).party_fetch(PartyRequest {
            party,
            id,
            path,
            method,
            headers,
            body,
            forwarded: forwarded != 0,
        })
    };
    Ok(async move {
        match fetching.await {
            Ok(reply) => Ok(ReplyParts::new(&mut state.borrow_mut(), reply)),
            Err(message) => Ok(ReplyParts::failed(message)),
        }
    })
}

#[op2]
#[serde]
pub(crate) async fn op_assets_fetch(
    state: Rc<RefCell<OpState>>,
    #[string] path: String,
) -> Result<Option<ReplyParts>, JsErrorBox> {
    let fetching = host(&state.borrow()).assets_fetch(path);
    let reply = fetching.await;
    Ok(reply.map(|reply| ReplyParts::new(&mut state.borrow_mut(), reply)))
}

#[derive(Serialize)]
pub(crate) struct BindingParts {
    error: Option<String>,
    json: String,
    bytes: Option<ToJsBuffer>,
}

#[op2]
#[serde]
pub(crate) fn op_binding_call(
    state: &OpState,
    #[string] kind: String,
    #[string] binding: String,
    #[string] method: String,
    #[string] arguments: String,
    #[buffer] bytes: Option<JsBuffer>,
) -> Result<impl Future<Output = Result<BindingParts, JsErrorBox>> + use<>, JsErrorBox> {
    let bytes = bytes.map(|bytes| copy(state, &bytes)).transpose()?;
    let calling = host(state).binding_call(BindingCall { kind, binding, method, arguments, bytes });
    Ok(async move {
        Ok(match calling.await {
            Ok(reply) => {
                let bytes = reply.bytes.map(|bytes| ToJsBuffer::from(Vec::from(bytes)));
                BindingParts { error: None, json: reply.json, bytes }
            }
            Err(message) => BindingParts { error: Some(message), json: String::new(), bytes: None },
        })
    })
}

// --- edge -------------------------------------------------------------------------------------------------------------

#[op2]
pub(crate) fn op_edge_forward(
    state: &mut OpState,
    #[smi] id: u32,
    #[string] method: String,
    #[string] url: String,
    #[string] headers: String,
    #[buffer] bytes: Option<JsBuffer>,
    #[smi] resource: u32,
    keeps_cf: bool,
) -> Result<(), JsErrorBox> {
    let body = body_of(state, bytes, resource)?;
    host(state).edge_forward(id, Forwarded { method, url, headers, body, keeps_cf });
    Ok(())
}

#[op2(fast)]
pub(crate) fn op_edge_pass(state: &OpState, #[smi] id: u32) {
    host(state).edge_pass(id);
}

#[op2(fast)]
pub(crate) fn op_edge_wait(state: &OpState, #[smi] change: i32) {
    host(state).edge_wait(change);
}

#[op2(fast)]
#[smi]
pub(crate) fn op_edge_accept(state: &OpState, #[smi] id: u32, #[string] headers: &str) -> u32 {
    host(state).edge_accept(id, headers)
}

#[op2(fast)]
pub(crate) fn op_edge_relay(state: &OpState, #[smi] client: u32, #[smi] socket: u32) {
    host(state).edge_relay(client, socket);
}

#[op2(fast)]
pub(crate) fn op_edge_refuse(state: &OpState, #[smi] index: u32, #[string] message: &str) {
    host(state).edge_refuse(index, message);
}

#[op2(fast)]
#[smi]
pub(crate) fn op_edge_open(state: &OpState, #[smi] id: u32) -> u32 {
    host(state).edge_open(id)
}

// --- bundle -----------------------------------------------------------------------------------------------------------

#[op2]
pub(crate) fn op_bundle_wasm<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    state: &OpState,
    #[smi] index: u32,
) -> Result<v8::Local<'s, v8::WasmModuleObject>, JsErrorBox> {
    let unusable = || JsErrorBox::generic("The wasm module could not be compiled");
    // Compiled once, shared by all rooms.
    if let Some(module) = host(state).bundle_wasm(index) {
        return v8::WasmModuleObject::from_compiled_module(scope, &module).ok_or_else(unusable);
    }
    let bytes = host(state).bundle_wasm_bytes(index).ok_or_else(unusable)?;
    let module = v8::WasmModuleObject::compile(scope, &bytes).ok_or_else(unusable)?;
    host(state).keep_wasm(index, module.get_compiled_module());
    Ok(module)
}

#[op2]
pub(crate) fn op_bundle_binary(state: &OpState, #[smi] index: u32) -> Result<Uint8Array, JsErrorBox> {
    let bytes = host(state).bundle_binary(index).ok_or_else(|| JsErrorBox::generic("The file is missing"))?;
    Ok(bytes_of(bytes))
}

//! What an isolate may ask of the outside, as one trait.
//!
//! The ops of this crate are thin: each checks the kinds of its arguments and calls a method of [`Host`]. The engine
//! implements it, once for rooms and once for the edge isolate. Methods never call back into V8, never block on I/O
//! except for reads of the local database, and never panic. Indexes and ids come from JavaScript, so that every
//! implementation must treat an unknown one as nothing to do.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use deno_core::Resource;
use deno_core::v8;
use deno_error::JsErrorBox;

/// A future that stays on the worker's thread.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// Chunks of a body that arrive over time.
pub type BodyStream = Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, String>>>>;

/// Added to a response's status: its body is already in the coding that its `Content-Encoding` names.
pub const PACKED: u32 = 0x1_0000;

/// The body of a message that crosses between the host and an isolate.
pub enum Body {
    /// No body at all.
    None,
    /// The whole body.
    Bytes(Bytes),
    /// A body that arrives over time.
    Stream(BodyStream),
    /// A body that JavaScript produces over time, as the resource from which it is read.
    Resource(Rc<dyn Resource>),
}

/// A request from an isolate to another room.
pub struct PartyRequest {
    /// The party as it is configured.
    pub party: String,
    /// The room id as user code gave it, not yet encoded.
    pub id: String,
    /// What follows the room in the URL; empty or starting with `/`.
    pub path: String,
    /// The HTTP method.
    pub method: String,
    /// Header pairs, `name\nvalue\n`.
    pub headers: String,
    /// The body.
    pub body: Body,
    /// Whether it is a request from outside that is handed on: it keeps its `cf`.
    pub forwarded: bool,
}

/// The answer to a [`PartyRequest`] or to an asset lookup.
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The reason phrase; empty for the standard one.
    pub reason: String,
    /// Header pairs, `name\nvalue\n`.
    pub headers: String,
    /// The body.
    pub body: Body,
    /// The socket that a 101 answer carries.
    pub socket: Option<u32>,
}

/// A call of a local binding: a KV namespace, a bucket, a vector index.
pub struct BindingCall {
    /// `kv`, `r2` or `vectorize`.
    pub kind: String,
    /// What the configuration binds the name to.
    pub binding: String,
    /// The method.
    pub method: String,
    /// Its arguments, as JSON.
    pub arguments: String,
    /// The value that is stored, if the method stores one.
    pub bytes: Option<Bytes>,
}

/// What a binding's method answers: its result as JSON, and the stored value if it reads one.
pub struct BindingReply {
    /// The result.
    pub json: String,
    /// The stored value.
    pub bytes: Option<Bytes>,
}

/// A request that a static handler forwards to its room.
pub struct Forwarded {
    /// The HTTP method.
    pub method: String,
    /// The URL as the room shall see it.
    pub url: String,
    /// Header pairs, `name\nvalue\n`.
    pub headers: String,
    /// The body.
    pub body: Body,
    /// Whether it is the request that came in, or a copy of it: those keep their `cf`.
    pub keeps_cf: bool,
}

/// The bounds of `storage.list`.
pub struct ListOptions {
    /// First key, inclusive.
    pub start: Option<String>,
    /// First key, exclusive.
    pub start_after: Option<String>,
    /// Last key, exclusive.
    pub end: Option<String>,
    /// What all keys start with.
    pub prefix: Option<String>,
    /// Descending order.
    pub reverse: bool,
    /// At most so many; `None` is all.
    pub limit: Option<usize>,
}

/// Everything an isolate reaches outside itself. See the module's documentation for the rules.
#[expect(missing_docs, reason = "each method is the other half of the op of the same name, described in js/")]
pub trait Host {
    fn console(&self, level: u32, text: &str);

    fn room_hold(&self, held: bool);
    fn room_reset(&self, reason: &str);
    fn room_hibernates(&self, hibernates: bool);
    fn room_started(&self, failure: &str);
    fn alarm_done(&self, token: u32, succeeded: bool);

    fn socket_send_text(&self, index: u32, text: &str) -> u32;
    fn socket_send_binary(&self, index: u32, bytes: &[u8]) -> u32;
    fn socket_close(&self, index: u32, code: i32, reason: &str);
    fn socket_connect(
        &self,
        url: String,
        protocols: String,
        headers: String,
    ) -> LocalFuture<Result<Reply, JsErrorBox>>;
    fn socket_forget(&self, index: u32);
    fn socket_buffered(&self, index: u32) -> usize;
    fn connection_accept(&self, index: u32);
    fn connection_list(&self, index: u32, listed: bool);
    fn connection_attach(&self, index: u32, bytes: &[u8]);
    fn connection_tags(&self, index: u32, tags: Vec<String>);
    fn broadcast_skip(&self, index: u32);
    fn broadcast_text(&self, text: &str) -> u32;
    fn broadcast_binary(&self, bytes: &[u8]) -> u32;

    fn response(&self, id: u32, status: u32, headers: &str, body: Body);
    fn response_reason(&self, id: u32, reason: &str);
    fn response_reject(&self, id: u32, message: &str);

    fn storage_get(&self, key: &str) -> Result<Option<Bytes>, JsErrorBox>;
    fn storage_get_many(&self, keys: Vec<String>) -> Result<Vec<(String, Bytes)>, JsErrorBox>;
    fn storage_list(&self, options: ListOptions) -> Result<Vec<(String, Bytes)>, JsErrorBox>;
    fn storage_check_count(&self, count: usize) -> Result<(), JsErrorBox>;
    fn storage_put(&self, key: &str, value: &[u8]) -> Result<(), JsErrorBox>;
    fn storage_put_many(&self, entries: Vec<(String, Bytes)>) -> Result<(), JsErrorBox>;
    fn storage_delete(&self, key: &str) -> Result<bool, JsErrorBox>;
    fn storage_delete_many(&self, keys: Vec<String>) -> Result<u32, JsErrorBox>;
    fn storage_delete_all(&self) -> Result<(), JsErrorBox>;
    fn storage_begin(&self) -> Result<(), JsErrorBox>;
    fn storage_commit(&self) -> Result<(), JsErrorBox>;
    fn storage_rollback(&self) -> Result<(), JsErrorBox>;
    fn storage_get_alarm(&self) -> Result<Option<f64>, JsErrorBox>;
    fn storage_set_alarm(&self, time_ms: f64) -> Result<(), JsErrorBox>;
    fn storage_delete_alarm(&self) -> Result<(), JsErrorBox>;
    fn storage_pending(&self) -> bool;
    fn storage_presses(&self) -> bool;
    fn storage_sync(&self) -> LocalFuture<Result<(), JsErrorBox>>;

    fn party_url(&self, party: &str, id: &str, path: &str) -> Result<String, JsErrorBox>;
    fn party_fetch(&self, request: PartyRequest) -> LocalFuture<Result<Reply, String>>;
    fn assets_fetch(&self, path: String) -> LocalFuture<Option<Reply>>;
    fn binding_call(&self, call: BindingCall) -> LocalFuture<Result<BindingReply, String>>;

    fn edge_forward(&self, id: u32, request: Forwarded);
    fn edge_pass(&self, id: u32);
    fn edge_wait(&self, change: i32);
    fn edge_accept(&self, id: u32, headers: &str) -> u32;
    fn edge_relay(&self, client: u32, socket: u32);
    fn edge_refuse(&self, index: u32, message: &str);
    fn edge_open(&self, id: u32) -> u32;

    fn bundle_wasm(&self, index: u32) -> Option<Arc<v8::CompiledWasmModule>>;
    fn bundle_wasm_bytes(&self, index: u32) -> Option<Bytes>;
    fn keep_wasm(&self, index: u32, module: v8::CompiledWasmModule);
    fn bundle_binary(&self, index: u32) -> Option<Bytes>;
}

/// The host of an isolate, as the ops find it.
#[derive(Clone)]
pub struct HostRef(pub Rc<dyn Host>);

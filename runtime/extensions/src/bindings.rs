//! KV namespaces, buckets and vector indexes.

use bytes::Bytes;
use deno_core::JsBuffer;
use deno_core::OpState;
use deno_core::ToJsBuffer;
use deno_core::op2;
use deno_error::JsErrorBox;
use serde::Serialize;

use crate::body::copy;
use crate::host::{LocalFuture, RoomNumber, host};

/// A call of a local binding.
pub struct BindingCall {
    /// `kv`, `r2` or `vectorize`.
    pub kind: String,
    /// The namespace, bucket or index that the configuration binds the name to.
    pub binding: String,
    /// The method that user code called, such as `get` or `put`.
    pub method: String,
    /// Its arguments, as JSON.
    pub arguments: String,
    /// The value that is stored, if the method stores one.
    pub bytes: Option<Bytes>,
}

/// What a binding's method answers: its result as JSON, and the stored value if it reads one.
pub struct BindingReply {
    /// The result, as JSON.
    pub json: String,
    /// The stored value, if the method stores or reads one.
    pub bytes: Option<Bytes>,
}

/// The local KV namespaces, buckets and vector indexes (spec 2.14).
pub trait Bindings {
    /// Calls a method, once what the room has written is durable. It answers when what it changed is durable.
    ///
    /// # Errors
    /// The message of the error that user code gets.
    fn binding_call(&self, room: RoomNumber, call: BindingCall) -> LocalFuture<Result<BindingReply, String>>;
}

/// A [`BindingReply`] as JavaScript takes it; see `js/54_bindings.js`.
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
    #[smi] room: u32,
    #[string] kind: String,
    #[string] binding: String,
    #[string] method: String,
    #[string] arguments: String,
    #[buffer] bytes: Option<JsBuffer>,
) -> Result<impl Future<Output = Result<BindingParts, JsErrorBox>> + use<>, JsErrorBox> {
    let bytes = bytes.map(|bytes| copy(state, &bytes)).transpose()?;
    let calling = host(state).binding_call(room, BindingCall { kind, binding, method, arguments, bytes });
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

//! Bodies that are read over time, as resources of deno_core.
//!
//! `js/30_http.js` reads an incoming body through the id of a [`BodyResource`]; the host reads an outgoing one through the
//! resource that deno_web made of a ReadableStream.

use std::borrow::Cow;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use deno_core::AsyncRefCell;
use deno_core::AsyncResult;
use deno_core::BufView;
use deno_core::CancelHandle;
use deno_core::CancelTryFuture;
use deno_core::JsBuffer;
use deno_core::OpState;
use deno_core::RcRef;
use deno_core::Resource;
use deno_core::ResourceId;
use deno_error::JsErrorBox;
use futures_util::StreamExt;
use partyrun_limits::Charge;

use crate::memory;
use crate::wire::{COUNTED_FROM_BYTES, NO_RESOURCE};

/// Chunks of a body that arrive over time.
pub type BodyStream = Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, String>>>>;

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

/// A body that arrives over time.
pub struct BodyResource {
    stream: AsyncRefCell<BodyStream>,
    // What is left of a chunk that was longer than its reader asked for.
    rest: RefCell<Bytes>,
    cancel: CancelHandle,
}

/// Makes a resource of `stream`, for JavaScript to read from.
pub fn add_stream(state: &mut OpState, stream: BodyStream) -> ResourceId {
    state.resource_table.add(BodyResource {
        stream: AsyncRefCell::new(stream),
        rest: RefCell::default(),
        cancel: CancelHandle::default(),
    })
}

impl BodyResource {
    async fn next(self: Rc<Self>, limit: usize) -> Result<BufView, JsErrorBox> {
        let mut stream = RcRef::map(&self, |resource| &resource.stream).borrow_mut().await;
        let mut chunk = self.rest.take();
        while chunk.is_empty() {
            match stream.next().await {
                None => return Ok(BufView::empty()),
                Some(Ok(bytes)) => chunk = bytes,
                Some(Err(message)) => return Err(JsErrorBox::type_error(message)),
            }
        }
        if chunk.len() > limit {
            self.rest.replace(chunk.split_off(limit));
        }
        Ok(BufView::from(chunk))
    }
}

impl Resource for BodyResource {
    fn name(&self) -> Cow<'_, str> {
        "body".into()
    }

    fn read(self: Rc<Self>, limit: usize) -> AsyncResult<BufView> {
        let cancel = RcRef::map(&self, |resource| &resource.cancel);
        Box::pin(self.next(limit).try_or_cancel(cancel))
    }

    fn close(self: Rc<Self>) {
        self.cancel.cancel();
    }
}

// A copy of what leaves an isolate for another one; a long one counts until nobody needs it any more.
pub(crate) fn copy(state: &OpState, bytes: &[u8]) -> Result<Bytes, JsErrorBox> {
    let copy = Bytes::copy_from_slice(bytes);
    if bytes.len() < COUNTED_FROM_BYTES {
        return Ok(copy);
    }
    let charge = memory::take_here(state, bytes.len())?;
    Ok(Bytes::from_owner(Copied { bytes: copy, _charge: charge }))
}

struct Copied {
    bytes: Bytes,
    _charge: Option<Charge>,
}

impl AsRef<[u8]> for Copied {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

// The body that a script hands over: bytes, a resource to read it from, or neither.
pub(crate) fn body_of(
    state: &mut OpState,
    bytes: Option<JsBuffer>,
    resource: u32,
) -> Result<Body, JsErrorBox> {
    match bytes {
        Some(bytes) => Ok(Body::Bytes(copy(state, &bytes)?)),
        None if resource == NO_RESOURCE => Ok(Body::None),
        None => Ok(Body::Resource(state.resource_table.take_any(resource).map_err(JsErrorBox::from_err)?)),
    }
}

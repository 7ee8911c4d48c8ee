//! The answers of other servers, held to the limits: how much of one is read as a whole, and what a compressed one inflates
//! to. An answer that goes beyond fails with a TypeError where it is read; its connection is closed and the room lives.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use deno_core::{AsyncResult, BufMutView, BufView, OpState, RcRef, Resource, ResourceId, op2};
use deno_error::JsErrorBox;
use deno_fetch::{BodyDecoded, FetchResponseReader, FetchResponseResource};
use partyrun_limits::Limits;

struct Answer {
    body: Rc<FetchResponseResource>,
    inflates: bool,
    gathered: Cell<bool>,
    bytes: Cell<usize>,
    bytes_max: usize,
    inflated_bytes_max: usize,
}

impl Answer {
    fn count(&self, more: usize, gathered: bool) -> Result<(), JsErrorBox> {
        let bytes = self.bytes.get().saturating_add(more);
        self.bytes.set(bytes);
        if self.inflates && bytes > self.inflated_bytes_max {
            let max = self.inflated_bytes_max;
            return Err(JsErrorBox::type_error(format!(
                "The answer's body inflates to more than {max} bytes (limit `answer_inflated_bytes_max`)."
            )));
        }
        if gathered && bytes > self.bytes_max {
            let max = self.bytes_max;
            return Err(JsErrorBox::type_error(format!(
                "The answer's body has more than {max} bytes (limit `answer_bytes_max`)."
            )));
        }
        Ok(())
    }
}

impl Resource for Answer {
    fn name(&self) -> Cow<'_, str> {
        self.body.name()
    }

    fn read(self: Rc<Self>, limit: usize) -> AsyncResult<BufView> {
        Box::pin(async move {
            let bytes = self.body.clone().read(limit).await?;
            self.count(bytes.len(), false)?;
            Ok(bytes)
        })
    }

    fn read_byob(self: Rc<Self>, buffer: BufMutView) -> AsyncResult<(usize, BufMutView)> {
        Box::pin(async move {
            let (count, buffer) = self.body.clone().read_byob(buffer).await?;
            self.count(count, self.gathered.get())?;
            Ok((count, buffer))
        })
    }

    // Whoever asks for the length before the first byte gathers the whole (`op_read_all`), or hands it on to a response or to
    // another server: the latter read with `read`, and nothing is gathered.
    fn size_hint(&self) -> (u64, Option<u64>) {
        self.gathered.set(true);
        self.body.size_hint()
    }

    fn close(self: Rc<Self>) {
        self.body.clone().close();
    }
}

// The answer behind `resource` is read within the limits from now on. One that is being read already is left as it is.
#[op2(fast)]
pub(crate) fn op_answer_bound(state: &mut OpState, #[smi] resource: ResourceId) {
    let Ok(body) = state.resource_table.get::<FetchResponseResource>(resource) else { return };
    let Some(reader) = RcRef::map(&body, |body| &body.response_reader).try_borrow() else { return };
    let FetchResponseReader::Start(response) = &*reader else { return };
    let inflates = response.extensions().get::<BodyDecoded>().is_some();
    drop(reader);
    let limits = state.borrow::<Limits>();
    let answer = Answer {
        body,
        inflates,
        gathered: Cell::new(false),
        bytes: Cell::new(0),
        bytes_max: limits.answer_bytes_max,
        inflated_bytes_max: limits.answer_inflated_bytes_max,
    };
    state.resource_table.replace(resource, answer);
}

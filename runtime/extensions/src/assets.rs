//! The project's static files, asked for from inside.

use std::cell::RefCell;
use std::rc::Rc;

use deno_core::OpState;
use deno_core::op2;
use deno_error::JsErrorBox;

use crate::host::{LocalFuture, RoomNumber, host};
use crate::reply::{Reply, ReplyParts};

/// The static files of the project, as rooms and static handlers ask for them.
pub trait Assets {
    /// The file at `path`, which starts with `/`; `None` where there is none.
    fn assets_fetch(&self, room: RoomNumber, path: String) -> LocalFuture<Option<Reply>>;
}

#[op2]
#[serde]
pub(crate) async fn op_assets_fetch(
    state: Rc<RefCell<OpState>>,
    #[smi] room: u32,
    #[string] path: String,
) -> Result<Option<ReplyParts>, JsErrorBox> {
    let fetching = host(&state.borrow()).assets_fetch(room, path);
    let reply = fetching.await;
    Ok(reply.map(|reply| ReplyParts::new(&mut state.borrow_mut(), reply)))
}

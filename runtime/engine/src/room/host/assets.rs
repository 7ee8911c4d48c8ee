//! Static files that a room or a static handler asks for: `room.context.assets`.

use partyrun_extensions as ext;

use super::HostSlot;
use crate::room::http::reply_of;

impl ext::Assets for HostSlot {
    fn assets_fetch(&self, room: u32, path: String) -> ext::LocalFuture<Option<ext::Reply>> {
        let Some(actor) = self.room(room) else { return Box::pin(async { None }) };
        let asking = actor.shared.observer.assets(path);
        let unpacked_max = actor.shared.limits.answer_inflated_bytes_max;
        Box::pin(async move { asking.await.map(|response| reply_of(response, None, unpacked_max)) })
    }
}

//! What the administrative API may have done to a server that `start` runs: what signals ask for as well.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use partyrun_admin::Control;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::stop::{REPLACE, Voice};

/// Hears how loading anew ended: whether anything changed, or why it could not be.
pub(super) type Reply = oneshot::Sender<Result<bool, String>>;

/// The API's hold on the server.
pub(super) struct Hold {
    wishes: UnboundedSender<Reply>,
    voice: Voice,
}

impl Hold {
    /// With what is wished through it; `voice` is heard by the supervisor.
    pub(super) fn new(voice: Voice) -> (Self, UnboundedReceiver<Reply>) {
        let (wishes, wished) = unbounded_channel();
        (Self { wishes, voice }, wished)
    }
}

impl Control for Hold {
    fn reload(&self) -> BoxFuture<'static, Result<bool, String>> {
        let (reply, answer) = oneshot::channel();
        let _stopping = self.wishes.send(reply);
        async { answer.await.unwrap_or_else(|_| Err("The server is stopping.".to_string())) }.boxed()
    }

    fn upgrade(&self) -> bool {
        self.voice.is_heard() && {
            self.voice.say(REPLACE);
            true
        }
    }
}

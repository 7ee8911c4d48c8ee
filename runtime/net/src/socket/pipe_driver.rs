//! The reading task of a socket whose connection is a pipe.
//!
//! The same events as over TCP, without frames: messages come whole, a dropped end is a lost connection.

use std::borrow::Cow;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::writer::Writer;
use super::{Inner, SocketEvent, Stage};
use crate::close::{Farewell, Violation, check_close};
use crate::pipe::{PipeMessage, PipeReceiver};

enum Step {
    Message(PipeMessage),
    Orders,
    Broken,
}

/// Gives the events of a pipe until the last one.
pub(super) async fn run(inner: Rc<Inner>, mut receiver: PipeReceiver) {
    while inner.stage.get() != Stage::Ended {
        inner.paused.set(inner.sink().full());
        match std::future::poll_fn(|context| poll_step(&inner, &mut receiver, context)).await {
            Step::Message(message) => {
                inner.sweep.hear();
                take_in(&inner, message);
                while inner.stage.get() != Stage::Ended && !inner.sink().full() {
                    match receiver.try_recv() {
                        Some(message) => take_in(&inner, message),
                        None => break,
                    }
                }
                inner.sink().drained();
            }
            Step::Orders => inner.obey(),
            Step::Broken => inner.end(SocketEvent::Lost),
        }
    }
    finish(&inner).await;
}

fn poll_step(inner: &Inner, receiver: &mut PipeReceiver, context: &mut Context<'_>) -> Poll<Step> {
    inner.park(context.waker());
    if inner.orders.get().look {
        return Poll::Ready(Step::Orders);
    }
    if inner.paused.get() {
        return Poll::Pending;
    }
    receiver.poll_recv(context).map(|message| message.map_or(Step::Broken, Step::Message))
}

fn take_in(inner: &Rc<Inner>, message: PipeMessage) {
    let limit = inner.limits.message_in_bytes_max;
    match message {
        PipeMessage::Text(bytes) | PipeMessage::Binary(bytes) if bytes.len() > limit => {
            inner.fail(Violation::too_large(bytes.len() as u64, limit));
        }
        PipeMessage::Text(bytes) => match std::str::from_utf8(&bytes) {
            Ok(text) => inner.sink().event(SocketEvent::Text(Cow::Borrowed(text))),
            Err(_) => inner.fail(Violation::utf8()),
        },
        PipeMessage::Binary(bytes) => inner.sink().event(SocketEvent::Binary(Cow::Borrowed(&bytes))),
        PipeMessage::Close(None) => inner.take_farewell(Farewell { said: None, flaw: None }),
        PipeMessage::Close(Some(close)) => {
            let text = close.reason.clone();
            inner.take_farewell(check_close(close, text.as_bytes()));
        }
    }
}

/// Waits until the last words are in the pipe, then lets go of it.
async fn finish(inner: &Rc<Inner>) {
    inner.sweep.begin_ending();
    std::future::poll_fn(|context| {
        inner.park(context.waker());
        let killed = inner.orders.take().kill;
        if killed || inner.outbox.borrow().queued() == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    inner.outbox.borrow_mut().clear();
    inner.recount();
    *inner.writer.borrow_mut() = Writer::None;
}

//! What follows the handshake: messages between a connection to a server and the pipe that a room has.
//!
//! Frames, masks, pings and compression stay here. Frames are read as those of clients are (`socket/decode.rs`), within the
//! same bounds; whoever breaks the rules is told with which code before the connection ends.

use bytes::Bytes;
use fastwebsockets::{Frame, OpCode, Payload};
use partyrun_limits::Limits;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::close::{Violation, close_payload};
use crate::deflate::{self, Agreed};
use crate::pipe::{PipeEnd, PipeMessage, PipeReceiver, PipeSender};
use crate::socket::{Bounds, Decoder, Incoming, PACKED, Sender};

/// What is read at once.
const READ_BYTES: usize = 8 * 1024;
/// A longer buffer of a frame is not kept.
const FRAME_BYTES_KEPT_MAX: usize = 64 * 1024;
/// Answers of the reader that wait for the writer.
const OWED_MAX: usize = 8;

/// What the reader has the writer say.
enum Owed {
    Pong(Vec<u8>),
    /// The peer broke the rules; this is the last.
    End(Violation),
}

/// Carries messages both ways until one side ends. `read` is what came behind the handshake.
pub(super) fn start<S>(stream: S, read: Vec<u8>, agreed: Option<Agreed>, end: PipeEnd, limits: &Limits)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (reader, writer) = tokio::io::split(stream);
    let bounds = Bounds {
        message_bytes_max: limits.message_in_bytes_max,
        fragments_max: limits.message_fragments_max,
    };
    let close_max = limits.socket_close_max;
    let PipeEnd { sender, receiver } = end;
    tokio::task::spawn_local(async move {
        let (owed, owing) = mpsc::channel(OWED_MAX);
        let decoder = Decoder::new(Sender::Server, agreed);
        let writing = write(writer, agreed, receiver, owing);
        let reading = carry_in(reader, decoder, bounds, read, sender, owed);
        tokio::pin!(writing, reading);
        tokio::select! {
            // The peer has ended: our own close frame is still to be written.
            () = &mut reading => drop(tokio::time::timeout(close_max, &mut writing).await),
            // We have ended: the peer's close frame is still to be read.
            () = &mut writing => drop(tokio::time::timeout(close_max, &mut reading).await),
        }
    });
}

async fn carry_in<R>(
    mut reader: R,
    mut decoder: Decoder,
    bounds: Bounds,
    mut read: Vec<u8>,
    sender: PipeSender,
    owed: mpsc::Sender<Owed>,
) where
    R: AsyncRead + Unpin,
{
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let mut input = read.as_mut_slice();
        loop {
            let message = match decoder.next(&mut input, bounds) {
                Ok(None) => break,
                Ok(Some(Incoming::Text(text))) => PipeMessage::Text(text.into_owned().into()),
                Ok(Some(Incoming::Binary(bytes))) => PipeMessage::Binary(bytes.into_owned().into()),
                Ok(Some(Incoming::Close(close))) => PipeMessage::Close(close.said),
                Ok(Some(Incoming::Pong)) => continue,
                Ok(Some(Incoming::Ping(payload))) => {
                    if owed.send(Owed::Pong(payload.into_owned())).await.is_err() {
                        return;
                    }
                    continue;
                }
                Err(violation) => {
                    // A writer that has ended has said its last word already.
                    let _ended = owed.send(Owed::End(violation)).await;
                    return;
                }
            };
            let last = matches!(message, PipeMessage::Close(_));
            if sender.send(message).await.is_err() || last {
                return;
            }
        }
        match reader.read(&mut buffer).await {
            Ok(length @ 1..) => {
                read.clear();
                read.extend_from_slice(buffer.get(..length).unwrap_or_default());
            }
            _ => return,
        }
    }
}

async fn write<W>(
    mut writer: W,
    agreed: Option<Agreed>,
    mut receiver: PipeReceiver,
    mut owing: mpsc::Receiver<Owed>,
) where
    W: AsyncWrite + Unpin,
{
    let mut bytes = Vec::new();
    loop {
        let (opcode, payload) = tokio::select! {
            Some(owed) = owing.recv() => match owed {
                Owed::Pong(payload) => (OpCode::Pong, payload.into()),
                Owed::End(Violation { code, reason }) => {
                    let close = crate::CloseFrame { code, reason: reason.into_owned() };
                    (OpCode::Close, close_payload(Some(&close)).into())
                }
            },
            message = receiver.recv() => match message {
                None => return,
                Some(PipeMessage::Text(payload)) => (OpCode::Text, payload),
                Some(PipeMessage::Binary(payload)) => (OpCode::Binary, payload),
                Some(PipeMessage::Close(close)) => (OpCode::Close, close_payload(close.as_ref()).into()),
            },
        };
        let last = opcode == OpCode::Close;
        let length = frame(&mut bytes, opcode, payload, agreed.as_ref());
        let frame = bytes.get(..length).unwrap_or_default();
        if writer.write_all(frame).await.is_err() || writer.flush().await.is_err() || last {
            return;
        }
        bytes.truncate(FRAME_BYTES_KEPT_MAX);
        bytes.shrink_to(FRAME_BYTES_KEPT_MAX);
    }
}

/// Makes a masked frame, whose length is answered.
fn frame(bytes: &mut Vec<u8>, opcode: OpCode, payload: Bytes, agreed: Option<&Agreed>) -> usize {
    let agreed = agreed.filter(|_| matches!(opcode, OpCode::Text | OpCode::Binary));
    let packed = agreed
        .and_then(|agreed| deflate::with_packed(agreed, &payload, &[], |packed| packed.map(<[u8]>::to_vec)));
    let is_packed = packed.is_some();
    let payload = packed.unwrap_or_else(|| payload.into());
    let mut frame = Frame::new(true, opcode, None, Payload::Owned(payload));
    frame.mask();
    let length = frame.write(bytes).len();
    if let Some(first) = bytes.first_mut().filter(|_| is_packed) {
        *first |= PACKED;
    }
    length
}

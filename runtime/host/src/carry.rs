//! Carries the bytes of two connections that have become one WebSocket.
//!
//! Plain connections wait without memory of their own: bytes are read into a buffer of the thread when there are some, and
//! only what the other side does not take at once is kept. So an idle socket costs no buffers.

use std::cell::RefCell;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::meter::Meter;

/// What is read at once.
const BUFFER_BYTES: usize = 64 << 10;
/// What is read at once from a connection that has no file descriptor of its own.
const SMALL_BYTES: usize = 4 << 10;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_BYTES].into());
}

/// Until one of them ends.
pub(crate) async fn both(client: Upgraded, server: Upgraded, meter: &Meter) {
    let server = match server.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => parts,
        Err(_other) => return,
    };
    let (mut server, from_server) = (server.io.into_inner(), server.read_buf);
    match client.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let mut client = parts.io.into_inner();
            if client.write_all(&from_server).await.is_err()
                || server.write_all(&parts.read_buf).await.is_err()
            {
                return;
            }
            let (client_read, client_write) = client.split();
            let (server_read, server_write) = server.split();
            tokio::join!(
                one(client_read, server_write, |count| Meter::add(&meter.bytes_in, count)),
                one(server_read, client_write, |count| Meter::add(&meter.bytes_out, count)),
            );
        }
        Err(client) => secured(TokioIo::new(client), server, &from_server, meter).await,
    }
}

async fn one(from: ReadHalf<'_>, mut to: WriteHalf<'_>, count: impl Fn(usize)) {
    loop {
        if from.readable().await.is_err() {
            break;
        }
        // Nothing waits while the thread's buffer is borrowed.
        let moved = BUFFER.with_borrow_mut(|buffer| match from.try_read(buffer) {
            Ok(0) => Moved::End,
            Ok(read) => {
                count(read);
                let bytes = buffer.get(..read).unwrap_or_default();
                match to.try_write(bytes) {
                    Ok(written) if written == read => Moved::All,
                    Ok(written) => Moved::Some(bytes.get(written..).unwrap_or_default().to_vec()),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        Moved::Some(bytes.to_vec())
                    }
                    Err(_) => Moved::End,
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Moved::All,
            Err(_) => Moved::End,
        });
        match moved {
            Moved::All => {}
            // Nothing more is read until it is written, so that a slow peer slows the other one.
            Moved::Some(rest) => {
                if to.write_all(&rest).await.is_err() {
                    break;
                }
            }
            Moved::End => break,
        }
    }
    let _gone = to.shutdown().await;
}

enum Moved {
    All,
    Some(Vec<u8>),
    End,
}

async fn secured(client: TokioIo<Upgraded>, server: TcpStream, first: &[u8], meter: &Meter) {
    let (mut client_read, mut client_write) = tokio::io::split(client);
    let (mut server_read, mut server_write) = server.into_split();
    if client_write.write_all(first).await.is_err() || client_write.flush().await.is_err() {
        return;
    }
    let up = async {
        let mut buffer = vec![0; SMALL_BYTES];
        while let Ok(read @ 1..) = client_read.read(&mut buffer).await {
            Meter::add(&meter.bytes_in, read);
            if server_write.write_all(buffer.get(..read).unwrap_or_default()).await.is_err() {
                break;
            }
        }
        let _gone = server_write.shutdown().await;
    };
    let down = async {
        let mut buffer = vec![0; SMALL_BYTES];
        while let Ok(read @ 1..) = server_read.read(&mut buffer).await {
            Meter::add(&meter.bytes_out, read);
            let bytes = buffer.get(..read).unwrap_or_default();
            if client_write.write_all(bytes).await.is_err() || client_write.flush().await.is_err() {
                break;
            }
        }
        let _gone = client_write.shutdown().await;
    };
    tokio::join!(up, down);
}

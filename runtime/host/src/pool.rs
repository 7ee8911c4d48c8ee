//! Connections from the host to a project's process, kept and used again.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

/// Idle connections that are kept to one process.
const IDLE_MAX: usize = 64;

/// Connections to a process.
pub(crate) struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<SendRequest<Incoming>>>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}

impl Pool {
    /// Connections to what listens there.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default() }
    }

    fn take(&self) -> Option<SendRequest<Incoming>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(|sender| !sender.is_closed())
    }

    /// Takes a connection back, whose answer was read to its end.
    pub(crate) fn give(&self, sender: SendRequest<Incoming>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && !sender.is_closed() {
            idle.push(sender);
        }
    }

    // To the standard library any stream socket is one of TCP, and nobody asks this one for addresses.
    async fn open(&self) -> std::io::Result<TcpStream> {
        let stream = OwnedFd::from(UnixStream::connect(&self.path).await?.into_std()?);
        TcpStream::from_std(stream.into())
    }

    async fn connect(&self) -> Result<SendRequest<Incoming>, String> {
        let stream = self.open().await.map_err(|error| error.to_string())?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // It ends with its last answer, which says what went wrong.
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    /// The answer to a request, over a connection that is kept or a new one.
    pub(crate) async fn ask(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<(Response<Incoming>, SendRequest<Incoming>), String> {
        while let Some(mut sender) = self.take() {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, sender)),
                Err(mut error) => match error.take_message() {
                    // The process had closed it before anything was sent.
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().to_string()),
                },
            }
        }
        let mut sender = self.connect().await?;
        sender.ready().await.map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        Ok((response, sender))
    }
}

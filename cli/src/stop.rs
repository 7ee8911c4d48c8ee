//! Requests to stop: from the supervisor, or from signals if there is no supervisor.

use std::io::Write;
use std::os::unix::net::UnixStream as StdStream;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The server's end of its line to the supervisor; none without a supervisor.
#[derive(Default)]
pub(crate) struct Link {
    pub(crate) stream: Option<StdStream>,
    /// The port of the life before, which clients know.
    pub(crate) port: Option<u16>,
}

impl Link {
    /// Tells the supervisor that the server is up, on which port.
    pub(crate) fn ready(&self, port: u16) {
        if let Some(mut stream) = self.stream.as_ref() {
            // A supervisor that is gone shows itself as a request to stop.
            let _gone = stream.write_all(format!("{port}\n").as_bytes());
        }
    }

    /// Begins to listen for requests to stop. Needs a runtime.
    pub(crate) fn requests(&self) -> std::io::Result<StopRequests> {
        let supervisor = match &self.stream {
            None => None,
            Some(stream) => {
                let stream = stream.try_clone()?;
                stream.set_nonblocking(true)?;
                Some(UnixStream::from_std(stream)?)
            }
        };
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(StopRequests { supervisor, interrupt: interrupt?, terminate: terminate?, hangup: hangup? })
    }
}

/// Waits for requests to stop.
pub(crate) struct StopRequests {
    supervisor: Option<UnixStream>,
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopRequests {
    /// The next request. A signal that a terminal sends to supervisor and server alike counts once: the supervisor's
    /// word is what counts, and its end is a request as well.
    pub(crate) async fn next(&mut self) {
        if let Some(stream) = &mut self.supervisor {
            let mut byte = [0];
            // The end of the stream and an error mean that the supervisor is gone: that is one request, and from then on
            // signals count.
            if !matches!(stream.read(&mut byte).await, Ok(count) if count > 0) {
                self.supervisor = None;
            }
            return;
        }
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
            _ = self.hangup.recv() => (),
        }
    }
}

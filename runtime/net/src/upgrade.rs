//! How a WebSocket's connection gets from the front to its room's thread.
//!
//! The front checks the handshake (`handshake.rs`) before any handler sees it and puts an [`Upgrade`] into the request.
//! The handler carries that to the room's thread, which answers with status 101 and waits on [`Upgrade::transport`].
//! Once the 101 is on its way the front takes the TCP stream out of HTTP and sends it through the [`UpgradeOffer`],
//! bytes read too far included. Any other answer drops the offer. Within the process the offer is completed with a
//! [`PipeEnd`] instead.

use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::clients::Hold;
use crate::close::LOST;
use crate::deflate::Agreed;
use crate::line::Session;
use crate::pipe::{self, PipeEnd};

/// What carries the messages of a WebSocket.
#[derive(Debug)]
pub enum Transport {
    /// A TCP connection after its handshake. It is non-blocking and belongs to no reactor.
    Tcp {
        /// The connection.
        stream: TcpStream,
        /// What encrypts it, if it is secured.
        session: Option<Session>,
        /// What was read beyond the handshake.
        read: Bytes,
        /// Its place among the connections of the process, if it came through a front.
        place: Option<Place>,
        /// What was agreed on about compression, if something was.
        agreed: Option<Agreed>,
    },
    /// One stream of an HTTP/2 connection that the front carries (RFC 8441).
    Stream {
        /// What is written to it.
        sender: SendStream<Bytes>,
        /// What comes of it.
        receiver: RecvStream,
        /// Its place among the connections of the process.
        place: Option<Place>,
        /// What was agreed on about compression, if something was.
        agreed: Option<Agreed>,
    },
    /// The other end is in this process.
    Pipe(PipeEnd),
}

/// Who is connected, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The path of the handshake, as logs show it.
    pub path: String,
    /// The client's address.
    pub client: IpAddr,
    /// When the handshake began.
    pub begun: Instant,
}

/// How a WebSocket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The code; 1006 where the connection broke.
    pub code: u16,
    /// For how long nothing had come before, to the second.
    pub silent: Duration,
}

/// What is called with the connection and its end.
pub type Tell = Arc<dyn Fn(&Visit, Ending) + Send + Sync>;

/// Hears how a WebSocket ended. Called once, when the connection is gone.
#[derive(Clone)]
pub struct Witness {
    /// Whose connection it is.
    pub visit: Box<Visit>,
    /// Hears of the end.
    pub tell: Tell,
}

/// A place among the connections of the process (`connections_max`), given back when dropped.
pub struct Place {
    taken: Arc<AtomicUsize>,
    witness: Option<Witness>,
    /// Whose it is, where clients have limits.
    hold: Option<Hold>,
}

impl Place {
    /// Takes the place that `taken` counts already.
    pub(crate) fn new(taken: Arc<AtomicUsize>, hold: Option<Hold>) -> Self {
        Self { taken, witness: None, hold }
    }

    /// Whose it is, where clients have limits.
    pub(crate) fn hold(&self) -> Option<&Hold> {
        self.hold.as_ref()
    }

    /// It is another client's than was thought.
    pub(crate) fn hold_for(&mut self, hold: Option<Hold>) {
        self.hold = hold;
    }

    /// Tells the witness, if there is one.
    pub(crate) fn ended(&mut self, ending: Ending) {
        if let Some(Witness { visit, tell }) = self.witness.take() {
            tell(&visit, ending);
        }
    }

    /// Whose connection it is, if somebody is told of its end.
    pub fn visit(&self) -> Option<&Visit> {
        self.witness.as_ref().map(|witness| &*witness.visit)
    }

    /// The connection goes on in another process: nobody here is told of its end.
    pub fn leave(&mut self) {
        self.witness = None;
    }

    /// The connection came from another process.
    pub fn arrive(&mut self, witness: Witness) {
        self.witness = Some(witness);
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Place").finish_non_exhaustive()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ended(Ending { code: LOST, silent: Duration::ZERO });
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a handshake did not become a connection.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum UpgradeError {
    /// The peer left during the handshake, or the answer was not 101.
    #[error("the handshake was not completed")]
    NotCompleted,
}

/// A handshake that waits for its answer; the handler's side.
pub struct Upgrade {
    receiver: oneshot::Receiver<Transport>,
    witness: Option<Witness>,
    agreed: Option<Agreed>,
    hold: Option<Hold>,
}

impl std::fmt::Debug for Upgrade {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Upgrade").finish_non_exhaustive()
    }
}

/// The side that has the connection. Dropping it refuses the handshake.
#[derive(Debug)]
pub struct UpgradeOffer {
    sender: oneshot::Sender<Transport>,
    agreed: Option<Agreed>,
}

impl Upgrade {
    /// Both sides of a handshake, for a call from one room to another.
    pub fn offer() -> (Self, UpgradeOffer) {
        Self::agreed_offer(None)
    }

    /// The same with a client that that was agreed on with.
    pub(crate) fn agreed_offer(agreed: Option<Agreed>) -> (Self, UpgradeOffer) {
        let (sender, receiver) = oneshot::channel();
        (Self { receiver, witness: None, agreed, hold: None }, UpgradeOffer { sender, agreed })
    }

    /// What the answer 101 will agree on about compression: a socket that is told ([`crate::Socket::agree`]) compresses what it
    /// sends before it has its connection, too.
    pub fn agreed(&self) -> Option<Agreed> {
        self.agreed
    }

    /// Has the end of the connection told to `witness`, if it becomes one.
    pub fn witnessed(&mut self, witness: Witness) {
        self.witness = Some(witness);
    }

    /// Counts the connection, if it becomes one, for a client whose connection it is not.
    pub fn count_for(&mut self, hold: Hold) {
        self.hold = Some(hold);
    }

    /// The connection, once the answer 101 was sent.
    pub async fn transport(self) -> Result<Transport, UpgradeError> {
        let mut transport = self.receiver.await.map_err(|_| UpgradeError::NotCompleted)?;
        if let Transport::Tcp { place: Some(place), .. } | Transport::Stream { place: Some(place), .. } =
            &mut transport
        {
            place.witness = self.witness;
            if self.hold.is_some() {
                place.hold = self.hold;
            }
        }
        Ok(transport)
    }
}

impl UpgradeOffer {
    /// Completes the handshake with a TCP connection.
    pub(crate) fn complete_tcp(
        self,
        (stream, session): (TcpStream, Option<Session>),
        read: Bytes,
        place: Place,
    ) {
        // If the room died meanwhile the stream is dropped here, which closes the connection.
        let (place, agreed) = (Some(place), self.agreed);
        let _gone = self.sender.send(Transport::Tcp { stream, session, read, place, agreed });
    }

    /// Completes the handshake with a stream of an HTTP/2 connection.
    pub(crate) fn complete_stream(self, sender: SendStream<Bytes>, receiver: RecvStream, place: Place) {
        // If the room died meanwhile the stream is dropped here, which resets it.
        let (place, agreed) = (Some(place), self.agreed);
        let _gone = self.sender.send(Transport::Stream { sender, receiver, place, agreed });
    }

    /// Completes the handshake inside the process and returns the caller's end.
    pub fn accept(self) -> PipeEnd {
        let (ours, theirs) = pipe::pair();
        // If the room died meanwhile its end is dropped here, and ours reports the loss.
        let _gone = self.sender.send(Transport::Pipe(theirs));
        ours
    }
}

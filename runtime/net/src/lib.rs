//! The network half of partyrun: HTTP front, routing, WebSocket handshake and sockets.
//!
//! [`Front`] accepts connections on its own threads and turns each HTTP request into a [`Request`] for a
//! [`Handler`]; [`Route`] says which room a path means; [`Upgrade`] carries a WebSocket handshake to the thread of the
//! room, where a [`Socket`] takes the connection over. [`pipe`] joins two rooms without a network in between.
//! The crate knows nothing of V8, of storage or of configuration files: its bounds come from `partyrun_limits`.

pub mod client;
mod clients;
pub mod close;
pub mod deflate;
pub mod front;
mod handshake;
pub mod host;
mod line;
pub mod message;
mod negotiation;
pub mod pipe;
pub mod route;
pub mod socket;
pub mod upgrade;
pub mod url;

pub use clients::{Client, Clients, Excess, Hold, Notes};
pub use close::CloseFrame;
pub use deflate::{Agreed, Compression};
pub use front::{
    Certificates, Demand, Front, FrontOptions, Guest, Guests, Handler, Identity, Listener, Proxies, Seats,
    Tls, TlsError, bind, bind_family,
};
pub use line::Session;
pub use message::{Body, BodyError, BodyStream, BodyWriter, Request, Response, counted};
pub use partyrun_coding::Coding;
pub use route::{Route, RouteError};
pub use socket::{Mooring, SendError, SharedFrame, Socket, SocketBudgets, SocketEvent, SocketSink};
pub use upgrade::{Ending, Place, Tell, Transport, Upgrade, UpgradeError, UpgradeOffer, Visit, Witness};
pub use url::RequestUrl;

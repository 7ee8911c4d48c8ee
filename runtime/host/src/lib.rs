//! A PartyKit platform of one's own: many projects behind one listener, each a process of its own, and an API by which they are
//! deployed, changed and looked at.
//!
//! [`Host::start`] opens the registry and serves: a request's host name says which project it is for (`names.rs`), the
//! project's process is started if it does not run (`site.rs`, `child.rs`), and bytes go both ways (`proxy.rs`). The host's own
//! name has the API (`api`). Every change is in the registry before it is answered. The crate knows nothing of V8, of how
//! projects are built, or of flags: what a release is, it is told through [`Releases`].

mod api;
mod carry;
mod child;
mod common;
mod live;
mod meter;
mod names;
mod pool;
mod proxy;
mod quota;
mod registry;
mod secrets;
mod serve;
mod site;
mod sites;
mod sweep;

pub use api::{OPENAPI, ROUTES};
pub use common::{Checked, HostError, Output, Releases};
pub use names::{Address, NameError, domain};
pub use registry::{Day, Entry, Registry, RegistryError, Release, Scope, SiteRow, Token, Usage};
pub use secrets::{SecretError, new_token, token_hash};
pub use serve::{Host, Options};
pub use sites::Names;

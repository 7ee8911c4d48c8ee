//! What deno_fetch expects in an isolate's state before the first `fetch`, and how names are resolved.
//!
//! All that user code reaches is found here, and judged by what the operator allows (`policy.rs`): `fetch` by [`judge`] before
//! each request, redirects included, and by [`Names`], which hands out only addresses that are allowed; all else by [`reach`].
//! So a connection goes to an address that was judged, and no second look-up comes between.
//!
//! The HTTP client and its pool of connections belong to the worker. The rooms of a worker share them, so no room has to
//! create its own. A connection's task runs on the worker that opened it, so the pools of different workers stay apart.

mod addresses;
mod policy;

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock, OnceLock};

use deno_core::{OpState, v8};
use deno_fetch::dns::{Resolve, Resolving};
use deno_fetch::{Client, Options, create_client_from_options};
use deno_permissions::{
    AllowRunDescriptorParseResult, DenyRunDescriptor, EnvDescriptor, EnvDescriptorParseError, FfiDescriptor,
    ImportDescriptor, NetDescriptor, NetDescriptorParseError, PathQueryDescriptor, PathResolveError,
    PermissionDescriptorParser, PermissionsContainer, ReadDescriptor, RunDescriptorParseError,
    RunQueryDescriptor, SpecialFilePathQueryDescriptor, SysDescriptor, SysDescriptorParseError,
    WriteDescriptor,
};
use hyper_util::client::legacy::connect::dns::Name;
use partyrun_limits::Limits;

use crate::memory::{Blobs, Collected, RoomMemory};
use policy::{Admission, LOOPBACK};

pub use policy::{Outbound, Refused};

/// What the operator allows, for the process, as it serves one project.
static ALLOWED: OnceLock<Outbound> = OnceLock::new();
/// The ports of this server, which rooms may reach in any case.
static OWN_PORTS: OnceLock<Vec<u16>> = OnceLock::new();
/// The hosts of the proxies that the environment names, without those that are addresses.
static PROXIES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let texts = PROXY_VARIABLES.iter().filter_map(|name| std::env::var(name).ok());
    let hosts = texts.filter_map(|text| host_of_proxy(&text));
    hosts.filter(|host| host.parse::<std::net::IpAddr>().is_err()).collect()
});
const PROXY_VARIABLES: [&str; 6] =
    ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

// Deno asks its permissions before every request. Rooms may ask whom they like, as in the original.
static PERMISSIONS: LazyLock<PermissionsContainer> =
    LazyLock::new(|| PermissionsContainer::allow_all(Arc::new(NoDescriptors)));

/// A name that has no address, whatever the system says of it.
#[derive(Debug)]
pub(crate) struct NoAddress(pub(crate) io::Error);

impl fmt::Display for NoAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for NoAddress {}

/// Restricts what user code may reach. Only the first call counts; it comes before the first isolate.
pub fn restrict(outbound: Outbound) {
    let _first = ALLOWED.set(outbound);
}

/// Lets user code reach this server itself, which listens at these ports. Only the first call counts.
pub fn note_own_ports(ports: Vec<u16>) {
    let _first = OWN_PORTS.set(ports);
}

fn allowed() -> &'static Outbound {
    ALLOWED.get_or_init(Outbound::default)
}

/// The addresses of a server that may be reached there. Connect to one of these, and to no other.
///
/// # Errors
/// The system's, if it does not know the name; with a [`Refused`] inside of it if the server may not be reached.
pub async fn reach(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let admission = admit(host, port)?;
    let found = lookup(host, port).await?;
    match admission {
        Admission::Granted => Ok(found),
        Admission::ByAddress => keep(host, port, found),
    }
}

/// Judges a server that a proxy of the environment may stand before. What a proxy finds under a name is the proxy's matter; here
/// the name is looked up all the same. Answers the addresses, unless anything goes for that host.
///
/// # Errors
/// As [`reach`].
pub async fn judge(host: &str, port: u16) -> io::Result<Option<Vec<SocketAddr>>> {
    match admit(host, port)? {
        Admission::Granted => Ok(None),
        Admission::ByAddress => keep(host, port, lookup(host, port).await?).map(Some),
    }
}

/// Judges a request of `fetch`, before it is sent. Where no proxy stands between, [`Names`] judges the addresses.
pub(crate) async fn judge_request(url: &deno_core::url::Url) -> io::Result<()> {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Ok(()) };
    let has_proxy = PROXY_VARIABLES.iter().any(|name| std::env::var_os(name).is_some());
    match has_proxy {
        true => judge(host, port).await.map(|_addresses| ()),
        false => admit(host, port).map(|_admission| ()),
    }
}

/// Whether anything is forbidden at all.
pub(crate) fn is_restricted() -> bool {
    !allowed().is_any()
}

fn admit(host: &str, port: u16) -> io::Result<Admission> {
    let admission =
        allowed().admit(host, port, OWN_PORTS.get().map_or(&[], Vec::as_slice)).map_err(denied)?;
    // The resolver answers for the name of a proxy in any case.
    if admission == Admission::ByAddress && is_proxy(host) {
        return Err(denied(allowed().refuse(host, port, "is a proxy of the environment")));
    }
    Ok(admission)
}

fn keep(host: &str, port: u16, found: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    allowed().keep(host, port, found, SocketAddr::ip).map_err(denied)
}

fn denied(refused: Refused) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, refused)
}

fn is_proxy(host: &str) -> bool {
    PROXIES.contains(&policy::normal(host))
}

// `http://user:password@proxy.test:3128`, or `proxy.test:3128`.
fn host_of_proxy(text: &str) -> Option<String> {
    let has_scheme = text.contains("://");
    let url = if has_scheme { text.to_string() } else { format!("http://{text}") };
    deno_core::url::Url::parse(&url).ok()?.host_str().map(policy::normal)
}

// The addresses of a name. `localhost` means both families, whatever the system's table of hosts says (RFC 6761, 6.3): what
// listens there listens on one of them, and nobody knows on which.
async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if policy::is_localhost(&policy::normal(host)) {
        return Ok(LOOPBACK.map(|address| SocketAddr::new(address, port)).to_vec());
    }
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

/// Looks names up for `fetch`, which [`judge_request`] has seen before.
#[derive(Debug)]
pub(crate) struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str();
            let found = lookup(host, 0).await.map_err(|error| io::Error::other(NoAddress(error)))?;
            // For which port is not known here: a name that stands in the list is judged there, and this server by its port.
            if allowed().names(host) || is_proxy(host) {
                return Ok(found.into_iter());
            }
            match keep(host, 0, found.clone()) {
                Err(_) if policy::is_localhost(&policy::normal(host)) => Ok(found.into_iter()),
                kept => kept.map(Vec::into_iter),
            }
        })
    }
}

thread_local! {
    static CLIENT: RefCell<Option<Client>> = const { RefCell::new(None) };
}

/// Puts the limits, the count of memory, the client of this thread and the permissions into the `state` of `isolate`. An
/// isolate whose client cannot be made, because the operator's certificates are unusable, makes its own at the first
/// `fetch`, which then fails with the reason.
pub fn prepare(state: &mut OpState, limits: &Limits, memory: RoomMemory, isolate: &v8::Isolate) {
    state.put(limits.clone());
    state.put(Blobs::within(&memory));
    state.put(Collected::of(isolate));
    state.put(memory);
    state.put(PERMISSIONS.clone());
    CLIENT.with_borrow_mut(|client| {
        if client.is_none() {
            let options = state.borrow::<Options>();
            *client = create_client_from_options(options, Some(PERMISSIONS.clone())).ok();
        }
        if let Some(client) = client {
            state.put(client.clone());
        }
    });
}

// Deno's permissions come with a parser for what a command line grants. Nothing is granted here that would have to be
// parsed: only the network can be asked for at all, so that files, programs and variables are refused as names.
#[derive(Debug)]
struct NoDescriptors;

impl PermissionDescriptorParser for NoDescriptors {
    fn parse_read_descriptor(&self, _: &str) -> Result<ReadDescriptor, PathResolveError> {
        Err(PathResolveError::EmptyPath)
    }

    fn parse_write_descriptor(&self, _: &str) -> Result<WriteDescriptor, PathResolveError> {
        Err(PathResolveError::EmptyPath)
    }

    fn parse_net_descriptor(&self, text: &str) -> Result<NetDescriptor, NetDescriptorParseError> {
        NetDescriptor::parse_for_list(text)
    }

    fn parse_import_descriptor(&self, text: &str) -> Result<ImportDescriptor, NetDescriptorParseError> {
        ImportDescriptor::parse_for_list(text)
    }

    fn parse_env_descriptor(&self, _: &str) -> Result<EnvDescriptor, EnvDescriptorParseError> {
        Err(EnvDescriptorParseError)
    }

    fn parse_sys_descriptor(&self, _: &str) -> Result<SysDescriptor, SysDescriptorParseError> {
        Err(SysDescriptorParseError::Empty)
    }

    fn parse_allow_run_descriptor(
        &self,
        _: &str,
    ) -> Result<AllowRunDescriptorParseResult, RunDescriptorParseError> {
        Err(RunDescriptorParseError::EmptyRunQuery)
    }

    fn parse_deny_run_descriptor(&self, _: &str) -> Result<DenyRunDescriptor, PathResolveError> {
        Err(PathResolveError::EmptyPath)
    }

    fn parse_ffi_descriptor(&self, _: &str) -> Result<FfiDescriptor, PathResolveError> {
        Err(PathResolveError::EmptyPath)
    }

    fn parse_path_query<'a>(&self, _: Cow<'a, Path>) -> Result<PathQueryDescriptor<'a>, PathResolveError> {
        Err(PathResolveError::EmptyPath)
    }

    fn parse_special_file_descriptor<'a>(
        &self,
        _: PathQueryDescriptor<'a>,
    ) -> Result<SpecialFilePathQueryDescriptor<'a>, PathResolveError> {
        Err(PathResolveError::EmptyPath)
    }

    fn parse_net_query(&self, text: &str) -> Result<NetDescriptor, NetDescriptorParseError> {
        NetDescriptor::parse_for_query(text)
    }

    fn parse_run_query<'a>(&self, _: &'a str) -> Result<RunQueryDescriptor<'a>, RunDescriptorParseError> {
        Err(RunDescriptorParseError::EmptyRunQuery)
    }
}

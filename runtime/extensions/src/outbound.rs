//! What deno_fetch expects in an isolate's state before the first `fetch`, and how names are resolved.
//!
//! The HTTP client and its pool of connections belong to the worker. The rooms of a worker share them, so no room has to
//! create its own. A connection's task runs on the worker that opened it, so the pools of different workers stay apart.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, LazyLock};

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

use crate::codes::NoAddress;
use crate::memory::{Blobs, Collected, RoomMemory};

// Deno asks its permissions before every request. Rooms may ask whom they like, as in the original.
static PERMISSIONS: LazyLock<PermissionsContainer> =
    LazyLock::new(|| PermissionsContainer::allow_all(Arc::new(NoDescriptors)));

/// The addresses of a name. `localhost` means both families, whatever the system's table of hosts says (RFC 6761, 6.3): what
/// listens there listens on one of them, and nobody knows on which.
///
/// # Errors
/// The system's, if it does not know the name.
pub async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
    }
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

/// Looks names up for `fetch`.
#[derive(Debug)]
pub(crate) struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = lookup(name.as_str(), 0).await;
            found.map(Vec::into_iter).map_err(|error| io::Error::other(NoAddress(error)))
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

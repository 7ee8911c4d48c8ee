//! `--inspect` and `--inspect-brk`: starts the debugger's endpoint and prints its address.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use partyrun_engine::{DebugMap, Inspector};
use partyrun_net::Front;

use crate::args::DevArgs;
use crate::error::{RunError, machine};
use crate::output::Output;
use crate::stack::folder_url;

/// The endpoint, as long as it is kept.
pub(crate) struct Debugger {
    pub(crate) inspector: Arc<Inspector>,
    pub(crate) address: SocketAddr,
    /// Whether the project pauses before its first statement.
    pub(crate) pauses_first: bool,
    _front: Front,
}

impl Debugger {
    /// Starts it, if a flag asks for it.
    pub(crate) fn start(args: &DevArgs, output: &Arc<Output>) -> Result<Option<Self>, RunError> {
        let Some(address) = args.inspect.or(args.inspect_brk) else { return Ok(None) };
        let listener = partyrun_net::bind(address).map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => RunError::DebuggerPortInUse { port: address.port() },
            _ => RunError::Listen { address, error },
        })?;
        let address = listener.local_addr().map_err(machine("The debugger's port cannot be found"))?;
        let pauses_first = args.inspect_brk.is_some();
        let inspector = Inspector::new(pauses_first);
        let product = format!("partyrun/{}", env!("CARGO_PKG_VERSION"));
        let told = output.clone();
        let paused = Arc::new(move |title: &str| {
            told.note(&format!("[{title}] paused by the debugger; other rooms of its thread wait meanwhile"));
        });
        let front = partyrun_inspector::serve(listener, inspector.clone(), product, paused)
            .map_err(machine("The debugger's thread cannot be started"))?;
        output.note(&format!("Debugger on http://{address} (chrome://inspect)"));
        if !address.ip().is_loopback() {
            output.problem(
                "The debugger listens beyond this machine, and whoever reaches its port can run code here.",
            );
        }
        if pauses_first {
            output.note("Waiting for a debugger (--inspect-brk): first in `edge`, then in each room.");
        }
        Ok(Some(Self { inspector, address, pauses_first, _front: front }))
    }
}

/// The source map whose sources are the project's own files, so that an editor finds them and DevTools, which has their text
/// inside, need not.
pub(crate) fn debug_map(source_map: &[u8], root: &Path) -> Option<DebugMap> {
    let mut map: serde_json::Value = serde_json::from_slice(source_map).ok()?;
    let folder = folder_url(root)?;
    for source in map.get_mut("sources")?.as_array_mut()? {
        if let Some(name) = source.as_str().and_then(|source| source.strip_prefix("file:///")) {
            *source = format!("{folder}{name}").into();
        }
    }
    let json = map.to_string().into_bytes();
    let encoded = base64::engine::general_purpose::STANDARD.encode(&json);
    Some(DebugMap { json, url: format!("data:application/json;base64,{encoded}") })
}

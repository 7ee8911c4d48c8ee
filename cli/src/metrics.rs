//! `--metrics`: starts the listener that Prometheus scrapes, and prints its address. And the export by OTLP that the environment
//! asks for.

use partyrun_admin::{Extra, Page as Answer};
use partyrun_limits::Limits;
use partyrun_net::Front;
use partyrun_telemetry::Format;

use crate::args::ListenArgs;
use crate::error::{RunError, machine};
use crate::output::Output;

/// The version that `partyrun_build_info` tells.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Starts the listener, if a flag asks for it. It lasts as long as it is kept.
pub(crate) fn serve(args: &ListenArgs, limits: &Limits, output: &Output) -> Result<Option<Front>, RunError> {
    partyrun_telemetry::begin();
    for problem in partyrun_telemetry::start("partyrun", VERSION).map_err(RunError::Export)? {
        output.problem(&problem);
    }
    let Some(address) = args.metrics else { return Ok(None) };
    let listener = crate::inherit::tcp(address, partyrun_net::bind).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => RunError::MetricsPortInUse { port: address.port() },
        _ => RunError::Listen { address, error },
    })?;
    let address = listener.local_addr().map_err(machine("The port of the metrics cannot be found"))?;
    let front = partyrun_server::serve_metrics(listener, VERSION, limits)
        .map_err(machine("The thread of the metrics cannot be started"))?;
    output.note(&format!("Metrics on http://{address}/metrics"));
    Ok(Some(front))
}

/// `/metrics` of the administrative listener, for whoever has its token.
pub(crate) struct Page;

impl Extra for Page {
    fn page(&self, path: &str, authorized: bool) -> Option<Answer> {
        if path != "/metrics" || !authorized {
            return None;
        }
        partyrun_telemetry::measure();
        let format = Format::OpenMetrics;
        let body = format.write(VERSION).ok()?.into();
        let headers = vec![("cache-control", "no-store")];
        Some(Answer { status: 200, content_type: format.content_type(), headers, body })
    }
}

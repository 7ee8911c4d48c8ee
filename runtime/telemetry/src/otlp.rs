//! Export by OTLP, as the standard environment variables ask for it: traces, metrics and lines of log, each to its endpoint.
//!
//! A signal is exported if `OTEL_EXPORTER_OTLP_ENDPOINT`, or the variable of the signal, names an endpoint; nothing is sent
//! anywhere by default. It is sent as JSON over HTTP (`http/json`). Spans and lines wait in queues with a bound and are sent in
//! batches by a thread of their own, so that a receiver that is slow or gone costs what it was to be sent, and nothing else.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::logs::{self, Line};
use crate::meters::lock;
use crate::post::Client;
use crate::queue::{Queue, Taker, queue};
use crate::sampler::Sampler;
use crate::settings::{ExportError, number, pairs, text, variable};
use crate::traces::{self, Ended};
use crate::{collect, metrics_json, spans_json};

/// How long the last export may take when the server stops.
const LAST_EXPORT_MAX: Duration = Duration::from_secs(2);
/// Between two exports of metrics, and of spans and lines, where no variable tells another time.
const METRICS_EVERY_MS: u64 = 60_000;
const BATCH_EVERY_MS: u64 = 1000;
/// What may wait, and how much of it goes at once, where no variable tells other numbers.
const WAITING_MAX: u64 = 2048;
const BATCH_MAX: u64 = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
        }
    }

    // The value of this signal's variable, else of the one for all.
    fn variable(self, name: &str) -> Option<String> {
        let own = variable(&format!("OTEL_EXPORTER_OTLP_{}_{name}", self.name()));
        own.or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
    }

    // Where it goes: its own variable is a whole URL, the one for all the beginning of one.
    fn endpoint(self) -> Option<String> {
        let exporter = variable(&format!("OTEL_{}_EXPORTER", self.name()));
        if !exporter.is_none_or(|exporter| exporter.split(',').any(|one| one.trim() == "otlp")) {
            return None;
        }
        let own = variable(&format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", self.name()));
        own.or_else(|| {
            let base = variable("OTEL_EXPORTER_OTLP_ENDPOINT")?;
            Some(format!("{}/v1/{}", base.trim_end_matches('/'), self.name().to_lowercase()))
        })
    }
}

// A signal on its way.
struct Route {
    client: Arc<Client>,
    endpoint: String,
    headers: Vec<(String, String)>,
    resource: Value,
    scope: Value,
}

impl Route {
    async fn send(&self, body: String) {
        self.client.post(&self.endpoint, &self.headers, body).await;
    }
}

// What is exporting; ended by `stop`.
#[derive(Default)]
struct Exporting {
    spans: Option<Queue<Ended>>,
    lines: Option<Queue<Line>>,
    metrics: Option<Queue<()>>,
}

static EXPORTING: OnceLock<Mutex<Exporting>> = OnceLock::new();

/// Starts what the environment asks for, once in a process; a second call does nothing. Answers what the operator should know.
/// `name` is that of the service where no variable tells it.
///
/// # Errors
/// Where it cannot be done.
pub fn start(name: &str, version: &'static str) -> Result<Vec<String>, ExportError> {
    let is_off = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let signals = [Signal::Traces, Signal::Metrics, Signal::Logs].into_iter();
    let wanted: Vec<(Signal, String)> =
        signals.filter_map(|signal| Some((signal, signal.endpoint()?))).filter(|_| !is_off).collect();
    if wanted.is_empty() || EXPORTING.get().is_some() {
        return Ok(Vec::new());
    }
    let client = Arc::new(Client::new()?);
    let mut exporting = Exporting::default();
    let mut problems = Vec::new();
    for (signal, endpoint) in wanted {
        problems.extend(protocol_problem(signal));
        let headers = pairs(&signal.variable("HEADERS").unwrap_or_default());
        let (resource, scope) = (resource(name, version), json!({ "name": "partyrun", "version": version }));
        let route = Route { client: client.clone(), endpoint, headers, resource, scope };
        match signal {
            Signal::Traces => exporting.spans = Some(trace(route, &mut problems)),
            Signal::Metrics => exporting.metrics = Some(measure(route, version)),
            Signal::Logs => exporting.lines = Some(log(route)),
        }
    }
    let _first = EXPORTING.set(Mutex::new(exporting));
    problems.dedup();
    Ok(problems)
}

fn protocol_problem(signal: Signal) -> Option<String> {
    let protocol = signal.variable("PROTOCOL").filter(|protocol| protocol == "grpc")?;
    Some(format!(
        "OTEL_EXPORTER_OTLP_PROTOCOL is `{protocol}`, but everything is exported as `http/json`: name the receiver's port for HTTP \
         (4318, not 4317)."
    ))
}

fn resource(name: &str, version: &str) -> Value {
    let mut attributes = pairs(&variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default());
    let has_name = attributes.iter().any(|(key, _)| key == "service.name");
    if let Some(name) = variable("OTEL_SERVICE_NAME").or_else(|| (!has_name).then(|| name.to_string())) {
        attributes.retain(|(key, _)| key != "service.name");
        attributes.push(("service.name".to_string(), name));
    }
    attributes.push(("partyrun.version".to_string(), version.to_string()));
    let attributes: Vec<Value> = attributes.iter().map(|(key, value)| text(key, value)).collect();
    json!({ "attributes": attributes })
}

// A queue whose batches are sent as what `body` makes of them.
fn batches<T: Send + 'static>(route: Route, settings: &str, body: fn(&Route, Vec<T>) -> String) -> Queue<T> {
    let waiting_max = number(&format!("OTEL_{settings}_MAX_QUEUE_SIZE"), WAITING_MAX);
    let most = number(&format!("OTEL_{settings}_MAX_EXPORT_BATCH_SIZE"), BATCH_MAX);
    let every = Duration::from_millis(number(&format!("OTEL_{settings}_SCHEDULE_DELAY"), BATCH_EVERY_MS));
    let (putting, taking): (Queue<T>, Taker<T>) =
        queue(usize::try_from(waiting_max).unwrap_or(usize::MAX >> 4));
    let client = route.client.clone();
    let route = Arc::new(route);
    client.spawn(taking.run(every, usize::try_from(most).unwrap_or(usize::MAX), move |batch| {
        let route = route.clone();
        async move { route.send(body(&route, batch)).await }
    }));
    putting
}

fn trace(route: Route, problems: &mut Vec<String>) -> Queue<Ended> {
    let (name, argument) = (variable("OTEL_TRACES_SAMPLER"), variable("OTEL_TRACES_SAMPLER_ARG"));
    let (sampler, problem) = Sampler::named(name.as_deref(), argument.as_deref());
    problems.extend(problem);
    let queue = batches(route, "BSP", |route, spans: Vec<Ended>| {
        spans_json::body(&route.resource, &route.scope, &spans)
    });
    traces::start(sampler, queue.clone());
    queue
}

fn log(route: Route) -> Queue<Line> {
    let queue = batches(route, "BLRP", |route, lines: Vec<Line>| {
        let records: Vec<Value> = lines.iter().map(Line::record).collect();
        let scoped = json!([{ "scope": route.scope, "logRecords": records }]);
        json!({ "resourceLogs": [{ "resource": route.resource, "scopeLogs": scoped }] }).to_string()
    });
    logs::start(queue.clone());
    queue
}

// Nothing is put into its queue: it only serves to send what there is at the end.
fn measure(route: Route, version: &'static str) -> Queue<()> {
    crate::measure();
    let every = Duration::from_millis(number("OTEL_METRIC_EXPORT_INTERVAL", METRICS_EVERY_MS).max(10));
    let (putting, taking) = queue(1);
    let client = route.client.clone();
    let route = Arc::new(route);
    let begun = SystemTime::now();
    let send = move || {
        let route = route.clone();
        async move {
            let metrics = metrics_json::all(&collect::Metrics::now(version), begun);
            let scoped = json!([{ "scope": route.scope, "metrics": metrics }]);
            let body = json!({ "resourceMetrics": [{ "resource": route.resource, "scopeMetrics": scoped }] });
            route.send(body.to_string()).await;
        }
    };
    let last = send.clone();
    client.spawn(taking.run(Duration::ZERO, 1, move |_: Vec<()>| last()));
    client.spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            send().await;
        }
    });
    putting
}

/// Exports what waits, for at most some seconds, and ends.
pub fn stop() {
    let Some(exporting) = EXPORTING.get().map(|exporting| std::mem::take(&mut *lock(exporting))) else {
        return;
    };
    traces::end();
    logs::end();
    if let Some(spans) = exporting.spans {
        spans.flush(LAST_EXPORT_MAX);
    }
    if let Some(lines) = exporting.lines {
        lines.flush(LAST_EXPORT_MAX);
    }
    if let Some(metrics) = exporting.metrics {
        metrics.put(());
        metrics.flush(LAST_EXPORT_MAX);
    }
}

//! What whoever runs a server can see of it from outside: metrics, traces and logs.
//!
//! Everything that happens is counted in cells of the thread on which it happens ([`Meters`]), which are added up when somebody
//! looks ([`Metrics`]): counting costs a few instructions and no lock. What nobody counts is asked for then ([`Source`]). The
//! list of all metrics is [`CATALOGUE`]; labels are bounded: parties, classes of status, reasons, never rooms or clients.

mod catalogue;
mod cell;
mod collect;
mod everywhere;
mod glance;
mod logs;
mod meters;
mod metrics_json;
mod otlp;
mod post;
mod process;
mod queue;
mod sampler;
mod settings;
mod spans_json;
mod text;
mod traces;

pub use catalogue::{CATALOGUE, Kind, Metric, table};
pub use cell::{Counter, Histogram, Level, Spread};
pub use collect::{Metrics, Point, Source, Value, add_source, begin};
pub use everywhere::{
    EVERYWHERE, Everywhere, Lateness, count_limit, cron_ended, is_measuring, measure, row_of,
};
pub use glance::Glance;
pub use logs::{Urgency, export, is_exporting};
pub use meters::{Console, Eviction, Meters, NO_PARTY, Reset, meters};
pub use otlp::{start, stop};
pub use settings::ExportError;
pub use text::Format;
pub use traces::{Attribute, Place, Side, Span, Tracer, here, tracer, within};

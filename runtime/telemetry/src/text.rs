//! Metrics as text: OpenMetrics 1.0, and the older format of Prometheus for whoever does not ask for it.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::catalogue::{Kind, Metric};
use crate::cell::Spread;
use crate::collect::{Metrics, Point, Value};

/// In which of the formats metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics.
    OpenMetrics,
    /// Prometheus' own.
    Prometheus,
}

impl Format {
    /// The one that a client takes, by its `Accept` field.
    pub fn accepted(accept: Option<&str>) -> Self {
        let wants = accept.is_some_and(|accept| accept.contains("application/openmetrics-text"));
        if wants { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }

    /// All metrics of this moment.
    ///
    /// # Errors
    /// Where there is no memory for the text.
    pub fn write(self, version: &str) -> Result<String, Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Moment(Metrics::now(version))));
        let mut text = String::new();
        match self {
            Self::OpenMetrics => text::encode(&mut text, &registry)?,
            Self::Prometheus => prometheus_text::encode(&mut text, &registry)?,
        }
        Ok(text)
    }
}

#[derive(Debug)]
struct Moment(Metrics);

impl Collector for Moment {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        for (metric, points) in self.0.families() {
            let (name, unit) = parts(metric);
            let mut family =
                encoder.encode_descriptor(name, metric.help, unit.as_ref(), kind(metric.kind))?;
            for point in points {
                series(&mut family, metric, point)?;
            }
        }
        Ok(())
    }
}

fn kind(kind: Kind) -> MetricType {
    match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
        Kind::Info => MetricType::Info,
    }
}

// The name without what the encoder adds to it by itself.
fn parts(metric: &Metric) -> (&'static str, Option<Unit>) {
    let suffix = match metric.kind {
        Kind::Counter => "_total",
        Kind::Info => "_info",
        Kind::Gauge | Kind::Histogram => "",
    };
    let name = metric.name.strip_suffix(suffix).unwrap_or(metric.name);
    let units = [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes)];
    let unit = units.into_iter().find_map(|(end, unit)| Some((name.strip_suffix(end)?, unit)));
    unit.map_or((name, None), |(name, unit)| (name, Some(unit)))
}

fn series(family: &mut MetricEncoder<'_>, metric: &Metric, point: &Point) -> Result<(), Error> {
    let labels: Vec<(&str, &str)> =
        metric.labels.iter().copied().zip(point.labels.iter().map(String::as_str)).collect();
    if metric.kind == Kind::Info {
        return family.encode_info(&labels);
    }
    if labels.is_empty() {
        return value(family, metric.kind, &point.value);
    }
    value(&mut family.encode_family(&labels)?, metric.kind, &point.value)
}

fn value(series: &mut MetricEncoder<'_>, kind: Kind, value: &Value) -> Result<(), Error> {
    match (kind, value) {
        (Kind::Counter, Value::Count(count)) => series.encode_counter::<NoLabelSet, u64, f64>(count, None),
        (Kind::Counter, Value::Number(number)) => series.encode_counter::<NoLabelSet, f64, f64>(number, None),
        (_, Value::Count(count)) => series.encode_gauge(&(*count as f64)),
        (_, Value::Number(number)) => series.encode_gauge(number),
        (_, Value::Spread(spread)) => histogram(series, spread),
    }
}

fn histogram(series: &mut MetricEncoder<'_>, spread: &Spread) -> Result<(), Error> {
    // The encoder adds the buckets up.
    let buckets: Vec<(f64, u64)> = spread.buckets().collect();
    series.encode_histogram::<NoLabelSet>(spread.seconds(), spread.count(), &buckets, None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::meters::meters;

    #[test]
    fn both_formats_have_the_names_of_the_catalogue() {
        let party = meters("text-test", 1000);
        party.answered(200, Duration::from_millis(3));
        party.sent(2, 50);
        let open = Format::accepted(Some("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"));
        assert_eq!(open, Format::OpenMetrics);
        let text = open.write("1.2.3").unwrap();
        for line in [
            "# TYPE partyrun_requests counter",
            "# UNIT partyrun_sent_bytes bytes",
            "partyrun_sent_bytes_total{party=\"text-test\"} 100",
            "partyrun_requests_total{party=\"text-test\",status=\"2xx\"} 1",
            "partyrun_build_info{version=\"1.2.3\"} 1",
            "partyrun_request_duration_seconds_bucket{le=\"0.0025\",party=\"text-test\"} 0",
            "partyrun_request_duration_seconds_bucket{le=\"0.005\",party=\"text-test\"} 1",
            "partyrun_request_duration_seconds_bucket{le=\"+Inf\",party=\"text-test\"} 1",
            "partyrun_request_duration_seconds_count{party=\"text-test\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert_eq!(Format::accepted(None), Format::Prometheus);
        let text = Format::Prometheus.write("1.2.3").unwrap();
        for line in
            ["# TYPE partyrun_requests_total counter", "partyrun_sent_bytes_total{party=\"text-test\"} 100"]
        {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}

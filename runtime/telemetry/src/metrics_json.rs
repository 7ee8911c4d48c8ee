//! Metrics as OTLP's JSON: the same numbers that are scraped.

use std::time::SystemTime;

use serde_json::{Value as Json, json};

use crate::catalogue::{Kind, Metric};
use crate::cell::Spread;
use crate::collect::{Metrics, Point, Value};
use crate::settings::{nanoseconds, text};

/// Counts are those since the start, not since the last export.
const CUMULATIVE: u8 = 2;

/// All metrics; counted since `begun`.
pub(crate) fn all(metrics: &Metrics, begun: SystemTime) -> Vec<Json> {
    let (from, to) = (nanoseconds(begun), nanoseconds(SystemTime::now()));
    metrics.families().map(|(metric, points)| one(metric, points, &from, &to)).collect()
}

fn one(metric: &Metric, points: &[Point], from: &str, to: &str) -> Json {
    let points: Vec<Json> = points.iter().map(|point| data_point(metric, point, from, to)).collect();
    let (kind, data) = match metric.kind {
        Kind::Counter => {
            let data =
                json!({ "dataPoints": points, "aggregationTemporality": CUMULATIVE, "isMonotonic": true });
            ("sum", data)
        }
        Kind::Gauge | Kind::Info => ("gauge", json!({ "dataPoints": points })),
        Kind::Histogram => {
            ("histogram", json!({ "dataPoints": points, "aggregationTemporality": CUMULATIVE }))
        }
    };
    let mut sent = json!({ "name": metric.name, "description": metric.help, "unit": unit(metric.name) });
    if let Some(fields) = sent.as_object_mut() {
        fields.insert(kind.to_string(), data);
    }
    sent
}

fn data_point(metric: &Metric, point: &Point, from: &str, to: &str) -> Json {
    let pairs = metric.labels.iter().zip(&point.labels);
    let attributes: Vec<Json> = pairs.map(|(key, value)| text(key, value)).collect();
    let mut sent = json!({ "attributes": attributes, "startTimeUnixNano": from, "timeUnixNano": to });
    let values = match &point.value {
        Value::Count(count) => json!({ "asInt": count.to_string() }),
        Value::Number(number) => json!({ "asDouble": number }),
        Value::Spread(spread) => histogram(spread),
    };
    if let (Some(fields), Json::Object(values)) = (sent.as_object_mut(), values) {
        fields.extend(values);
    }
    sent
}

fn histogram(spread: &Spread) -> Json {
    let counts: Vec<String> = spread.buckets().map(|(_, count)| count.to_string()).collect();
    let bounds: Vec<f64> =
        spread.buckets().map(|(bound, _)| bound).filter(|bound| bound.is_finite()).collect();
    json!({
        "count": spread.count().to_string(),
        "sum": spread.seconds(),
        "bucketCounts": counts,
        "explicitBounds": bounds,
    })
}

// As UCUM writes it.
fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_their_short_names() {
        let units = ["partyrun_sent_bytes_total", "partyrun_uptime_seconds", "partyrun_rooms"].map(unit);
        assert_eq!(units, ["By", "s", "1"]);
    }

    #[test]
    fn every_metric_has_its_data() {
        let metrics = all(&Metrics::now("1"), SystemTime::UNIX_EPOCH);
        assert!(metrics.len() > 10);
        for metric in metrics {
            let data = ["sum", "gauge", "histogram"].into_iter().filter_map(|kind| metric.get(kind)).next();
            let points = data.and_then(|data| data["dataPoints"].as_array()).unwrap();
            assert!(!points.is_empty() && points[0]["startTimeUnixNano"] == "0", "{metric}");
        }
    }
}

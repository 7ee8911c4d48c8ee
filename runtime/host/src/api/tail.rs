//! The live log of a project for whoever follows it, as lines of JSON: requests with their answers, what the project prints,
//! and what the host says about it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::Value;

use super::problem::Problem;
use super::{Api, Ask};
use crate::live::Follower;
use crate::proxy::Body;
use crate::site::Site;

/// Where nothing happens, an empty line says so often that the connection stands.
const QUIET: Duration = Duration::from_secs(15);
/// Lines that are sent at once.
const TOGETHER_MAX: usize = 64;

/// Which lines somebody wants.
#[derive(Debug, Default)]
struct Filter {
    /// How requests ended: `ok`, `error` or `canceled`.
    status: Vec<String>,
    methods: Vec<String>,
    /// A header's name, and what its value holds.
    header: Option<(String, String)>,
    search: Option<String>,
    ips: Vec<IpAddr>,
    /// The share of lines that is wanted.
    rate: Option<f64>,
}

impl Filter {
    fn new(ask: &Ask) -> Result<Self, Problem> {
        let all = |name: &str| -> Vec<String> {
            let of_name = ask.query.iter().filter(|(known, _)| known == name);
            of_name
                .flat_map(|(_, value)| value.split(',').map(str::trim).map(str::to_owned))
                .filter(|value| !value.is_empty())
                .collect()
        };
        let status = all("status");
        if let Some(wrong) =
            status.iter().find(|status| !["ok", "error", "canceled"].contains(&status.as_str()))
        {
            return Err(Problem::bad(format!(
                "`{}` is no status: use ok, error or canceled.",
                wrong.escape_default()
            )));
        }
        let rate = ask.query("sampling_rate").map(str::parse::<f64>).transpose();
        let rate = rate.ok().filter(|rate| rate.is_none_or(|rate| rate > 0.0 && rate <= 1.0));
        let rate = rate.ok_or_else(|| Problem::bad("The sampling rate is a number above 0, up to 1."))?;
        let ip = |text: String| if text == "self" { Ok(ask.client.ip) } else { text.parse() };
        let ips = all("ip").into_iter().map(ip).collect::<Result<Vec<_>, _>>();
        let header = ask.query("header").filter(|header| !header.is_empty()).map(|header| {
            let (name, value) = header.split_once(':').unwrap_or((header, ""));
            (name.trim().to_ascii_lowercase(), value.trim().to_string())
        });
        Ok(Self {
            status,
            methods: all("method").iter().map(|method| method.to_ascii_uppercase()).collect(),
            header,
            search: ask.query("search").filter(|text| !text.is_empty()).map(str::to_owned),
            ips: ips.map_err(|_| Problem::bad("An address is one of IPv4 or IPv6, or `self`."))?,
            rate,
        })
    }

    // Whether only requests can pass.
    fn is_of_requests(&self) -> bool {
        !self.methods.is_empty() || self.header.is_some() || !self.ips.is_empty()
    }

    fn wants(&self, line: &Value, sample: f64) -> bool {
        let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("type") == "lost" {
            return true;
        }
        if self.rate.is_some_and(|rate| sample >= rate) {
            return false;
        }
        let holds = |search: &String| ["text", "url"].iter().any(|name| text(name).contains(search.as_str()));
        if self.search.as_ref().is_some_and(|search| !holds(search)) {
            return false;
        }
        if text("type") != "request" {
            let is_error = text("level") == "error" || text("type") == "error";
            let by_status =
                self.status.is_empty() || is_error && self.status.iter().any(|status| status == "error");
            return by_status && !self.is_of_requests();
        }
        let has =
            |wanted: &[String], found: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == found);
        let header = |(name, value): &(String, String)| {
            let found = line.get("headers").and_then(|headers| headers.get(name)).and_then(Value::as_str);
            found.is_some_and(|found| found.contains(value.as_str()))
        };
        has(&self.status, text("outcome"))
            && has(&self.methods, text("method"))
            && self.header.as_ref().is_none_or(header)
            && (self.ips.is_empty() || text("ip").parse().is_ok_and(|ip| self.ips.contains(&ip)))
    }
}

struct Tail {
    follower: Follower,
    filter: Filter,
    count: u64,
    ready: VecDeque<Bytes>,
}

impl Tail {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            let Ok(line) = tokio::time::timeout(QUIET, self.follower.next()).await else {
                return Some(Bytes::from_static(b"\n"));
            };
            let line = line?;
            self.count += 1;
            if self.filter.wants(&line, sample(self.count)) {
                self.ready.push_back(Bytes::from(format!("{line}\n")));
            } else if self.count.is_multiple_of(TOGETHER_MAX as u64) {
                // Whoever wants nothing of a flood does not hold a thread.
                tokio::task::yield_now().await;
            }
        }
    }
}

// Numbers between 0 and 1 that are spread evenly and in no order: the fractional parts of multiples of the golden ratio.
fn sample(count: u64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    #[allow(clippy::cast_precision_loss, reason = "a count of lines")]
    let product = count as f64 * GOLDEN;
    product.fract()
}

impl Api {
    /// Follows the log.
    pub(super) fn tail(&self, ask: &Ask, site: &Arc<Site>) -> Result<Response<Body>, Problem> {
        let filter = Filter::new(ask)?;
        let last = ask.query("last").map(str::parse).transpose();
        let last = last.map_err(|_| Problem::bad("`last` is a number of lines."))?.unwrap_or(0);
        let limits = &self.common.limits;
        if site.live.readers() >= limits.host_tails_max {
            let message = format!("As many follow this log as may ({}).", limits.cite("host_tails_max"));
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "tails", message));
        }
        let tail = Tail { follower: site.live.follow(last), filter, count: 0, ready: VecDeque::new() };
        // At once something, so that the client knows that it follows from now on.
        let first = futures_util::stream::once(async { Ok(Frame::data(Bytes::from_static(b"\n"))) });
        let lines = futures_util::stream::unfold(tail, |mut tail| async move {
            let bytes = tail.next().await?;
            Some((Ok(Frame::data(bytes)), tail))
        });
        let body = StreamBody::new(futures_util::StreamExt::chain(first, lines)).boxed_unsync();
        let mut response = Response::new(body);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(outcome: &str, method: &str, ip: &str) -> Value {
        json!({ "type": "request", "outcome": outcome, "method": method, "ip": ip, "url": "http://chat.test/party/a",
            "headers": { "x-a": "one two" } })
    }

    #[test]
    fn lines_pass_that_are_wanted() {
        let console = json!({ "type": "console", "level": "error", "text": "it failed" });
        let get = request("ok", "GET", "10.0.0.1");
        let wants = |filter: Filter, line: &Value| filter.wants(line, 0.5);
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(wants(Filter::default(), &console) && wants(Filter::default(), &get));
        let status = |status: &str| Filter { status: texts(&[status]), ..Filter::default() };
        assert!(wants(status("ok"), &get) && !wants(status("ok"), &console));
        assert!(!wants(status("error"), &get) && wants(status("error"), &console));
        let method = || Filter { methods: texts(&["POST", "GET"]), ..Filter::default() };
        assert!(
            wants(method(), &get)
                && !wants(method(), &request("ok", "PUT", "::1"))
                && !wants(method(), &console)
        );
        let header = |name: &str, value: &str| Filter {
            header: Some((name.to_string(), value.to_string())),
            ..Filter::default()
        };
        assert!(wants(header("x-a", ""), &get) && wants(header("x-a", "two"), &get));
        assert!(!wants(header("x-a", "three"), &get) && !wants(header("x-b", ""), &get));
        let search = |text: &str| Filter { search: Some(text.to_string()), ..Filter::default() };
        assert!(
            wants(search("failed"), &console)
                && wants(search("/party/"), &get)
                && !wants(search("none"), &get)
        );
        let ip = |ip: &str| Filter { ips: vec![ip.parse().unwrap()], ..Filter::default() };
        assert!(
            wants(ip("10.0.0.1"), &get) && !wants(ip("10.0.0.2"), &get) && !wants(ip("10.0.0.1"), &console)
        );
        assert!(wants(ip("10.0.0.2"), &json!({ "type": "lost", "count": 3 })), "a gap is told to everybody");
    }

    #[test]
    fn a_share_of_lines_is_about_that_share() {
        let line = json!({ "type": "console" });
        let filter = Filter { rate: Some(0.25), ..Filter::default() };
        let passed = (0..10_000).filter(|count| filter.wants(&line, sample(*count))).count();
        assert!((2400..=2600).contains(&passed), "{passed}");
    }
}

//! `partyrun tail`: follows the log of a deployed project.

use std::io::Write as _;

use serde_json::Value;

use super::client::ClientError;
use super::{HostingError, Target, segment};
use crate::args::{Format, TailArgs};
use crate::output::{escape, escape_lines, json_line};

/// Runs the command, until the host ends it or nobody reads.
pub(crate) fn run(args: &TailArgs) -> Result<(), HostingError> {
    let target = Target::of(&args.which)?;
    let mut query = vec![format!("last={}", args.last)];
    let mut add = |name: &str, value: &str| query.push(format!("{name}={}", segment(value)));
    args.status.iter().for_each(|status| add("status", status));
    args.method.iter().for_each(|method| add("method", method));
    args.ip.iter().for_each(|ip| add("ip", ip));
    args.header.iter().for_each(|header| add("header", header));
    args.search.iter().for_each(|text| add("search", text));
    args.sampling_rate.iter().for_each(|rate| add("sampling_rate", &rate.to_string()));
    let path = target.path(&format!("/tail?{}", query.join("&")));
    let mut connected = false;
    let ended = target.client.lines(&path, |line| {
        let shown = if line.is_empty() {
            let first = !std::mem::replace(&mut connected, true);
            let text = format!("Connected to {}, waiting for logs...", target.shown());
            (first && args.format == Format::Pretty).then_some(text)
        } else {
            shown(line, args)
        };
        let mut out = std::io::stdout().lock();
        shown.is_none_or(|text| writeln!(out, "{text}").and_then(|()| out.flush()).is_ok())
    });
    match ended {
        // A host that stops breaks what it has not ended.
        Ok(()) | Err(ClientError::Broken { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Err(HostingError::Refused(format!(
        "The log of {} ended: the host stopped, or the project was deleted.",
        target.shown()
    )))
}

fn shown(line: &[u8], args: &TailArgs) -> Option<String> {
    let line: Value = serde_json::from_slice(line).ok()?;
    let text = |name: &str| line[name].as_str().unwrap_or_default();
    if !args.debug && text("level") == "debug" {
        return None;
    }
    if args.format == Format::Json {
        return Some(json_line(&line));
    }
    Some(match text("type") {
        "request" => {
            let outcome = match text("outcome") {
                "ok" => "Ok".to_string(),
                "canceled" => "Canceled".to_string(),
                _ => "Error".to_string(),
            };
            let status = line["status"].as_u64().map(|status| format!(" {status}")).unwrap_or_default();
            format!(
                "{} {} - {outcome}{status} @ {}",
                escape(text("method")),
                escape(text("url")),
                escape(text("time"))
            )
        }
        "console" => {
            format!("  ({}) [{}] {}", escape(text("level")), escape(text("from")), escape_lines(text("text")))
        }
        "close" => {
            format!(
                "WebSocket {} closed with {} @ {}",
                escape(text("path")),
                line["code"],
                escape(text("time"))
            )
        }
        "lost" => format!("({} lines were lost because they were not read in time)", line["count"]),
        kind => format!("  ({}) {}", escape(kind), escape_lines(text("text"))),
    })
}

//! `/v1/logs`: the live log as lines of JSON, for as long as the client reads.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http::StatusCode;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::json;

use crate::answer::{Answer, NDJSON, Problem, of_body};
use crate::log::{Filter, LEVELS, Log, News, Reader};
use crate::names::Query;

/// A client that is gone is noticed when a line is sent to it.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(15);
/// Lines that are sent together.
const PIECE_BYTES: usize = 16 << 10;
const KINDS: [&str; 6] = ["console", "note", "warning", "request", "close", "room"];

/// Answers with the lines that are wanted, from now on.
pub(crate) fn follow(log: &Arc<Log>, query: &Query) -> Result<Answer, Problem> {
    let levels = LEVELS.map(|level| (level, Some(level)));
    let kinds: Vec<String> =
        query.get("type").into_iter().flat_map(|kinds| kinds.split(',')).map(str::to_owned).collect();
    if let Some(other) = kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        return Err(Problem::bad(format!("There is no type `{other}`. There are: {}.", KINDS.join(", "))));
    }
    let filter = Filter {
        kinds,
        level: query.choice("level", &levels, None)?,
        party: query.get("party").map(str::to_owned),
        room: query.get("room").map(str::to_owned),
    };
    let tail = match query.get("tail").map(str::parse) {
        None => 0,
        Some(Ok(tail)) => tail,
        Some(Err(_)) => return Err(Problem::bad("`tail` is a number of lines.")),
    };
    let reader = log.follow(filter, tail);
    // The first line says that the log is followed: what is printed from now on will come.
    let lines = unfold((reader, true), |(reader, first)| async move {
        let piece = if first { line(&json!({ "type": "following" })) } else { next(&reader).await };
        Some((Ok(Frame::data(piece)), (reader, false)))
    });
    Ok(of_body(StatusCode::OK, NDJSON, StreamBody::new(lines).boxed_unsync()))
}

async fn next(reader: &Reader) -> Bytes {
    loop {
        let mut piece = Vec::new();
        while piece.len() < PIECE_BYTES
            && let Some(news) = reader.take()
        {
            let text = match news {
                News::Line(news) => serde_json::to_vec(&*news).unwrap_or_default(),
                News::Lost(count) => json!({ "type": "lost", "count": count }).to_string().into_bytes(),
            };
            piece.extend_from_slice(&text);
            piece.push(b'\n');
        }
        if !piece.is_empty() {
            return piece.into();
        }
        if tokio::time::timeout(SIGN_OF_LIFE_EVERY, reader.wait()).await.is_err() {
            return line(&json!({ "type": "alive" }));
        }
    }
}

fn line(value: &serde_json::Value) -> Bytes {
    format!("{value}\n").into()
}

//! Live reload: pages that listen hear of every client build (spec 5.2).
//!
//! `GET /__partyrun__/reload` is a stream of server-sent events in development; `change` means that there is something
//! new, and `problem` that the last build failed, with the message as a JSON string. The original has this on a port of
//! its own, and says nothing of problems.

use std::sync::Arc;

use http::{HeaderValue, header};
use partyrun_net::{Body, BodyStream, BodyWriter, Request, Response};
use tokio::sync::watch;

/// The path of the event stream on which pages wait for a reload.
pub const RELOAD_PATH: &str = "/__partyrun__/reload";

/// Events that may wait for a slow page. All say the same, so one would do.
const EVENTS_WAITING_MAX: usize = 4;

/// Tells pages that there is something new.
#[derive(Clone, Debug)]
pub struct Reload {
    said: watch::Sender<Said>,
}

/// How often each thing was said, and what is wrong now.
#[derive(Clone, Debug, Default)]
struct Said {
    builds: u64,
    ends: u64,
    problem: Option<Arc<str>>,
}

impl Default for Reload {
    fn default() -> Self {
        Self { said: watch::Sender::new(Said::default()) }
    }
}

impl Reload {
    /// Tells all pages that listen to reload: a build has worked.
    pub fn tell(&self) {
        self.said.send_modify(|said| {
            said.builds += 1;
            said.problem = None;
        });
    }

    /// Says that the last build failed, until there is something new.
    pub fn tell_problem(&self, text: &str) {
        let text: Arc<str> = text.into();
        self.said.send_modify(|said| said.problem = Some(text));
    }

    /// Ends all streams of now, so that a server that stops need not wait for them.
    pub fn end(&self) {
        self.said.send_modify(|said| said.ends += 1);
    }

    /// The answer to a page that wants to listen.
    pub(crate) fn listen(&self, request: &Request) -> Response {
        if request.method != http::Method::GET {
            return Response::text(405, "Use GET.");
        }
        let (writer, stream) = BodyStream::channel(EVENTS_WAITING_MAX, None);
        tokio::spawn(send(self.said.subscribe(), writer));
        let mut response = Response::new(200, Body::Stream(stream));
        let headers = &mut response.headers;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // A page of another origin may have loaded the bundle.
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }
}

async fn send(mut said: watch::Receiver<Said>, writer: BodyWriter) {
    let Said { ends, mut builds, problem } = said.borrow_and_update().clone();
    // The first line reaches the page at once and says how soon to come back after a restart.
    let first = format!("retry: 500\n\n{}", problem.map(|text| problem_event(&text)).unwrap_or_default());
    if writer.write(first.into()).await.is_err() {
        return;
    }
    loop {
        let changed = tokio::select! {
            changed = said.changed() => changed,
            () = writer.closed() => return,
        };
        let now = said.borrow_and_update().clone();
        if changed.is_err() || now.ends != ends {
            // A page that has left does not need the end.
            let _gone = writer.finish().await;
            return;
        }
        let event = match now.problem {
            Some(text) => problem_event(&text),
            None if now.builds != builds => "event: change\ndata: {}\n\n".to_string(),
            None => continue,
        };
        builds = now.builds;
        if writer.write(event.into()).await.is_err() {
            return;
        }
    }
}

// JSON keeps the text on one line, as an event's data must be.
fn problem_event(text: &str) -> String {
    format!("event: problem\ndata: {}\n\n", serde_json::Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_hears_of_a_build_and_of_the_end() {
        let reload = Reload::default();
        let (writer, mut stream) = BodyStream::channel(EVENTS_WAITING_MAX, None);
        tokio::spawn(send(reload.said.subscribe(), writer));
        assert_eq!(stream.next().await, Some(Ok("retry: 500\n\n".into())));
        reload.tell();
        assert_eq!(stream.next().await, Some(Ok("event: change\ndata: {}\n\n".into())));
        reload.tell_problem("a\nb");
        let problem = Some(Ok("event: problem\ndata: \"a\\nb\"\n\n".into()));
        assert_eq!(stream.next().await, problem);
        // Who comes later hears of it, too.
        let (later, mut late) = BodyStream::channel(EVENTS_WAITING_MAX, None);
        tokio::spawn(send(reload.said.subscribe(), later));
        assert_eq!(late.next().await, Some(Ok("retry: 500\n\nevent: problem\ndata: \"a\\nb\"\n\n".into())));
        reload.tell();
        assert_eq!(late.next().await, Some(Ok("event: change\ndata: {}\n\n".into())));
        assert_eq!(stream.next().await, Some(Ok("event: change\ndata: {}\n\n".into())));
        reload.end();
        assert_eq!(stream.next().await, None);
    }
}

//! Questions to an engine of our own, whose rooms run a program of ours: JSON goes in as a request, and a text comes back.

use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use http::{HeaderMap, Method};
use partyrun_engine::{Engine, Level, Observer, Source};
use partyrun_net::{Body, Request, RequestUrl, Response};
use partyrun_store::RoomKey;
use serde_json::Value;

/// Asks a room; answers the status and the text of its response. A body that breaks off is what came of it.
pub(crate) async fn ask(engine: &Engine, room: RoomKey, question: &Value) -> (u16, String) {
    let Some(url) = RequestUrl::parse("http://localhost/party/room") else {
        return (500, "no URL".to_string());
    };
    let request = Request {
        method: Method::POST,
        url,
        headers: HeaderMap::new(),
        version: http::Version::HTTP_11,
        body: Body::Full(question.to_string().into()),
        peer: SocketAddr::from(([127, 0, 0, 1], 0)),
        upgrade: None,
        client: None,
    };
    let response = engine.room(room, request).await;
    let mut bytes = Vec::new();
    let _broken = response.body.gather(&mut bytes).await;
    (response.status, String::from_utf8_lossy(&bytes).into_owned())
}

/// Prints nothing: what ended a room is its answer.
pub(crate) struct Silent;

impl Observer for Silent {
    fn console(&self, _source: &Source, _level: Level, _text: &str) {}

    fn assets(&self, _path: String) -> BoxFuture<'static, Option<Response>> {
        Box::pin(async { None })
    }
}

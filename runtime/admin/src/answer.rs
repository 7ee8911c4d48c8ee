//! What is answered: JSON, lines of JSON, or an error as one object with a code for programs and a sentence for people.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use partyrun_engine::AskError;
use partyrun_store::{StorageError, StoreError};
use serde::Serialize;
use serde_json::json;

/// The body of every answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// An answer.
pub(crate) type Answer = Response<Body>;

/// Lines of JSON.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// For programs; it never changes.
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// What was asked cannot be understood.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// There is no such thing.
    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The room, or its thread, does not come to it in time.
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        let message = format!("{error}.");
        match error {
            AskError::Busy => Self::busy(
                "The room is busy: an event of it, or of another room of its thread, has not ended (limit \
                 `admin_answer_time_max`). Nothing was changed.",
            ),
            AskError::Changed => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "changed",
                "The value was changed meanwhile. Read it again.",
            ),
            AskError::Storage(error) => error.into(),
            AskError::Gone(why) => {
                Self::new(StatusCode::CONFLICT, "reset", format!("The room was reset: {why}"))
            }
            AskError::Stopping => Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", message),
        }
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Store(error) => error.into(),
            other => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", other.to_string()),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store", format!("The store cannot be read: {error}"))
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let value = json!({ "error": { "code": problem.code, "message": problem.message } });
        let mut answer = json_with(problem.status, &value);
        if problem.status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

/// 200 with JSON.
pub(crate) fn json(value: &impl Serialize) -> Answer {
    json_with(StatusCode::OK, value)
}

/// A status with JSON.
pub(crate) fn json_with(status: StatusCode, value: &impl Serialize) -> Answer {
    // None of these values has a key that is no text, which is all that could fail.
    let text = serde_json::to_string(value).unwrap_or_default();
    plain(status, "application/json", text)
}

/// A status with a body of a type. Nothing of it is to be kept, guessed at or shown in a frame.
pub(crate) fn plain(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).boxed_unsync();
    of_body(status, content_type, body)
}

/// The same with a body that comes in pieces.
pub(crate) fn of_body(status: StatusCode, content_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let fixed = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Nothing more to say.
pub(crate) fn done() -> Answer {
    plain(StatusCode::NO_CONTENT, "application/json", Bytes::new())
}

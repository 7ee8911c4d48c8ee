//! The local stand-ins for what the hosted platform kept elsewhere: key-value namespaces, object buckets, vector indexes
//! (spec 2.14). Knows nothing of JavaScript: a [`Call`] names kind, binding and method and carries its arguments as JSON,
//! a [`Reply`] carries the result as JSON, and large bytes travel beside both.
//!
//! All of it lies in one SQLite database, `bindings.sqlite` in the data folder, apart from the rooms' own. One thread owns
//! it; a call's answer comes when its change is durable. [`Bindings::close`] leaves one file. The
//! JavaScript halves are `js/55_kv.js`, `js/56_r2.js` and `js/57_vectorize.js`.

mod arguments;
mod database;
mod kv;
mod r2;
mod vectorize;

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use partyrun_limits::Limits;
use rusqlite::Connection;
use tokio::sync::oneshot;

pub use database::{DATABASE_FILE, verify};

/// One call of a binding's method.
#[derive(Debug)]
pub struct Call {
    /// `kv`, `r2` or `vectorize`.
    pub kind: String,
    /// What the configuration binds the name to: namespaces with the same value are the same.
    pub binding: String,
    /// The method that the room called, such as `get` or `put`.
    pub method: String,
    /// Its arguments, as JSON.
    pub arguments: String,
    /// The value that is stored, if the method stores one.
    pub bytes: Option<Bytes>,
}

/// The result of a call. What the call changed is durable when its caller has this.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The result, as JSON.
    pub json: String,
    /// The stored value, if the method reads one.
    pub bytes: Option<Bytes>,
}

/// Why a call failed; the text is what user code sees.
#[derive(Debug, thiserror::Error)]
pub enum BindingError {
    /// The caller's mistake, in the words of the original.
    #[error("{0}")]
    Refused(String),
    /// The database failed.
    #[error("the local bindings cannot be used: {0}")]
    Database(#[from] rusqlite::Error),
    /// The JavaScript half and this crate do not agree.
    #[error("the binding call is not understood: {0}")]
    Arguments(#[from] serde_json::Error),
    /// The process is stopping.
    #[error("the server is stopping")]
    Closed,
}

impl BindingError {
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }
}

type Answer = oneshot::Sender<Result<Reply, BindingError>>;

enum Message {
    Call(Call, Answer),
    Close,
}

/// The open bindings of a project. Clones are the same.
#[derive(Clone)]
pub struct Bindings {
    messages: Sender<Message>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Bindings {
    /// Opens the database in `folder`, or one in memory.
    pub fn open(folder: Option<&Path>, limits: Arc<Limits>) -> Result<Self, BindingError> {
        let connection = database::open(folder)?;
        let (messages, received) = channel();
        let thread = std::thread::Builder::new()
            .name("bindings".to_string())
            .spawn(move || serve(connection, &limits, &received))
            .map_err(|error| BindingError::refused(format!("a thread cannot be started: {error}")))?;
        Ok(Self { messages, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Runs a call; what it changed is durable when it answers.
    pub async fn call(&self, call: Call) -> Result<Reply, BindingError> {
        let (answer, answered) = oneshot::channel();
        self.messages.send(Message::Call(call, answer)).map_err(|_| BindingError::Closed)?;
        answered.await.map_err(|_| BindingError::Closed)?
    }

    /// Finishes the calls given so far and closes the database. Later calls fail.
    pub fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It fails only if the thread has ended already.
        let _gone = self.messages.send(Message::Close);
        if let Some(thread) = thread {
            drop(thread.join());
        }
    }
}

// Dropping the connection, the only one, moves the log into the database and removes it.
fn serve(mut connection: Connection, limits: &Limits, messages: &Receiver<Message>) {
    while let Ok(Message::Call(call, answer)) = messages.recv() {
        // Who asked may be gone.
        let _gone = answer.send(run(&mut connection, limits, &call));
    }
}

fn run(connection: &mut Connection, limits: &Limits, call: &Call) -> Result<Reply, BindingError> {
    let transaction = connection.transaction()?;
    let reply = match call.kind.as_str() {
        "kv" => kv::call(&transaction, limits, call),
        "r2" => r2::call(&transaction, limits, call),
        "vectorize" => vectorize::call(&transaction, limits, call),
        other => Err(BindingError::refused(format!("there is no binding of the kind {other}"))),
    }?;
    transaction.commit()?;
    Ok(reply)
}

impl Reply {
    pub(crate) fn json(value: &impl serde::Serialize) -> Result<Self, BindingError> {
        Ok(Self { json: serde_json::to_string(value)?, bytes: None })
    }
}

fn now_ms() -> i64 {
    partyrun_clock::now_ms()
}

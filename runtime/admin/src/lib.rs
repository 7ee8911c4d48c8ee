//! The administrative API: what runs in a server, for whoever operates it, as JSON over HTTP on a listener of its own.
//!
//! [`Admin::listen`] opens the listener and answers on a thread of its own; [`Admin::attach`] says which server it is about,
//! and [`Admin::detach`] that there is none for now. Every route is a row of `routes.rs` and of `openapi.json`. A question about
//! a room is a message to the room's own thread and is waited for during `admin_answer_time_max`; nothing here locks what a
//! room uses, and nothing brings a room into memory to look at it. What is asked of the listener passes `guard.rs` first.
//! The dashboard (`dashboard.rs`) is a page that uses the same routes.

mod answer;
mod cursor;
mod dashboard;
mod guard;
mod health;
mod history;
mod inquiry;
mod listen;
mod log;
mod names;
mod process;
mod room_file;
mod rooms;
mod routes;
mod schedule;
mod storage;
mod stream;
mod target;
mod values;

pub use listen::{Address, AddressError, Admin, Listening};
pub use log::{Log, LogLine};
pub use routes::{OPENAPI, ROUTES};
pub use target::{Control, Extra, Health, Options, Page, Release, Target};
pub use values::{Shown, Values, ValuesError};

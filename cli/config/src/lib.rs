//! What a project means: flags, configuration file and environment files, read once into one [`Config`].
//!
//! The command line fills a [`Request`] and calls [`load`]. No code behind that asks again where a value came from. One
//! table ([`field::FIELDS`]) says which fields exist: it drives validation, [`schema`] and the documentation. Every
//! mistake is returned as a [`ConfigError`] that names file, line, column, field and remedy. This crate prints nothing:
//! what users should know is in `Config::notes` and `Config::warnings`. The behaviour of the original is described in
//! spec 4, 5.2 and 6.2.

mod check;
mod config;
mod cron;
mod discover;
mod document;
mod dotenv;
mod environment;
pub mod field;
mod file;
mod host;
mod merge;
mod near;
mod origin;
mod problem;
mod reference;
mod schema;
#[cfg(test)]
mod tests;
mod validate;

pub use config::{Ai, Bindings, Build, ClientBuild, Compression, Config, Cors, Persist, Serve};
pub use discover::Source;
pub use dotenv::parse as parse_dotenv;
pub use file::Format;
pub use host::Host;
pub use merge::{Overrides, Request, load};
pub use problem::{ConfigError, Problem, Spot};
pub use reference::reference;
pub use schema::schema;

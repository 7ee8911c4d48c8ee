//! Static files: which file answers a path, and with which status, headers and body.
//!
//! The HTTP front calls [`Assets::lookup`] for paths without a room, and [`Assets::not_found`] when nothing else
//! answers. The engine calls [`Assets::fetch`] for `assets.fetch(path)`. Which file answers follows the original (spec
//! 1.7); validators, ranges and encodings follow RFC 9110. Nothing outside the root is ever opened, hidden files are not
//! served, and a refused path is a miss like any other, so no answer reveals whether or where a file exists.
//!
//! Files are checked for each request, so they may change, be replaced or vanish at any time. Calls block on the disk,
//! and the first time on compression: call them where blocking is allowed. [`Assets::lookup_at_once`] and
//! [`read_at_once`] never block; they report when it would be needed.

mod cache;
mod conditional;
mod error;
mod lookup;
mod mime;
mod path;
mod range;
mod root;
mod select;
#[cfg(test)]
mod tests;

pub use error::AssetsError;
pub use lookup::{AssetReply, Assets, Body, Options};
pub use root::read_at_once;

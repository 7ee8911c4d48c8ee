//! Compressed messages on WebSockets: permessage-deflate (RFC 7692).
//!
//! `offer.rs` decides what both sides agree on, `codec.rs` packs and unpacks messages. Unless `contextTakeover` is asked for,
//! each message stands for itself, so that nothing of a compressor is kept for a socket: a thread has one compressor and one
//! decompressor, which all its sockets use. With context takeover a socket keeps the last messages as bytes, its *history*
//! (32 KiB at most in each direction), and the thread's compressor is told of them before each message.
//!
//! The compressor is zlib-rs by way of `flate2`: it is in the program already (for gzip and `node:zlib`), has a safe API with
//! window sizes and dictionaries, and is as fast as zlib-ng.

mod agreed;
mod codec;
mod offer;

pub use agreed::{Agreed, Compression};
pub(crate) use codec::{packed_bytes_max, remember, unpack, with_packed};
pub(crate) use offer::{OFFER, Unasked, accepted, agree};

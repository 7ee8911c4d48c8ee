//! The Rust half of Node's built-in modules (`js/node/`), registered lazily: see [`lazy`].

mod buffer;
mod lazy;
mod names;
mod net;
mod table;
mod zlib;

pub(crate) use lazy::declaration;

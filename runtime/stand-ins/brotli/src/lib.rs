//! `brotli` 6 as far as it is used: what brotli 9 declares.

pub use newer::*;

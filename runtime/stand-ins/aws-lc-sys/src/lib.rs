//! `aws-lc-sys` 0.40 as far as it is used: what 0.47 declares.

pub use newer::*;

//! The command as people use it: a terminal, a debugger, a file that is built and served, a server that dies.
//!
//! How: each test runs the binary in a temporary project on a free port and waits for what it prints. Clients are Node
//! programs in `clients/`, which use the packages of `tests/`; where those are not installed, the test says that it is
//! skipped, or fails with `PARTYRUN_TESTS=all`. A process is killed with its group when its test ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of tests that panics has failed its test"
)]

mod acme;
mod admin;
mod altered;
mod assets;
mod backup;
mod backup_s3;
mod bounds;
mod broken;
mod clients;
mod command;
mod compression;
mod dashboard;
mod debugger;
mod deploy;
mod documents;
mod ends;
mod errors;
mod host;
mod hostile;
mod http2;
mod https;
mod import;
mod init;
mod isolates;
mod keys;
mod lanes;
mod limits;
mod listen;
mod metrics;
mod moves;
mod node_table;
mod origins;
mod otlp;
mod outbound;
mod package;
mod places;
mod proxies;
mod raw;
mod reach;
mod reload;
mod room_cost;
mod serve;
mod storage;
mod strangers;
mod support;
mod testing;
mod time;
mod tls;
mod upgrade;

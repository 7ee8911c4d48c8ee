//! The conformance instrument: fixtures as data, run against partyrun and against the original.
//!
//! A fixture is a small real PartyKit project with cases beside it (`tests/FORMAT.md`). The way through the code:
//! `data` reads JSON5 and remembers lines, `case` turns it into steps, `schedule` gives every case a server,
//! `execute` walks the steps with `socket` and `request`, `report` prints.
//!
//! Invariant: nothing here links partyrun or V8. Servers are child processes, known by their output and sockets only,
//! so a defect of ours cannot hide on both ends of a connection.

pub mod bench;
pub mod case;
pub mod context;
pub mod coverage;
pub mod data;
pub mod differences;
pub mod documents;
pub mod execute;
pub mod fixture;
pub mod frame;
pub mod matcher;
pub mod program;
pub mod project;
pub mod report;
pub mod request;
pub mod running;
pub mod runtime;
pub mod schedule;
pub mod server;
pub mod socket;
pub mod step;
pub mod third_party;
pub mod variables;
pub mod wpt;

//! The benchmark: the same project and the same load, on partyrun and the original in turn.
//!
//! `contender` starts a server in its own process group, `client` and `load` are the load generator (one thread, one
//! poller), `usage` reads what the server's processes have used, `figures` defines and measures each figure, `table`
//! prints. Throughput is per CPU-second of all processes of the server, because other programs on the machine hardly
//! change that. No ratio is given where the load generator was the slower side.

pub mod client;
pub mod contender;
pub mod editor;
pub mod figures;
pub mod files;
pub mod load;
pub mod rooms;
pub mod secured;
pub mod table;
pub mod usage;

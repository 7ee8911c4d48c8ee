//! The benchmark: the same project, the same load, partyrun and the original in turn.
//!
//! `contender` starts a server as a process group of its own, `client` and `load` are the load generator (one thread,
//! one poller), `usage` reads what the server's processes have used, `figures` names what is measured and measures it,
//! `table` prints. Figures of throughput count per CPU-second of all processes of the server: other programs on the
//! machine hardly move them. A ratio is refused where the load generator was the slower side.

pub mod client;
pub mod contender;
pub mod figures;
pub mod files;
pub mod load;
pub mod rooms;
pub mod table;
pub mod usage;

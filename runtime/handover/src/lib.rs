//! What one server process tells the next one when that takes over: the line between them, and the words of the protocol.
//!
//! The line is a Unix socket pair that the supervisor makes. Descriptors travel with the messages (`SCM_RIGHTS`): listeners,
//! the lock of the data folder, the sockets of rooms that hibernate. The conversation, N for the new process and O for the old:
//!
//! 1. N greets, O gives its listeners. Then N loads the project and tries it. N says that it is prepared.
//! 2. O accepts nothing more, lets what is in progress end, and gives N what [`Said::Lock`] to [`Said::End`] name.
//! 3. N opens the data and says that it is ready. O closes what is left of it, and says [`Said::Commit`]. N serves.
//!
//! Until step 3 either side may end or say [`Said::Abort`]: O then goes on as before. If O ends without a word, N takes over what
//! it has, because nobody else has it any more; it looks whether O's process is really gone. Where the versions differ, O stops
//! in an orderly way after step 1, which is how N learns that it may begin: the listeners pass between any two versions, sockets
//! between equal ones.
//!
//! Nothing that arrives is believed: lengths are bounded, numbers of descriptors are compared, texts must be UTF-8.

mod bytes;
mod line;
mod words;

pub use line::{Line, LineError, pass, take};
pub use words::{Greeting, Passenger, Room, Said, VERSION, Visit};

//! Style sheets: read one by one, bundled into one sheet for each entry.
//!
//! A sheet is parsed by lightningcss. Its imports are followed and its `url(...)` resolved as the imports of code are,
//! by the configured loaders; addresses on a server (`/x.png`, `https://...`) stay as they are.

mod map;
pub(crate) mod order;
mod read;
mod scan;
pub(crate) mod sheet;

pub(crate) use read::read;

//! How often a client, a header's value or a route may come, for all workers of a pod together.

mod check;
mod clock;
pub(crate) mod keys;
mod policy;
pub mod table;

pub(crate) use check::{Counting, Outcome};
pub use clock::Clock;
pub(crate) use policy::{Limit, compile};
pub use policy::{LimitSettings, MOST_LIMITS};

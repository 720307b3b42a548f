//! How often a client, a header's value or a route may come, for all workers of a pod together.

mod clock;
pub mod table;

pub use clock::Clock;

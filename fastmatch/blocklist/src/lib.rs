//! Entries to an index of networks and domains, and the verdict for one subject.
#![deny(unsafe_code)]

mod list;
pub mod memory;
mod name;
mod verdict;

pub use list::{Blocklist, Clock, HostLookup};
pub use name::NameError;
pub use verdict::{Disposition, VerdictRef};

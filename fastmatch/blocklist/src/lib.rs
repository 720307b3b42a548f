//! Entries to an index of networks and domains, and the verdict for one subject.
//!
//! `Builder` collects, `Blocklist` is frozen: shared behind an `Arc`, read without locks. Nothing here does I/O besides
//! mapping and publishing list files, and nothing panics on input.
#![deny(unsafe_code)]

pub mod address;
mod batch;
mod block;
mod builder;
mod chains;
mod compile;
mod coverage;
#[cfg(test)]
mod damage;
mod decision;
mod domains;
mod entry;
mod evidence;
mod explain;
mod facts;
mod files;
mod fold;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod hostile_heads;
#[cfg(test)]
mod hostile_packs;
mod image;
mod index4;
mod index6;
mod labels;
mod list;
mod lookup;
pub mod memory;
mod name;
mod network;
mod order;
mod pack;
mod rank;
mod render;
mod rule;
mod sections;
mod simd;
mod sweep;
mod target;
mod text;
mod tiebreak;
mod unpack;
mod verdict;

pub use batch::{Batch, NO_DOMAIN};
pub use builder::{Builder, TooLarge};
pub use compile::{Stamp, TombstoneInBase};
pub use entry::{Entry, MAX_SCORE_TENTHS, Origin, Statement, StatementError, score_tenths};
pub use explain::{Covering, Explanation, NoEvidence, Subject};
pub use fold::FoldError;
pub use image::ImageError;
pub use list::{Blocklist, Clock, Stats};
pub use lookup::HostLookup;
pub use name::{Name, NameError};
pub use pack::{PackError, PackRule, pack};
pub use sections::SectionSize;
pub use target::{Rule, Target, TargetError};
pub use text::{Format, ListOptions, LoadReport, Rejected};
pub use unpack::{Limits, unpack};
pub use verdict::{Disposition, VerdictRef};

//! A list back into a builder: how an overlay becomes part of the next base.

use std::fmt;
use std::sync::Arc;

use rapidhash::RapidHashMap;

use crate::builder::{Builder, TooLarge};
use crate::entry::Statement;
use crate::explain::NoEvidence;
use crate::list::Blocklist;

/// Why a list's entries cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoldError {
    NoEvidence,
    TooLarge,
}

impl fmt::Display for FoldError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEvidence => NoEvidence.fmt(formatter),
            Self::TooLarge => TooLarge.fmt(formatter),
        }
    }
}

impl std::error::Error for FoldError {}

impl From<NoEvidence> for FoldError {
    fn from(_: NoEvidence) -> Self {
        Self::NoEvidence
    }
}

impl From<TooLarge> for FoldError {
    fn from(_: TooLarge) -> Self {
        Self::TooLarge
    }
}

impl Builder {
    /// Adds every entry of a list: the base's without what the overlay removes, and the overlay's.
    pub fn add_list(&mut self, list: &Blocklist) -> Result<(), FoldError> {
        // By address: the million lines of a feed share a statement, which is then read once. Kept, so that no address is
        // used twice.
        let mut facts: RapidHashMap<*const Statement, (Arc<Statement>, u32)> =
            RapidHashMap::default();
        for entry in list.entries()? {
            let statement = &entry.statement;
            let (_, fact) = facts
                .entry(Arc::as_ptr(statement))
                .or_insert_with(|| (Arc::clone(statement), self.facts.number(statement)));
            let fact = *fact;
            self.add_target(&entry.target, fact)?;
        }
        Ok(())
    }
}

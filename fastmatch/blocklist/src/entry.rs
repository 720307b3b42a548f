//! One source's statement about one target, checked.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::target::Target;
use crate::verdict::Disposition;

pub const MAX_LABEL_BYTES: usize = 255;
pub const MAX_LABELS: usize = 64;
pub const MAX_REASON_BYTES: usize = 4096;
pub const MAX_SCORE_TENTHS: u8 = 100;

/// Who speaks. The order is that of the last tie-break: the first wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Origin {
    Operator = 0,
    Incident = 1,
    Feed = 2,
}

impl Origin {
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Operator, Self::Incident, Self::Feed]
            .get(usize::from(code))
            .copied()
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Incident => "incident",
            Self::Feed => "feed",
        }
    }
}

/// Everything an entry says besides its target. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Statement {
    pub disposition: Disposition,
    pub origin: Origin,
    pub score_tenths: u8,
    pub sources: Box<[Box<str>]>,
    pub categories: Box<[Box<str>]>,
    pub reason: Box<str>,
    pub first_seen: Option<NonZeroU32>,
    pub last_seen: Option<NonZeroU32>,
    pub expires: Option<NonZeroU32>,
}

/// What an entry may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementError {
    Score,
    KnownGoodExpires,
    TombstoneExpires,
    TombstoneCategories,
    TooManyLabels,
    LabelLength,
    ReasonLength,
}

impl fmt::Display for StatementError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Score => "the score is not between 0 and 10",
            Self::KnownGoodExpires => "a known_good entry does not expire",
            Self::TombstoneExpires => "a tombstone does not expire",
            Self::TombstoneCategories => "a tombstone has no categories",
            Self::TooManyLabels => "more than 64 sources or categories",
            Self::LabelLength => "a source or category is empty or longer than 255 bytes",
            Self::ReasonLength => "the reason is longer than 4096 bytes",
        })
    }
}

impl std::error::Error for StatementError {}

impl Statement {
    /// Sorts and deduplicates the sets; only a block has a score.
    pub fn checked(mut self) -> Result<Self, StatementError> {
        if self.score_tenths > MAX_SCORE_TENTHS {
            return Err(StatementError::Score);
        }
        if self.disposition != Disposition::Block {
            self.score_tenths = 0;
        }
        if self.disposition == Disposition::KnownGood && self.expires.is_some() {
            return Err(StatementError::KnownGoodExpires);
        }
        if self.disposition == Disposition::Tombstone {
            if self.expires.is_some() {
                return Err(StatementError::TombstoneExpires);
            }
            if !self.categories.is_empty() {
                return Err(StatementError::TombstoneCategories);
            }
        }
        if self.reason.len() > MAX_REASON_BYTES {
            return Err(StatementError::ReasonLength);
        }
        self.sources = as_set(self.sources)?;
        self.categories = as_set(self.categories)?;
        Ok(self)
    }

    pub fn is_live(&self, now: u64) -> bool {
        self.expires
            .is_none_or(|expires| u64::from(expires.get()) > now)
    }
}

/// 0-10 to the nearest tenth; None outside of that.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked"
)]
pub fn score_tenths(score: f64) -> Option<u8> {
    (0.0..=10.0)
        .contains(&score)
        .then(|| (score * 10.0).round() as u8)
}

fn as_set(labels: Box<[Box<str>]>) -> Result<Box<[Box<str>]>, StatementError> {
    if labels
        .iter()
        .any(|label| label.is_empty() || label.len() > MAX_LABEL_BYTES)
    {
        return Err(StatementError::LabelLength);
    }
    let mut labels = labels.into_vec();
    labels.sort_unstable();
    labels.dedup();
    if labels.len() > MAX_LABELS {
        return Err(StatementError::TooManyLabels);
    }
    Ok(labels.into_boxed_slice())
}

/// Entries that say the same share their statement: a small pack must not unpack to gigabytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub target: Target,
    pub statement: Arc<Statement>,
}

impl Entry {
    pub fn is_tombstone(&self) -> bool {
        self.statement.disposition == Disposition::Tombstone
    }

    /// Whether we are a tombstone that removes `other` from the base.
    pub fn removes(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.statement, &other.statement);
        self.is_tombstone()
            && self.target == other.target
            && ours.origin == theirs.origin
            && (ours.sources.is_empty()
                || theirs
                    .sources
                    .iter()
                    .all(|source| ours.sources.contains(source)))
    }
}

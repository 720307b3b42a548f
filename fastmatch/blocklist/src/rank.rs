//! What decides between two entries that cover one subject.

use crate::entry::{MAX_SCORE_TENTHS, Origin};
use crate::verdict::Disposition;

/// [disposition | score in tenths << 8, attributes]
pub(crate) type VerdictRecord = [u32; 2];

/// What an entry does in its chain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Blocks or allows.
    Candidate,
    KnownGood,
    Tombstone,
}

/// specificity (16 bits), origin (2), kind (2)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(pub u32);

impl Mark {
    /// The specificity comes with the target.
    pub fn new(origin: Origin, disposition: Disposition) -> Self {
        let kind = match disposition {
            Disposition::Block | Disposition::Allow => 0,
            Disposition::KnownGood => 1,
            Disposition::Tombstone => 2,
        };
        Self((origin as u32) << 16 | kind << 18)
    }

    pub fn with_specificity(self, specificity: u16) -> Self {
        Self(self.0 | u32::from(specificity))
    }

    #[inline]
    fn origin(self) -> u32 {
        self.0 >> 16 & 3
    }

    #[inline]
    pub fn kind(self) -> Kind {
        match self.0 >> 18 & 3 {
            0 => Kind::Candidate,
            1 => Kind::KnownGood,
            _ => Kind::Tombstone,
        }
    }

    /// Whether an entry of each had one target and one origin, given that both cover one subject.
    pub fn is_beside(self, other: Self) -> bool {
        self.0 & 0x3_ffff == other.0 & 0x3_ffff
    }
}

#[inline]
pub(crate) fn disposition_of(verdict: VerdictRecord) -> Disposition {
    if verdict[0] & 0xff == Disposition::Allow as u32 {
        Disposition::Allow
    } else {
        Disposition::Block
    }
}

#[inline]
pub(crate) fn score_tenths_of(verdict: VerdictRecord) -> u8 {
    verdict[0].to_le_bytes()[1].min(MAX_SCORE_TENTHS)
}

/// A larger strength decides: allow (1 bit), score (7), specificity (16), origin (2), and within one list the number of the
/// verdict, as verdicts are numbered by sources, then categories (38).
#[inline]
pub(crate) fn strength(record: VerdictRecord, mark: Mark, verdict: u32) -> u64 {
    let allow = u64::from(disposition_of(record) == Disposition::Allow);
    let origin = u64::from(3 - mark.origin());
    allow << 63
        | u64::from(score_tenths_of(record)) << 56
        | u64::from(mark.0 & 0xffff) << 40
        | origin << 38
        | u64::from(u32::MAX - verdict)
}

/// What of a strength means the same in every list.
pub(crate) fn beyond_list(strength: u64) -> u64 {
    strength >> 38
}

#[inline]
pub(crate) fn can_be_vetoed(record: VerdictRecord, mark: Mark) -> bool {
    mark.origin() == Origin::Feed as u32 && disposition_of(record) == Disposition::Block
}

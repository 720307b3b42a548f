//! What the lists say about one subject.

use crate::decision::Decision;

/// What an entry or a verdict asks for. A verdict is `Block` or `Allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Disposition {
    Block = 0,
    /// An operator's, wins always.
    Allow = 1,
    /// Vetoes feeds' blocks on what it covers.
    KnownGood = 2,
    /// In an overlay: removes from the base the entries with the same target and origin whose sources it all names; without
    /// sources, whatever theirs are. It is not an entry of the list that base and overlay make.
    Tombstone = 3,
}

impl Disposition {
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Block, Self::Allow, Self::KnownGood, Self::Tombstone]
            .get(usize::from(code))
            .copied()
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Allow => "allow",
            Self::KnownGood => "known_good",
            Self::Tombstone => "tombstone",
        }
    }
}

/// One verdict of a list; valid as long as the list.
#[derive(Clone, Copy)]
pub struct VerdictRef<'a> {
    decision: &'a Decision,
    /// Its place in `decision`.
    number: u32,
    /// Verdicts of the base before it when it is the overlay's.
    offset: u32,
}

impl<'a> VerdictRef<'a> {
    #[inline]
    pub(crate) fn new(decision: &'a Decision, number: u32, offset: u32) -> Self {
        Self {
            decision,
            number,
            offset,
        }
    }

    /// Stable within one `Blocklist`: see `Blocklist::verdict`.
    #[inline]
    pub fn id(&self) -> u32 {
        self.offset.wrapping_add(self.number)
    }

    #[inline]
    pub fn disposition(&self) -> Disposition {
        self.decision.ruling.disposition(self.number)
    }

    /// 0-100; 0 for an allow.
    #[inline]
    pub fn score_tenths(&self) -> u8 {
        self.decision.ruling.score_tenths(self.number)
    }

    pub fn categories(&self) -> impl ExactSizeIterator<Item = &'a str> + use<'a> {
        self.decision.ruling.categories(self.number)
    }

    /// Sources of the entry that decided.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = &'a str> + use<'a> {
        self.decision.ruling.sources(self.number)
    }
}

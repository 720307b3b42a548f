//! The one rule for verdicts, at lookup: a chain and the clock to the entry that decides.
//!
//! | section | per chain or verdict |
//! |---|---|
//! | heads | [verdict of the strongest entry and two flags, its expiry] |
//! | links | [verdict or attributes, expiry, mark, chain of the rest] of the first entry |
//! | verdicts | [disposition and score, attributes], in the order of the last tie-break |
//!
//! An expiry of 0 is none. A link leads to a chain with a smaller number, so a walk ends whatever the tables contain.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::image::{Image, ImageError, SectionId};
use crate::labels::Labels;
use crate::memory::Table;
use crate::rank::{
    Kind, Mark, VerdictRecord, beyond_list, can_be_vetoed, disposition_of, score_tenths_of,
    strength,
};
use crate::verdict::Disposition;

pub(crate) const HEADS: SectionId = SectionId(40);
pub(crate) const LINKS: SectionId = SectionId(41);
pub(crate) const VERDICTS: SectionId = SectionId(42);

/// [subject, expires, mark, next]; the subject is a verdict, or attributes when the entry is no candidate.
pub(crate) type Link = [u32; 4];

/// The first word of a head: a known-good entry is part of the chain.
const VETOED: u32 = 1 << 31;
/// The first word of a head: a tombstone is part of the chain.
const TOMBSTONES: u32 = 1 << 30;
/// No entry of the chain can decide. There are fewer verdicts, as there are fewer entries.
const NO_VERDICT: u32 = TOMBSTONES - 1;

pub(crate) fn head(
    strongest: Option<(u32, u32)>,
    is_vetoed: bool,
    has_tombstones: bool,
) -> [u32; 2] {
    let (verdict, expires) = strongest.unwrap_or((NO_VERDICT, 0));
    let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
    let flags = flag(is_vetoed, VETOED) | flag(has_tombstones, TOMBSTONES);
    [verdict & NO_VERDICT | flags, expires]
}

/// One live entry of a chain.
#[derive(Clone, Copy)]
pub(crate) struct Live {
    pub verdict: u32,
}

/// As `Live`, comparable with another list's.
#[derive(Clone, Copy)]
pub(crate) struct Ranked {
    pub verdict: u32,
    strength: u64,
}

#[inline]
fn is_live(expires: u32, now: u64) -> bool {
    expires == 0 || u64::from(expires) > now
}

/// The mapped form.
pub(crate) struct Ruling {
    heads: Table<[u32; 2]>,
    links: Table<Link>,
    verdicts: Table<VerdictRecord>,
    labels: Labels,
}

impl Ruling {
    pub fn open(image: &Arc<Image>) -> Result<Self, ImageError> {
        let ruling = Self {
            heads: image.table(HEADS)?,
            links: image.table(LINKS)?,
            verdicts: image.table(VERDICTS)?,
            labels: Labels::open(image)?,
        };
        if ruling.heads.len() == ruling.links.len() {
            Ok(ruling)
        } else {
            Err(ImageError::Mismatch("chain tables"))
        }
    }

    /// The strongest live entry of a chain: one load, unless that entry has expired since the list was compiled.
    #[inline]
    pub fn live(&self, chain: u32, now: u64) -> Option<Live> {
        let [word, expires] = *self.heads.get(chain as usize)?;
        if is_live(expires, now) {
            let verdict = word & NO_VERDICT;
            return (verdict != NO_VERDICT).then_some(Live { verdict });
        }
        self.live_behind(chain, now)
    }

    #[cold]
    fn live_behind(&self, chain: u32, now: u64) -> Option<Live> {
        let found = self.strongest(chain, now, self.is_vetoed(chain), |_| false)?;
        Some(Live {
            verdict: found.verdict,
        })
    }

    /// The strongest live entry that is not left out.
    pub fn strongest(
        &self,
        chain: u32,
        now: u64,
        is_vetoed: bool,
        is_left_out: impl Fn(&Link) -> bool,
    ) -> Option<Ranked> {
        let mut strongest: Option<Ranked> = None;
        for link in self.walk(chain) {
            let [verdict, expires, mark, _] = link;
            let mark = Mark(mark);
            if mark.kind() != Kind::Candidate || !is_live(expires, now) {
                continue;
            }
            let record = self.verdict(verdict);
            let strength = strength(record, mark, verdict);
            if strongest.is_some_and(|found| found.strength >= strength)
                || is_vetoed && can_be_vetoed(record, mark)
                || is_left_out(&link)
            {
                continue;
            }
            strongest = Some(Ranked { verdict, strength });
        }
        strongest
    }

    #[inline]
    fn walk(&self, chain: u32) -> impl Iterator<Item = Link> {
        let mut rest = chain;
        std::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let link = *self.links.get(rest as usize)?;
            rest = if link[3] < rest { link[3] } else { 0 };
            Some(link)
        })
    }

    fn head_word(&self, chain: u32) -> u32 {
        self.heads.get(chain as usize).map_or(0, |head| head[0])
    }

    /// Whether a known-good entry is part of the chain.
    pub fn is_vetoed(&self, chain: u32) -> bool {
        self.head_word(chain) & VETOED != 0
    }

    pub fn has_tombstones(&self, chain: u32) -> bool {
        self.head_word(chain) & TOMBSTONES != 0
    }

    /// Whether a known-good entry is part of the chain that is not left out.
    pub fn is_vetoed_without(&self, chain: u32, is_left_out: impl Fn(&Link) -> bool) -> bool {
        self.walk(chain)
            .any(|link| Mark(link[2]).kind() == Kind::KnownGood && !is_left_out(&link))
    }

    /// Whether a tombstone of our chain removes what `other` has as `link`, where both chains cover one subject.
    pub fn removes(&self, chain: u32, other: &Self, link: &Link) -> bool {
        let mark = Mark(link[2]);
        let attributes = match mark.kind() {
            Kind::Candidate => other.verdict(link[0])[1],
            Kind::KnownGood | Kind::Tombstone => link[0],
        };
        self.walk(chain).any(|tombstone| {
            let own = Mark(tombstone[2]);
            own.kind() == Kind::Tombstone
                && own.is_beside(mark)
                && self.names_all(tombstone[0], other.labels.sources(attributes))
        })
    }

    /// Both sets are sorted; a tombstone without sources names all.
    fn names_all<'a>(&self, attributes: u32, mut sources: impl Iterator<Item = &'a str>) -> bool {
        let mut named = self.labels.sources(attributes);
        named.len() == 0 || sources.all(|source| named.any(|name| name == source))
    }

    /// The one rule for verdicts between two entries of different lists; `Greater` when ours is stronger.
    pub fn compare(&self, ours: Ranked, other: &Self, theirs: Ranked) -> Ordering {
        beyond_list(ours.strength)
            .cmp(&beyond_list(theirs.strength))
            // The first sources in order are the stronger.
            .then_with(|| {
                other
                    .sources(theirs.verdict)
                    .cmp(self.sources(ours.verdict))
            })
            .then_with(|| {
                other
                    .categories(theirs.verdict)
                    .cmp(self.categories(ours.verdict))
            })
    }

    /// Chain 0 included.
    pub fn chain_count(&self) -> usize {
        self.heads.len()
    }

    pub fn verdict_count(&self) -> usize {
        self.verdicts.len()
    }

    #[inline]
    fn verdict(&self, verdict: u32) -> VerdictRecord {
        self.verdicts
            .get(verdict as usize)
            .copied()
            .unwrap_or_default()
    }

    #[inline]
    pub fn disposition(&self, verdict: u32) -> Disposition {
        disposition_of(self.verdict(verdict))
    }

    #[inline]
    pub fn score_tenths(&self, verdict: u32) -> u8 {
        score_tenths_of(self.verdict(verdict))
    }

    pub fn sources(&self, verdict: u32) -> impl ExactSizeIterator<Item = &str> {
        self.labels.sources(self.verdict(verdict)[1])
    }

    pub fn categories(&self, verdict: u32) -> impl ExactSizeIterator<Item = &str> {
        self.labels.categories(self.verdict(verdict)[1])
    }
}

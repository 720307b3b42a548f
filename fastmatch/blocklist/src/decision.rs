//! The decision file: what a worker maps to judge addresses and names.

use std::cmp::Ordering;
use std::path::Path;
use std::sync::Arc;

use crate::builder::{Builder, Entry4, Entry6};
use crate::chains::Chains;
use crate::domains::{DomainTables, Domains};
use crate::entry::{MAX_SCORE_TENTHS, Origin};
use crate::image::{Header, Image, ImageError, Rendering, Section, SectionId};
use crate::labels::{LabelTables, Labels};
use crate::memory::{Region, Table};
use crate::ranges::{RangeTables, Ranges, build4, build6};
use crate::sweep::{boundaries4, boundaries6};
use crate::verdict::Disposition;
use crate::{domains, sweep};

const MAGIC: [u8; 8] = *b"SNTRDCSN";
const RANGES4: u32 = 1;
const RANGES6: u32 = 4;
const CHAIN_ENDS: SectionId = SectionId(16);
const CANDIDATES: SectionId = SectionId(17);
const VERDICTS: SectionId = SectionId(18);
/// In a chain's end: a known-good entry covers, feeds' blocks do not count.
const VETOED: u32 = 1 << 31;

/// What both files are rendered from.
pub(crate) struct Compiled {
    pub header: Header,
    pub sorted4: Vec<Entry4>,
    pub sorted6: Vec<Entry6>,
    ranges4: RangeTables<u32>,
    ranges6: RangeTables<u128>,
    pub domains: DomainTables,
    chains: Chains,
    pub labels: LabelTables,
}

/// `header.pair` is given, the counts are filled in.
pub(crate) fn compile(builder: &Builder, header: Header) -> Compiled {
    let mut chains = Chains::new(&builder.facts);
    let sorted4 = sweep::sorted4(&builder.entries4);
    let sorted6 = sweep::sorted6(&builder.entries6);
    let ranges4 = build4(&boundaries4(&sorted4, &mut chains));
    let ranges6 = build6(&boundaries6(&sorted6, &mut chains));
    let domains = domains::build(builder, header.pair, &mut chains);
    let header = Header {
        entries4: sorted4.len() as u64,
        entries6: sorted6.len() as u64,
        domains: domains.facts.len() as u64,
        own: domains.limits(),
        ..header
    };
    let labels = LabelTables::new(&builder.facts);
    Compiled {
        header,
        sorted4,
        sorted6,
        ranges4,
        ranges6,
        domains,
        chains,
        labels,
    }
}

impl Compiled {
    pub fn render_decision(&self) -> Rendering<'_> {
        let marked = |(end, is_vetoed)| if is_vetoed { end | VETOED } else { end };
        let ends: Vec<u32> = self.chains.ends().map(marked).collect();
        let candidates: Vec<[u32; 3]> = self
            .chains
            .candidates()
            .map(crate::chains::Candidate::encode)
            .collect();
        let verdicts: Vec<[u32; 2]> = self
            .chains
            .verdicts()
            .iter()
            .map(|key| {
                [
                    key.disposition as u32 | u32::from(key.score_tenths) << 8,
                    key.attributes,
                ]
            })
            .collect();
        let mut sections = Vec::new();
        sections.extend(self.ranges4.sections(RANGES4));
        sections.extend(self.ranges6.sections(RANGES6));
        sections.extend(self.domains.sections());
        sections.push(Section::owned(CHAIN_ENDS, ends));
        sections.push(Section::owned(CANDIDATES, candidates));
        sections.push(Section::owned(VERDICTS, verdicts));
        sections.extend(self.labels.sections());
        Rendering::new(MAGIC, self.header, sections)
    }
}

/// One live entry of a chain, decoded.
#[derive(Clone, Copy)]
pub(crate) struct Live {
    pub verdict: u32,
    specificity: u32,
    origin: u32,
}

pub(crate) struct Decision {
    image: Arc<Image>,
    ranges4: Ranges<u32>,
    ranges6: Ranges<u128>,
    pub domains: Domains,
    chain_ends: Table<u32>,
    candidates: Table<[u32; 3]>,
    verdicts: Table<[u32; 2]>,
    labels: Labels,
}

impl Decision {
    pub fn map(path: &Path, prefault: bool, verify: bool) -> Result<Self, ImageError> {
        Self::from_image(Image::map(path, MAGIC, prefault, verify)?)
    }

    pub fn open(region: Region) -> Result<Self, ImageError> {
        Self::from_image(Image::open(region, MAGIC)?)
    }

    fn from_image(image: Image) -> Result<Self, ImageError> {
        let image = Arc::new(image);
        Ok(Self {
            ranges4: Ranges::open(&image, RANGES4, 32)?,
            ranges6: Ranges::open(&image, RANGES6, 128)?,
            domains: Domains::open(&image)?,
            chain_ends: image.table(CHAIN_ENDS)?,
            candidates: image.table(CANDIDATES)?,
            verdicts: image.table(VERDICTS)?,
            labels: Labels::open(&image)?,
            image,
        })
    }

    pub fn header(&self) -> &Header {
        &self.image.header
    }

    pub fn entry_count(&self) -> u64 {
        let header = self.header();
        header
            .entries4
            .saturating_add(header.entries6)
            .saturating_add(header.domains)
    }

    pub fn byte_count(&self) -> usize {
        self.image.bytes().len()
    }

    pub fn verdict_count(&self) -> usize {
        self.verdicts.len()
    }

    #[inline]
    pub fn chain4(&self, address: u32) -> u32 {
        self.ranges4.chain4(address)
    }

    #[inline]
    pub fn chain6(&self, address: u128) -> u32 {
        self.ranges6.chain6(address)
    }

    #[inline]
    fn bounds(&self, chain: u32) -> (u32, u32) {
        let end = |index: u32| self.chain_ends.get(index as usize).copied().unwrap_or(0);
        (end(chain.wrapping_sub(1)) & !VETOED, end(chain))
    }

    /// Whether a known-good entry is part of the chain.
    #[inline]
    pub fn is_vetoed(&self, chain: u32) -> bool {
        self.bounds(chain).1 & VETOED != 0
    }

    /// The strongest live entry of a chain.
    #[inline]
    pub fn live(&self, chain: u32, now: u64) -> Option<Live> {
        self.candidates_of(chain, now).next()
    }

    /// As `live`, when a known-good entry outside of this list covers the subject.
    pub fn live_vetoed(&self, chain: u32, now: u64) -> Option<Live> {
        self.candidates_of(chain, now).find(|live| {
            live.origin != Origin::Feed as u32
                || self.disposition(live.verdict) == Disposition::Allow
        })
    }

    #[inline]
    fn candidates_of(&self, chain: u32, now: u64) -> impl Iterator<Item = Live> {
        let (start, end) = self.bounds(chain);
        let candidates = self
            .candidates
            .get(start as usize..(end & !VETOED) as usize);
        let is_live = move |expires: u32| expires == 0 || u64::from(expires) > now;
        candidates
            .unwrap_or_default()
            .iter()
            .filter(move |candidate| is_live(candidate[1]))
            .map(|candidate| Live {
                verdict: candidate[0],
                specificity: candidate[2] & 0xffff,
                origin: candidate[2] >> 16,
            })
    }

    /// The one rule for verdicts between two entries of different lists; `Greater` when ours is stronger.
    pub fn compare(&self, ours: Live, other: &Self, theirs: Live) -> Ordering {
        let rank = |list: &Self, live: Live| {
            let is_allow = list.disposition(live.verdict) == Disposition::Allow;
            (is_allow, list.score_tenths(live.verdict), live.specificity)
        };
        rank(self, ours)
            .cmp(&rank(other, theirs))
            // The smaller code of origin and the first sources in order are the stronger.
            .then_with(|| theirs.origin.cmp(&ours.origin))
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

    #[inline]
    fn verdict(&self, verdict: u32) -> [u32; 2] {
        self.verdicts
            .get(verdict as usize)
            .copied()
            .unwrap_or_default()
    }

    #[inline]
    pub fn disposition(&self, verdict: u32) -> Disposition {
        if self.verdict(verdict)[0] & 0xff == Disposition::Allow as u32 {
            Disposition::Allow
        } else {
            Disposition::Block
        }
    }

    #[inline]
    pub fn score_tenths(&self, verdict: u32) -> u8 {
        self.verdict(verdict)[0].to_le_bytes()[1].min(MAX_SCORE_TENTHS)
    }

    pub fn sources(&self, verdict: u32) -> impl ExactSizeIterator<Item = &str> {
        self.labels.sources(self.verdict(verdict)[1])
    }

    pub fn categories(&self, verdict: u32) -> impl ExactSizeIterator<Item = &str> {
        self.labels.categories(self.verdict(verdict)[1])
    }
}

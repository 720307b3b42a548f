//! Networks to disjoint pieces, and the piece an address lies in.
//!
//! Entries sorted by (start, length) are swept with a stack of the networks that are open (at most one per length), which
//! gives boundaries: from here on this chain holds. Lookup: a table over the top bits narrows the boundaries to about
//! four, then a binary search. The table has a quarter as many places as there are boundaries, at most 2^20 (4 MiB); with
//! 1e6 IPv4 hosts that is one line of the table, one of the boundaries and one of the chains.

use std::sync::Arc;

use crate::address::{mask4, mask6};
use crate::builder::{Entry4, Entry6};
use crate::chains::Chains;
use crate::image::{Image, ImageError, Section, SectionId};
use crate::memory::{Plain, Table};

/// Below this the whole boundary array is searched.
const TOP_TABLE_FROM: usize = 64;
const BOUNDARIES_PER_PLACE: usize = 4;
const MAX_TOP_BITS: u32 = 20;

/// Boundaries sorted by start; before the first nothing covers.
#[derive(Default)]
pub(crate) struct RangeTables<T> {
    starts: Vec<T>,
    chains: Vec<u32>,
    /// For each value of the top bits the first boundary at or above it, and the count; or empty.
    top: Vec<u32>,
}

/// Entries sorted by target, each once: the order of the evidence too.
pub(crate) fn sorted4(entries: &[Entry4]) -> Vec<Entry4> {
    let mut keys: Vec<(u64, u32)> = entries
        .iter()
        .map(|entry| {
            (
                u64::from(entry.start) << 8 | u64::from(entry.length),
                entry.fact,
            )
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let unpack = |(key, fact): (u64, u32)| Entry4 {
        start: u32::try_from(key >> 8).unwrap_or(0),
        length: key.to_le_bytes()[0],
        fact,
    };
    keys.into_iter().map(unpack).collect()
}

/// As `sorted4`.
pub(crate) fn sorted6(entries: &[Entry6]) -> Vec<Entry6> {
    let mut sorted = entries.to_vec();
    let key = |entry: &Entry6| (entry.start, entry.length, entry.fact);
    sorted.sort_unstable_by_key(key);
    sorted.dedup_by_key(|entry| key(entry));
    sorted
}

pub(crate) fn build4(sorted: &[Entry4], chains: &mut Chains) -> RangeTables<u32> {
    let mut pieces = Pieces::with_capacity(sorted.len() * 2);
    for group in sorted.chunk_by(|a, b| (a.start, a.length) == (b.start, b.length)) {
        let Entry4 { start, length, .. } = group[0];
        let last = start | !mask4(length).unwrap_or(0);
        let facts = group.iter().map(|entry| (entry.fact, u16::from(length)));
        pieces.open(u128::from(start), u128::from(last), |inherited| {
            chains.compose(inherited, facts)
        });
    }
    pieces.finish(
        u128::from(u32::MAX),
        |start| u32::try_from(start).unwrap_or(0),
        32,
    )
}

pub(crate) fn build6(sorted: &[Entry6], chains: &mut Chains) -> RangeTables<u128> {
    let mut pieces = Pieces::with_capacity(sorted.len() * 2);
    for group in sorted.chunk_by(|a, b| (a.start, a.length) == (b.start, b.length)) {
        let Entry6 { start, length, .. } = group[0];
        let last = start | !mask6(length).unwrap_or(0);
        let facts = group.iter().map(|entry| (entry.fact, u16::from(length)));
        pieces.open(start, last, |inherited| chains.compose(inherited, facts));
    }
    pieces.finish(u128::MAX, |start| start, 128)
}

/// The sweep. One width for both families: the work is in the chains and the sort.
struct Pieces {
    boundaries: Vec<(u128, u32)>,
    /// (last address, chain) of the networks that are open, outermost first.
    open: Vec<(u128, u32)>,
}

impl Pieces {
    fn with_capacity(count: usize) -> Self {
        Self {
            boundaries: Vec::with_capacity(count),
            open: Vec::new(),
        }
    }

    fn open(&mut self, start: u128, last: u128, compose: impl FnOnce(u32) -> u32) {
        while let Some((closed, _)) = self.open.last().copied().filter(|(end, _)| *end < start) {
            self.open.pop();
            self.mark(closed + 1, self.inherited());
        }
        let chain = compose(self.inherited());
        self.mark(start, chain);
        self.open.push((last, chain));
    }

    fn inherited(&self) -> u32 {
        self.open.last().map_or(0, |(_, chain)| *chain)
    }

    /// From `start` on `chain` holds. A boundary that changes nothing is left out.
    fn mark(&mut self, start: u128, chain: u32) {
        if self
            .boundaries
            .last()
            .is_some_and(|(last_start, _)| *last_start == start)
        {
            self.boundaries.pop();
        }
        if self
            .boundaries
            .last()
            .map_or(0, |(_, last_chain)| *last_chain)
            != chain
        {
            self.boundaries.push((start, chain));
        }
    }

    fn finish<T>(
        mut self,
        maximum: u128,
        narrow: impl Fn(u128) -> T,
        width: u32,
    ) -> RangeTables<T> {
        while let Some((closed, _)) = self.open.pop() {
            if closed < maximum {
                self.mark(closed + 1, self.inherited());
            }
        }
        RangeTables {
            top: top_table(&self.boundaries, width),
            starts: self
                .boundaries
                .iter()
                .map(|(start, _)| narrow(*start))
                .collect(),
            chains: self.boundaries.iter().map(|(_, chain)| *chain).collect(),
        }
    }
}

fn top_table(boundaries: &[(u128, u32)], width: u32) -> Vec<u32> {
    if boundaries.len() < TOP_TABLE_FROM {
        return Vec::new();
    }
    let places = (boundaries.len() / BOUNDARIES_PER_PLACE).next_power_of_two();
    let top_bits = places.trailing_zeros().min(MAX_TOP_BITS);
    let mut counts = vec![0_u32; (1 << top_bits) + 1];
    for (start, _) in boundaries {
        counts[usize::try_from(start >> (width - top_bits)).unwrap_or(0) + 1] += 1;
    }
    let mut sum = 0;
    for count in &mut counts {
        sum += *count;
        *count = sum;
    }
    counts
}

impl<T: Plain> RangeTables<T> {
    pub fn sections(&self, first: u32) -> [Section<'_>; 3] {
        [
            Section::new(SectionId(first), &self.starts),
            Section::new(SectionId(first + 1), &self.chains),
            Section::new(SectionId(first + 2), &self.top),
        ]
    }
}

/// The mapped form.
pub(crate) struct Ranges<T> {
    starts: Table<T>,
    chains: Table<u32>,
    top: Table<u32>,
    /// What is left of an address when the top bits are taken.
    shift: u32,
}

impl<T: Plain + Ord> Ranges<T> {
    pub fn open(image: &Arc<Image>, first: u32, width: u32) -> Result<Self, ImageError> {
        let starts: Table<T> = image.table(SectionId(first))?;
        let chains: Table<u32> = image.table(SectionId(first + 1))?;
        let top: Table<u32> = image.table(SectionId(first + 2))?;
        let places = top.len().saturating_sub(1);
        let has_table = places.is_power_of_two() && places <= 1 << MAX_TOP_BITS;
        if starts.len() != chains.len() || !(has_table || top.is_empty()) {
            return Err(ImageError::Mismatch("range tables"));
        }
        let shift = width
            - if has_table {
                places.trailing_zeros()
            } else {
                0
            };
        Ok(Self {
            starts,
            chains,
            top,
            shift,
        })
    }

    /// The chain that holds at `address`, whose top bits are `top`; total whatever the tables contain.
    #[inline]
    fn chain(&self, address: T, top: usize) -> u32 {
        let (from, to) = match self.top.get(top..top + 2) {
            Some(borders) => (borders[0] as usize, borders[1] as usize),
            None => (0, self.starts.len()),
        };
        let Some(boundaries) = self.starts.get(from..to) else {
            return 0;
        };
        let position = from + boundaries.partition_point(|start| *start <= address);
        position
            .checked_sub(1)
            .and_then(|index| self.chains.get(index))
            .copied()
            .unwrap_or(0)
    }
}

impl Ranges<u32> {
    #[inline]
    pub fn chain4(&self, address: u32) -> u32 {
        self.chain(
            address,
            address.checked_shr(self.shift).unwrap_or(0) as usize,
        )
    }
}

impl Ranges<u128> {
    #[inline]
    pub fn chain6(&self, address: u128) -> u32 {
        let top = address.checked_shr(self.shift).unwrap_or(0);
        self.chain(address, usize::try_from(top).unwrap_or(0))
    }
}

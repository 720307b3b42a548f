//! Networks to disjoint pieces.
//!
//! Entries sorted by (start, length) are swept with a stack of the networks that are open (at most one per length), which
//! gives boundaries: from here on this chain holds. Before the first nothing covers.

use std::ops::Add;

use crate::address::{mask4, mask6};
use crate::builder::{Entry4, Entry6};
use crate::chains::Chains;

/// (start, chain) of each piece of the IPv4 space.
pub(crate) fn boundaries4(sorted: &[Entry4], chains: &mut Chains) -> Vec<(u32, u32)> {
    let mut pieces = Pieces::with_capacity(sorted.len() * 2);
    for group in sorted.chunk_by(|a, b| (a.start, a.length) == (b.start, b.length)) {
        let Entry4 { start, length, .. } = group[0];
        let last = start | !mask4(length).unwrap_or(0);
        let facts = group.iter().map(|entry| (entry.fact, u16::from(length)));
        pieces.open(start, last, |inherited| chains.compose(inherited, facts));
    }
    pieces.finish(u32::MAX)
}

/// As `boundaries4`.
pub(crate) fn boundaries6(sorted: &[Entry6], chains: &mut Chains) -> Vec<(u128, u32)> {
    let mut pieces = Pieces::with_capacity(sorted.len() * 2);
    for group in sorted.chunk_by(|a, b| (a.start, a.length) == (b.start, b.length)) {
        let Entry6 { start, length, .. } = group[0];
        let last = start | !mask6(length).unwrap_or(0);
        let facts = group.iter().map(|entry| (entry.fact, u16::from(length)));
        pieces.open(start, last, |inherited| chains.compose(inherited, facts));
    }
    pieces.finish(u128::MAX)
}

/// The sweep, over addresses of either width.
struct Pieces<T> {
    boundaries: Vec<(T, u32)>,
    /// (last address, chain) of the networks that are open, outermost first.
    open: Vec<(T, u32)>,
}

impl<T: Copy + Ord + Add<Output = T> + From<u8>> Pieces<T> {
    fn with_capacity(count: usize) -> Self {
        Self {
            boundaries: Vec::with_capacity(count),
            open: Vec::new(),
        }
    }

    fn open(&mut self, start: T, last: T, compose: impl FnOnce(u32) -> u32) {
        while let Some((closed, _)) = self.open.last().copied().filter(|(end, _)| *end < start) {
            self.open.pop();
            self.mark(closed + T::from(1), self.inherited());
        }
        let chain = compose(self.inherited());
        self.mark(start, chain);
        self.open.push((last, chain));
    }

    fn inherited(&self) -> u32 {
        self.open.last().map_or(0, |(_, chain)| *chain)
    }

    /// From `start` on `chain` holds. A boundary that changes nothing is left out.
    fn mark(&mut self, start: T, chain: u32) {
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

    fn finish(mut self, maximum: T) -> Vec<(T, u32)> {
        while let Some((closed, _)) = self.open.pop() {
            if closed < maximum {
                self.mark(closed + T::from(1), self.inherited());
            }
        }
        self.boundaries
    }
}

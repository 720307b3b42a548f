//! The piece an address lies in.
//!
//! Lookup: a table over the top bits narrows the boundaries of `sweep` to about four, then a binary search. The
//! table has a quarter as many places as there are boundaries, at most 2^20 (4 MiB).

use std::sync::Arc;

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

pub(crate) fn build6(boundaries: &[(u128, u32)]) -> RangeTables<u128> {
    RangeTables::new(boundaries, 128, |start| start)
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
    fn new(boundaries: &[(u128, u32)], width: u32, narrow: impl Fn(u128) -> T) -> Self {
        Self {
            top: top_table(boundaries, width),
            starts: boundaries.iter().map(|(start, _)| narrow(*start)).collect(),
            chains: boundaries.iter().map(|(_, chain)| *chain).collect(),
        }
    }

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

impl Ranges<u128> {
    #[inline]
    pub fn chain6(&self, address: u128) -> u32 {
        let top = address.checked_shr(self.shift).unwrap_or(0);
        self.chain(address, usize::try_from(top).unwrap_or(0))
    }
}

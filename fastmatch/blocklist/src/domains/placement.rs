//! Names in the order of their hashes to places in buckets.

use super::buckets::{Slot, class, filter_bit, fingerprint, home};
use super::gather::word;

/// Slots per thousand that hold a name.
const LOAD_PERMILLE: usize = 875;

/// Where each name goes: to its home, or to the next bucket with room.
pub(super) struct Placement {
    /// Buckets that hashes point at.
    pub homes: u64,
    /// Buckets in all.
    pub count: usize,
    pub max_probes: usize,
    /// The bucket of each name; never falls.
    buckets: Vec<u32>,
}

impl Placement {
    /// `hashes` ascend and are not empty.
    pub fn new<S: Slot>(hashes: &[u64]) -> Self {
        let homes = (hashes.len() * 1000).div_ceil(LOAD_PERMILLE * S::COUNT) as u64;
        let mut buckets = Vec::with_capacity(hashes.len());
        let (mut bucket, mut filled, mut max_probes) = (0, 0, 1);
        for hash in hashes {
            let home = home(*hash, homes);
            if home > bucket {
                (bucket, filled) = (home, 0);
            } else if filled == S::COUNT {
                (bucket, filled) = (bucket + 1, 0);
            }
            filled += 1;
            max_probes = max_probes.max(bucket - home + 1);
            buckets.push(word(bucket));
        }
        Self {
            homes,
            // The last homes may have no names.
            count: (bucket + 1).max(usize::try_from(homes).unwrap_or(0)),
            max_probes,
            buckets,
        }
    }

    /// (bucket, slot) of each name.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let (mut current, mut slot) = (u32::MAX, 0);
        self.buckets.iter().map(move |bucket| {
            slot = if *bucket == current { slot + 1 } else { 0 };
            current = *bucket;
            (*bucket as usize, slot)
        })
    }

    /// The slots, with a value for each name.
    pub fn slots<S: Slot>(&self, hashes: &[u64], values: &[u32], value_bits: u32) -> Vec<S> {
        let mut slots = vec![S::default(); self.count * S::WORDS];
        let mut add = |place: usize, bits: u64| {
            slots[place] = S::from_word(slots[place].word() | bits);
        };
        for ((hash, value), (bucket, slot)) in hashes.iter().zip(values).zip(self.places()) {
            let bits = fingerprint::<S>(*hash, value_bits) | u64::from(*value);
            add(bucket * S::WORDS + slot, bits);
            for passed in home(*hash, self.homes)..bucket {
                add(passed * S::WORDS + class::<S>(*hash), filter_bit::<S>());
            }
        }
        slots
    }
}

/// Bits that hold every value below `count`.
pub(super) fn bits_for(count: usize) -> u32 {
    usize::BITS - count.saturating_sub(1).leading_zeros()
}

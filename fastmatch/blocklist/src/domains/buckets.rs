//! The hash table: buckets of one cache line, filled in the order of the hashes.
//!
//! A slot is, from its lowest bit: the value, in as few bits as the list needs; a fingerprint, never 0; one bit of the
//! bucket's overflow filter. A name that finds its bucket full goes to the next one with room and leaves its class in the
//! filter of every bucket it passed, so a lookup goes on only where a name of its own class went on.
//!
//! Where the text is verified, a bucket has 12 slots of 4 bytes and says in the other 16 where its names' texts are (see
//! `texts`). Where the fingerprint is all there is, it has 8 slots of 8 bytes.

use crate::simd::equal_12;

/// Buckets a lookup reads at most; a list that would need more gets another key. At our load the longest run of 1e7 names
/// is a quarter of it.
pub(super) const MAX_PROBES: usize = 64;
/// Leaves a fingerprint of one bit in the narrow slots; a builder holds fewer names.
pub(super) const MAX_VALUE_BITS: u32 = 30;

/// How a table is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Buckets that hashes point at; a few more follow.
    pub homes: u64,
    pub value_bits: u32,
    pub max_probes: usize,
}

pub(super) trait Slot: Copy + Default {
    /// Slots in a bucket.
    const COUNT: usize;
    /// Of this size in a bucket, slots and others.
    const WORDS: usize;
    const BITS: u32;
    const HAS_TEXT: bool;

    fn from_word(word: u64) -> Self;
    fn word(self) -> u64;
    /// A bit for each slot that is `wanted` under `mask`.
    fn matching(bucket: &[Self], wanted: Self, mask: Self) -> u32;
    fn table(slots: Vec<Self>) -> SlotTable;
}

/// Narrow where the text is verified, wide where it is not.
pub(super) enum SlotTable {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl Default for SlotTable {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

impl Slot for u32 {
    const COUNT: usize = 12;
    const WORDS: usize = 16;
    const BITS: u32 = 32;
    const HAS_TEXT: bool = true;

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a narrow slot is the lower half"
    )]
    fn from_word(word: u64) -> Self {
        word as Self
    }

    #[inline]
    fn word(self) -> u64 {
        self.into()
    }

    #[inline]
    fn matching(bucket: &[Self], wanted: Self, mask: Self) -> u32 {
        bucket
            .first_chunk()
            .map_or(0, |bucket| equal_12(bucket, wanted, mask))
    }

    fn table(slots: Vec<Self>) -> SlotTable {
        SlotTable::Narrow(slots)
    }
}

impl Slot for u64 {
    const COUNT: usize = 8;
    const WORDS: usize = 8;
    const BITS: u32 = 64;
    const HAS_TEXT: bool = false;

    #[inline]
    fn from_word(word: u64) -> Self {
        word
    }

    #[inline]
    fn word(self) -> u64 {
        self
    }

    #[inline]
    fn matching(bucket: &[Self], wanted: Self, mask: Self) -> u32 {
        let mut bits = 0;
        if let Some(bucket) = bucket.first_chunk::<8>() {
            for (index, slot) in bucket.iter().enumerate() {
                bits |= u32::from(slot & mask == wanted) << index;
            }
        }
        bits
    }

    fn table(slots: Vec<Self>) -> SlotTable {
        SlotTable::Wide(slots)
    }
}

/// Where a name's search begins; never falls as the hash grows.
#[inline]
pub(super) fn home(hash: u64, homes: u64) -> usize {
    // Below 2^28 buckets of 2^30 names: the product fits.
    usize::try_from((hash >> 32).wrapping_mul(homes) >> 32).unwrap_or(0)
}

/// Which slot's top bit speaks for the hash in the filter: bits that decide neither bucket nor narrow fingerprint.
#[inline]
pub(super) fn class<S: Slot>(hash: u64) -> usize {
    usize::try_from(hash >> 32).unwrap_or(0) % S::COUNT
}

#[inline]
pub(super) fn filter_bit<S: Slot>() -> u64 {
    1 << (S::BITS - 1)
}

#[inline]
fn fingerprint_mask<S: Slot>(value_bits: u32) -> u64 {
    (filter_bit::<S>() - 1) & (u64::MAX << value_bits)
}

#[inline]
pub(super) fn fingerprint<S: Slot>(hash: u64, value_bits: u32) -> u64 {
    (hash & fingerprint_mask::<S>(value_bits)).max(1 << value_bits)
}

impl Shape {
    /// Where the home of a hash begins in the slots.
    #[inline]
    pub fn first_word<S: Slot>(&self, hash: u64) -> usize {
        home(hash, self.homes) * S::WORDS
    }

    /// The hash's home and the first slot there that has its fingerprint.
    #[inline]
    pub fn candidate<'a, S: Slot>(&self, slots: &'a [S], hash: u64) -> Option<(&'a [S], usize)> {
        let mask = S::from_word(fingerprint_mask::<S>(self.value_bits));
        let wanted = S::from_word(fingerprint::<S>(hash, self.value_bits));
        let bucket = slots.get(self.first_word::<S>(hash)..)?.get(..S::WORDS)?;
        let places = S::matching(bucket, wanted, mask);
        (places != 0).then_some((bucket, places.trailing_zeros() as usize))
    }

    /// The value of the first slot with the hash's fingerprint that `verify` (bucket, its number, slot) accepts.
    #[inline]
    pub fn find<S: Slot>(
        &self,
        slots: &[S],
        hash: u64,
        mut verify: impl FnMut(&[S], usize, usize) -> bool,
    ) -> Option<u32> {
        let mask = S::from_word(fingerprint_mask::<S>(self.value_bits));
        let wanted = S::from_word(fingerprint::<S>(hash, self.value_bits));
        let first = home(hash, self.homes);
        for number in first..first + self.max_probes {
            let bucket = slots.get(number * S::WORDS..)?.get(..S::WORDS)?;
            let mut places = S::matching(bucket, wanted, mask);
            while places != 0 {
                let place = places.trailing_zeros() as usize;
                if verify(bucket, number, place) {
                    let value = bucket[place].word() & !(u64::MAX << self.value_bits);
                    return u32::try_from(value).ok();
                }
                places &= places - 1;
            }
            if bucket[class::<S>(hash)].word() & filter_bit::<S>() == 0 {
                return None;
            }
        }
        None
    }
}

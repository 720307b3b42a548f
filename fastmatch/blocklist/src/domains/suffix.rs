//! A name to its suffixes and their keyed hashes, longest first.
//!
//! A name is read in blocks of 32 bytes aligned to its end, the last one filled up with zeros on the left. So all suffixes
//! share their blocks: a suffix is the state behind the blocks on its right and one masked block more, and most names are
//! one block, which is loaded once and hashed from registers without a branch on any length. The hash is keyed per list,
//! as lists come from strangers: six secret words, two folded multiplications a block and one to mix.

use crate::block::{BLOCK_BYTES, Block, dots, load, masked};
use crate::name::MAX_NAME_BYTES;

const MAX_BLOCKS: usize = MAX_NAME_BYTES.div_ceil(BLOCK_BYTES);

/// The hash of one list.
pub(super) struct NameHasher {
    words: [u64; 4],
    start: u64,
    last: u64,
    #[cfg(test)]
    kept: u64,
}

/// One suffix of a name, on the border of a label.
pub(super) struct Suffix {
    pub hash: u64,
    /// Where it begins in the name.
    pub start: usize,
    /// Its first block: all of it when it has no more than 32 bytes.
    pub block: Block,
}

/// A number of labels as a bit: how lists say which numbers they have. From 63 on they share one.
#[inline]
pub(super) fn label_bit(labels: u32) -> u64 {
    1 << labels.min(63)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

impl NameHasher {
    pub fn new(key: u64) -> Self {
        // splitmix64: a counter through a bijective mix.
        let word = |number: u64| {
            let mut word = key.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^ word >> 31
        };
        Self {
            words: [word(1), word(2), word(3), word(4)],
            start: word(5),
            last: word(6) | 1,
            #[cfg(test)]
            kept: u64::MAX,
        }
    }

    /// A bad hash, which has only these bits.
    #[cfg(test)]
    pub fn weak(kept: u64) -> Self {
        Self {
            kept,
            ..Self::new(0)
        }
    }

    #[inline]
    fn absorb(&self, state: u64, block: &Block) -> u64 {
        let [a, b, c, d] = self.words;
        let left = fold(block[0] ^ a, block[1] ^ b);
        let right = fold(block[2] ^ c, block[3] ^ d);
        let hash = fold(state ^ left ^ right, self.last);
        #[cfg(test)]
        let hash = hash & self.kept;
        hash
    }

    /// Hash and number of labels of a whole name.
    #[inline]
    pub fn whole(&self, name: &[u8]) -> (u64, u32) {
        let (mut state, mut labels, mut rest) = (self.start, 1, name);
        loop {
            let block = load(rest);
            state = self.absorb(state, &block);
            labels += dots(&block).count_ones();
            match rest.len().checked_sub(BLOCK_BYTES) {
                None | Some(0) => return (state, labels),
                Some(left) => rest = &rest[..left],
            }
        }
    }

    /// Hands over the suffixes whose number of labels has its bit in `counts`, longest first, until one gives a result.
    #[inline]
    pub fn find_suffix<R>(
        &self,
        name: &[u8],
        counts: u64,
        mut seek: impl FnMut(&Suffix) -> Option<R>,
    ) -> Option<R> {
        let Some(mut place) = BLOCK_BYTES.checked_sub(name.len()) else {
            return self.find_long_suffix(name, counts, seek);
        };
        let whole = load(name);
        let mut right_of_it = dots(&whole);
        let first = place;
        loop {
            if counts & label_bit(right_of_it.count_ones() + 1) != 0 {
                let block = masked(&whole, place);
                let hash = self.absorb(self.start, &block);
                let start = place - first;
                if let Some(found) = seek(&Suffix { hash, start, block }) {
                    return Some(found);
                }
            }
            if right_of_it == 0 {
                return None;
            }
            place = right_of_it.trailing_zeros() as usize + 1;
            right_of_it &= right_of_it - 1;
        }
    }

    #[inline(never)]
    fn find_long_suffix<R>(
        &self,
        name: &[u8],
        counts: u64,
        mut seek: impl FnMut(&Suffix) -> Option<R>,
    ) -> Option<R> {
        let count = name.len().div_ceil(BLOCK_BYTES);
        if count > MAX_BLOCKS {
            return None;
        }
        let mut blocks = [[0; 4]; MAX_BLOCKS];
        let mut block_dots = [0_u32; MAX_BLOCKS];
        let mut states = [self.start; MAX_BLOCKS + 1];
        for number in 0..count {
            let block = load(&name[..name.len() - number * BLOCK_BYTES]);
            states[number + 1] = self.absorb(states[number], &block);
            block_dots[number] = dots(&block);
            blocks[number] = block;
        }
        let mut labels = 1 + block_dots.iter().map(|dots| dots.count_ones()).sum::<u32>();
        // The places of the first bytes of suffixes in this block; a dot at a block's end hands on to the next.
        let first = count * BLOCK_BYTES - name.len();
        let mut carried = 1_u32 << first;
        for number in (0..count).rev() {
            let mut places = block_dots[number] << 1 | carried;
            carried = block_dots[number] >> 31;
            while places != 0 {
                let place = places.trailing_zeros() as usize;
                places &= places - 1;
                if counts & label_bit(labels) != 0 {
                    let block = masked(&blocks[number], place);
                    let hash = self.absorb(states[number], &block);
                    let start = (count - number - 1) * BLOCK_BYTES + place - first;
                    if let Some(found) = seek(&Suffix { hash, start, block }) {
                        return Some(found);
                    }
                }
                labels -= 1;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// Names of 1-253 bytes, short labels and long ones.
    fn name() -> impl Strategy<Value = String> {
        let labels = prop_oneof!["[a-z]{1,2}", "[a-z0-9-]{1,12}", "[a-z]{50,63}"];
        prop::collection::vec(labels, 1..127).prop_map(|labels| {
            let mut name = labels.join(".");
            name.truncate(MAX_NAME_BYTES);
            name.trim_end_matches('.').to_owned()
        })
    }

    fn found(hasher: &NameHasher, name: &str, counts: u64) -> Vec<(usize, u64, Block)> {
        let mut found = Vec::new();
        let nothing: Option<()> = hasher.find_suffix(name.as_bytes(), counts, |suffix| {
            found.push((suffix.start, suffix.hash, suffix.block));
            None
        });
        assert_eq!(nothing, None);
        found
    }

    proptest! {
        #[test]
        #[cfg_attr(miri, ignore = "takes minutes there")]
        fn every_suffix_comes_once_longest_first_with_the_hash_it_has_alone(name in name(), key: u64, counts: u64) {
            let hasher = NameHasher::new(key);
            let borders = name.match_indices('.').map(|(dot, _)| dot + 1);
            let starts: Vec<usize> = std::iter::once(0).chain(borders).collect();
            let expected: Vec<_> = starts.iter().enumerate().map(|(index, start)| {
                let suffix = &name.as_bytes()[*start..];
                let (hash, labels) = hasher.whole(suffix);
                assert_eq!(labels as usize, starts.len() - index);
                let first_block = &suffix[..=(suffix.len() - 1) % BLOCK_BYTES];
                (*start, hash, load(first_block))
            }).collect();
            prop_assert_eq!(&found(&hasher, &name, u64::MAX), &expected);
            let count = |start: usize| u32::try_from(name[start..].matches('.').count()).expect("few") + 1;
            let chosen: Vec<_> = expected.into_iter().filter(|(start, ..)| counts & label_bit(count(*start)) != 0).collect();
            prop_assert_eq!(found(&hasher, &name, counts), chosen);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn names_that_differ_in_one_byte_or_in_length_have_other_hashes_under_every_key() {
        for key in 0..20 {
            let keyed = NameHasher::new(key);
            let mut names: Vec<String> = (1..=253).map(|length| "a".repeat(length)).collect();
            names.extend((0..253).map(|at| format!("{}b{}", "a".repeat(at), "a".repeat(252 - at))));
            let hashes: HashSet<u64> = names
                .iter()
                .map(|name| keyed.whole(name.as_bytes()).0)
                .collect();
            assert_eq!(hashes.len(), names.len());
        }
    }

    #[test]
    fn what_is_too_long_or_empty_has_an_end() {
        let hasher = NameHasher::new(1);
        assert!(found(&hasher, &"a.".repeat(300), u64::MAX).is_empty());
        assert_eq!(found(&hasher, "", u64::MAX).len(), 1);
    }
}

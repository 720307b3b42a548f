//! The order of names in a pack and while compiling: from the last byte to the first, the dot before every other byte.
//!
//! That is the order of the tree of labels: a name comes before everything below it, and nothing else lies between, so the
//! compiler knows what a name inherits from a stack instead of looking it up. Names hold no zero bytes.

use std::cmp::Ordering;

const DOTS: u64 = u64::from_ne_bytes([b'.'; 8]);
const LOW_BITS: u64 = u64::from_ne_bytes([1; 8]);
const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
/// What makes a dot 1: less than any byte of a name, more than none.
const DOT_RANK: u64 = b'.' as u64 - 1;

/// The last eight bytes before `end`, the last of them highest; zeros where there is nothing.
#[inline]
fn word_before(name: &[u8], end: usize) -> u64 {
    match name.get(end.wrapping_sub(8)..end) {
        Some(word) => u64::from_le_bytes(word.try_into().unwrap_or_default()),
        None => name[..end]
            .iter()
            .fold(0, |word, byte| word >> 8 | u64::from(*byte) << 56),
    }
}

/// Words compare as the bytes in them do, dots first.
#[inline]
fn ranked(word: u64) -> u64 {
    let difference = word ^ DOTS;
    // A byte of 0x80 where `difference` has a zero byte; exact, because no byte of a name is one above the dot (`/`).
    let dots = difference.wrapping_sub(LOW_BITS) & !difference & HIGH_BITS;
    word - (dots >> 7) * DOT_RANK
}

/// What decides for most pairs of names: their last sixteen bytes.
#[inline]
pub(crate) fn sort_key(name: &[u8]) -> u128 {
    let last = ranked(word_before(name, name.len()));
    let before = ranked(word_before(name, name.len().saturating_sub(8)));
    u128::from(last) << 64 | u128::from(before)
}

#[inline]
pub(crate) fn compare(left: &[u8], right: &[u8]) -> Ordering {
    let (mut left_end, mut right_end) = (left.len(), right.len());
    loop {
        let words = (word_before(left, left_end), word_before(right, right_end));
        if words.0 != words.1 {
            return ranked(words.0).cmp(&ranked(words.1));
        }
        if left_end <= 8 || right_end <= 8 {
            // Equal words of which one ends: both do, as names hold no zeros.
            return left_end.cmp(&right_end);
        }
        left_end -= 8;
        right_end -= 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Label by label from the right, each from its end.
    fn oracle(name: &str) -> Vec<Vec<u8>> {
        name.rsplit('.')
            .map(|label| label.bytes().rev().collect())
            .collect()
    }

    proptest! {
        #[test]
        fn names_are_ordered_as_the_tree_of_labels(left in "[-a0_]{1,6}(\\.[-a0_]{1,9}){0,4}", right in "[-a0_]{1,6}(\\.[-a0_]{1,9}){0,4}") {
            let expected = oracle(&left).cmp(&oracle(&right));
            prop_assert_eq!(compare(left.as_bytes(), right.as_bytes()), expected);
            let keys = sort_key(left.as_bytes()).cmp(&sort_key(right.as_bytes()));
            prop_assert!(keys == expected || keys == Ordering::Equal);
        }

        #[test]
        fn what_is_below_a_name_follows_it(name in "[-a0]{1,4}(\\.[-a0]{1,4}){0,2}", label in "[-a0]{1,9}") {
            let below = format!("{label}.{name}");
            prop_assert_eq!(compare(name.as_bytes(), below.as_bytes()), Ordering::Less);
            // `-` sorts before the dot in ASCII: such a name must not come between the two.
            let beside = format!("-{name}");
            prop_assert_eq!(compare(below.as_bytes(), beside.as_bytes()), Ordering::Less);
        }
    }
}

//! Up to 32 bytes of a name in four words, aligned to the name's end: loaded once, then judged, masked and hashed without a
//! branch on a length.

use crate::simd::classify;

pub(crate) const BLOCK_BYTES: usize = 32;

/// Little-endian.
pub(crate) type Block = [u64; 4];

/// The last 32 bytes, right-aligned, zeros before them.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
pub(crate) fn load(bytes: &[u8]) -> Block {
    let length = bytes.len();
    if let Some(last) = bytes.last_chunk::<BLOCK_BYTES>() {
        return words(last);
    }
    if let (Some(head), Some(tail)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
        let shift = 8 * (BLOCK_BYTES - length);
        let head = u128::from_le_bytes(*head)
            .checked_shl(shift as u32)
            .unwrap_or(0);
        let tail = u128::from_le_bytes(*tail);
        return [
            head as u64,
            (head >> 64) as u64,
            tail as u64,
            (tail >> 64) as u64,
        ];
    }
    if let (Some(head), Some(tail)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let shift = 8 * (16 - length);
        let head = u64::from_le_bytes(*head)
            .checked_shl(shift as u32)
            .unwrap_or(0);
        return [0, 0, head, u64::from_le_bytes(*tail)];
    }
    if let (Some(head), Some(tail)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let head = u64::from(u32::from_le_bytes(*head)) << (8 * (8 - length));
        let tail = u64::from(u32::from_le_bytes(*tail)) << 32;
        return [0, 0, 0, head | tail];
    }
    let word = bytes
        .iter()
        .fold(0, |word, byte| word >> 8 | u64::from(*byte) << 56);
    [0, 0, 0, word]
}

#[inline]
pub(crate) fn words(bytes: &[u8; BLOCK_BYTES]) -> Block {
    std::array::from_fn(|index| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[8 * index..8 * index + 8]);
        u64::from_le_bytes(word)
    })
}

#[repr(align(64))]
struct Masks([u8; 2 * BLOCK_BYTES]);

/// Zeros, then ones: a window of 32 bytes masks any number of leading bytes.
static MASKS: Masks = {
    let mut bytes = [0; 2 * BLOCK_BYTES];
    let mut index = BLOCK_BYTES;
    while index < bytes.len() {
        bytes[index] = 0xff;
        index += 1;
    }
    Masks(bytes)
};

/// The block without its first `place` bytes; at most 32.
#[inline]
pub(crate) fn masked(block: &Block, place: usize) -> Block {
    let window = MASKS.0[BLOCK_BYTES - place.min(BLOCK_BYTES)..].first_chunk();
    let mask = window.map_or([0; 4], words);
    std::array::from_fn(|index| block[index] & mask[index])
}

/// A bit for each byte that is a dot.
#[inline]
pub(crate) fn dots(block: &Block) -> u32 {
    classify(block).dots
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_block_holds_the_last_bytes_behind_zeros(bytes in prop::collection::vec(1_u8.., 0..80), place in 0_usize..40) {
            let mut expected = [0; BLOCK_BYTES];
            for (to, from) in expected.iter_mut().rev().zip(bytes.iter().rev()) {
                *to = *from;
            }
            prop_assert_eq!(load(&bytes), words(&expected));
            let dotted = expected.iter().enumerate().filter(|(_, byte)| **byte == b'.');
            prop_assert_eq!(dots(&load(&bytes)), dotted.fold(0, |bits, (index, _)| bits | 1 << index));
            expected.iter_mut().take(place).for_each(|byte| *byte = 0);
            prop_assert_eq!(masked(&load(&bytes), place), words(&expected));
        }
    }
}

//! Prefetches and vector compares: besides `memory` the only module with `unsafe`.
//!
//! SSE2 belongs to every `x86_64`, so nothing is detected at run time; see `DESIGN.md` for what AVX2 gave. Other
//! machines take the scalar forms, which the tests compare with.
#![allow(unsafe_code)]

mod ipv4;
mod ipv6;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m128i, _MM_HINT_T0, _mm_and_si128, _mm_cmpeq_epi8, _mm_cmpeq_epi16, _mm_cmpeq_epi32,
    _mm_cmpgt_epi32, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
    _mm_packs_epi16, _mm_packs_epi32, _mm_prefetch, _mm_set1_epi8, _mm_set1_epi16, _mm_set1_epi32,
    _mm_setzero_si128, _mm_sub_epi8, _mm_subs_epu16, _mm_xor_si128,
};

#[cfg(target_arch = "x86_64")]
pub(crate) use ipv4::parse_ipv4;
#[cfg(target_arch = "x86_64")]
pub(crate) use ipv6::{SHORTEST as SHORTEST_IN_GROUPS, parse_groups};

/// Asks for the cache line of `values[index]`; any index is fine.
#[inline]
pub(crate) fn prefetch<T>(values: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        let address = values.as_ptr().wrapping_add(index);
        // SAFETY: a prefetch reads nothing as far as the program can tell and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, index);
}

/// What one compare looks at: 16 or 8 little-endian keys, at any alignment.
pub(crate) type Window = [u8; 32];

/// How many of the 16 sorted keys are at most `bound`; of keys in any order, how many before the first that is not.
#[inline]
pub(crate) fn at_most_16(keys: &Window, bound: u16) -> usize {
    #[cfg(target_arch = "x86_64")]
    return at_most_16_vector(keys, bound);
    #[cfg(not(target_arch = "x86_64"))]
    return leading(keys, u16::from_le_bytes, bound);
}

/// As `at_most_16`, of 8 keys.
#[inline]
pub(crate) fn at_most_8(keys: &Window, bound: u32) -> usize {
    #[cfg(target_arch = "x86_64")]
    return at_most_8_vector(keys, bound);
    #[cfg(not(target_arch = "x86_64"))]
    return leading(keys, u32::from_le_bytes, bound);
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn leading<K: Copy + Ord, const N: usize>(
    keys: &Window,
    read: impl Fn([u8; N]) -> K,
    bound: K,
) -> usize {
    let keys = keys.chunks_exact(N).filter_map(|key| key.try_into().ok());
    keys.take_while(|key| read(*key) <= bound).count()
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn at_most_16_vector(keys: &Window, bound: u16) -> usize {
    let start: *const __m128i = keys.as_ptr().cast();
    // SAFETY: SSE2 is part of x86_64; the two unaligned loads read exactly the 32 bytes of `keys`.
    let mask = unsafe {
        let bound = _mm_set1_epi16(i16::from_ne_bytes(bound.to_ne_bytes()));
        // Saturating subtraction leaves nothing where key <= bound.
        let compare = |keys| _mm_cmpeq_epi16(_mm_subs_epu16(keys, bound), _mm_setzero_si128());
        let low = compare(_mm_loadu_si128(start));
        let high = compare(_mm_loadu_si128(start.add(1)));
        _mm_movemask_epi8(_mm_packs_epi16(low, high))
    };
    mask.trailing_ones() as usize
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn at_most_8_vector(keys: &Window, bound: u32) -> usize {
    let start: *const __m128i = keys.as_ptr().cast();
    // SAFETY: SSE2 is part of x86_64; the two unaligned loads read exactly the 32 bytes of `keys`.
    let mask = unsafe {
        // SSE2 compares signed numbers only: turn the top bits over.
        let turned = |keys| _mm_xor_si128(keys, _mm_set1_epi32(i32::MIN));
        let bound = turned(_mm_set1_epi32(i32::from_ne_bytes(bound.to_ne_bytes())));
        let low = _mm_cmpgt_epi32(turned(_mm_loadu_si128(start)), bound);
        let high = _mm_cmpgt_epi32(turned(_mm_loadu_si128(start.add(1))), bound);
        let above = _mm_packs_epi32(low, high);
        _mm_movemask_epi8(_mm_packs_epi16(above, above)) & 0xff
    };
    (mask | 0x100).trailing_zeros() as usize
}

/// What the bytes of a block are, a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Classes {
    /// Lower-case letters, digits, `-`, `_` and dots.
    pub plain: u32,
    pub dots: u32,
}

/// Of 32 bytes, little-endian.
#[inline]
pub(crate) fn classify(block: &[u64; 4]) -> Classes {
    #[cfg(target_arch = "x86_64")]
    return classify_vector(block);
    #[cfg(not(target_arch = "x86_64"))]
    return classify_bytes(block);
}

/// A bit for each of the first twelve words that is `wanted` under `mask`.
#[inline]
pub(crate) fn equal_12(words: &[u32; 16], wanted: u32, mask: u32) -> u32 {
    #[cfg(target_arch = "x86_64")]
    return equal_12_vector(words, wanted, mask);
    #[cfg(not(target_arch = "x86_64"))]
    return equal_words(words, wanted, mask);
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn classify_bytes(block: &[u64; 4]) -> Classes {
    let bytes = block.iter().flat_map(|word| word.to_le_bytes());
    let (mut plain, mut dots) = (0, 0);
    for (index, byte) in bytes.enumerate() {
        let is_plain = matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        plain |= u32::from(is_plain) << index;
        dots |= u32::from(byte == b'.') << index;
    }
    Classes { plain, dots }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn equal_words(words: &[u32; 16], wanted: u32, mask: u32) -> u32 {
    let equal = words.iter().map(|word| u32::from(word & mask == wanted));
    let bits = equal.enumerate().map(|(index, bit)| bit << index);
    bits.take(12).sum()
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn classify_vector(block: &[u64; 4]) -> Classes {
    let start: *const __m128i = block.as_ptr().cast();
    // SAFETY: SSE2 is part of x86_64; the two unaligned loads read exactly the 32 bytes of `block`.
    unsafe {
        let all = |byte: u8| _mm_set1_epi8(i8::from_ne_bytes([byte]));
        // Unsigned `byte - first <= span`.
        let within = |bytes, first: u8, span: u8| {
            let above = _mm_sub_epi8(bytes, all(first));
            _mm_cmpeq_epi8(_mm_min_epu8(above, all(span)), above)
        };
        let bits = |mask| u32::try_from(_mm_movemask_epi8(mask)).unwrap_or(0);
        let half = |bytes| {
            // `-`, `.` and digits are neighbours but for the slash.
            let letters = _mm_or_si128(within(bytes, b'a', 25), _mm_cmpeq_epi8(bytes, all(b'_')));
            let others = _mm_or_si128(within(bytes, b'-', 1), within(bytes, b'0', 9));
            let dots = _mm_cmpeq_epi8(bytes, all(b'.'));
            (bits(_mm_or_si128(letters, others)), bits(dots))
        };
        let (low, low_dots) = half(_mm_loadu_si128(start));
        let (high, high_dots) = half(_mm_loadu_si128(start.add(1)));
        Classes {
            plain: low | high << 16,
            dots: low_dots | high_dots << 16,
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn equal_12_vector(words: &[u32; 16], wanted: u32, mask: u32) -> u32 {
    let start: *const __m128i = words.as_ptr().cast();
    // SAFETY: SSE2 is part of x86_64; the three unaligned loads read 48 of the 64 bytes of `words`.
    let bits = unsafe {
        let all = |word: u32| _mm_set1_epi32(i32::from_ne_bytes(word.to_ne_bytes()));
        let (wanted, mask) = (all(wanted), all(mask));
        let equal = |index| {
            let four = _mm_loadu_si128(start.add(index));
            _mm_cmpeq_epi32(_mm_and_si128(four, mask), wanted)
        };
        let low = _mm_packs_epi32(equal(0), equal(1));
        let high = _mm_packs_epi32(equal(2), _mm_setzero_si128());
        _mm_movemask_epi8(_mm_packs_epi16(low, high))
    };
    u32::try_from(bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::memory::bytes_of;

    proptest! {
        #[test]
        fn the_vector_forms_equal_the_scalar_ones_on_keys_in_any_order(
            keys: [u16; 16], wide: [u32; 8], anywhere: u32, at in 0_usize..8, is_sorted: bool
        ) {
            let (mut keys, mut wide) = (keys, wide);
            if is_sorted {
                keys.sort_unstable();
                wide.sort_unstable();
            }
            let narrow = u16::try_from(anywhere >> 16).expect("16 bits");
            let window = Window::try_from(bytes_of(&keys)).expect("32 bytes");
            for bound in [narrow, keys[at], keys[at + 8], keys[at].wrapping_sub(1), 0, 1 << 15, u16::MAX] {
                prop_assert_eq!(at_most_16(&window, bound), leading(&window, u16::from_le_bytes, bound));
            }
            let window = Window::try_from(bytes_of(&wide)).expect("32 bytes");
            for bound in [anywhere, wide[at], wide[at].wrapping_sub(1), 0, 1 << 31, u32::MAX] {
                prop_assert_eq!(at_most_8(&window, bound), leading(&window, u32::from_le_bytes, bound));
            }
        }

        #[test]
        fn bytes_of_names_are_classed_alike(block: [u64; 4], at in 0_usize..32, byte in prop::sample::select(b"az-./09:_`{AZ@[\0\xff".to_vec())) {
            let mut block = block;
            block[at / 8] &= !(0xff << (8 * (at % 8)));
            block[at / 8] |= u64::from(byte) << (8 * (at % 8));
            prop_assert_eq!(classify(&block), classify_bytes(&block));
        }

        #[test]
        fn words_are_compared_alike_under_a_mask(words: [u32; 16], mask: u32, at in 0_usize..16, wanted: u32) {
            for wanted in [words[at] & mask, wanted & mask, wanted] {
                prop_assert_eq!(equal_12(&words, wanted, mask), equal_words(&words, wanted, mask));
            }
        }

        #[test]
        fn any_place_may_be_prefetched(index: usize) {
            prefetch(&[1_u16, 2], index);
            prefetch::<u64>(&[], index);
        }
    }
}

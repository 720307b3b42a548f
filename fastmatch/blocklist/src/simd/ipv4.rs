//! IPv4 texts to addresses, all places at once.
#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::{
    _mm_add_epi8, _mm_and_si128, _mm_cmpeq_epi8, _mm_cmpgt_epi8, _mm_min_epu8, _mm_movemask_epi8,
    _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8, _mm_setzero_si128, _mm_slli_si128,
    _mm_storeu_si128, _mm_sub_epi8,
};

/// The 7 to 15 bytes of a text, the first lowest, zeros behind.
#[inline]
fn halves(text: &[u8]) -> Option<(u64, u64)> {
    let length = text.len();
    if length > 15 {
        return None;
    }
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        // Without the bytes that are in `first` too; two shifts, as one by all 64 bits does not exist.
        let rest = u64::from_le_bytes(*last) >> (8 * (15 - length)) >> 8;
        return Some((u64::from_le_bytes(*first), rest));
    }
    let (7, Some(first), Some(last)) = (length, text.first_chunk(), text.last_chunk()) else {
        return None;
    };
    let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
    Some((u64::from(first) | u64::from(last) << 24, 0))
}

/// See `address::parse_ipv4`. All places are read as the end of an octet at once, and four of them taken: a loop over the bytes
/// guesses wrong where octets differ in length, which is three times slower.
#[inline]
pub(crate) fn parse_ipv4(text: &[u8]) -> Option<u32> {
    let (low, high) = halves(text)?;
    let mut octets = [0; 16];
    // SAFETY: SSE2 is part of x86_64; the unaligned store writes exactly the 16 bytes of `octets`.
    let [dots, digits, zeros, above_255] = unsafe {
        let each = |byte: u8| _mm_set1_epi8(i8::from_ne_bytes([byte]));
        let signed = |half: u64| i64::from_ne_bytes(half.to_ne_bytes());
        let bits = |bytes| u32::from_ne_bytes(_mm_movemask_epi8(bytes).to_ne_bytes());
        let times_ten = |bytes| {
            let two = _mm_add_epi8(bytes, bytes);
            let four = _mm_add_epi8(two, two);
            _mm_add_epi8(_mm_add_epi8(four, four), two)
        };
        let word = _mm_set_epi64x(signed(high), signed(low));
        let values = _mm_sub_epi8(word, each(b'0'));
        let is_digit = _mm_cmpeq_epi8(_mm_min_epu8(values, each(9)), values);
        let ones = _mm_and_si128(values, is_digit);
        let tens = _mm_slli_si128::<1>(ones);
        // Two places before, when the one between is a digit too.
        let hundreds = _mm_and_si128(_mm_slli_si128::<2>(ones), _mm_slli_si128::<1>(is_digit));
        let below_100 = _mm_add_epi8(ones, times_ten(tens));
        let is_rest_above = _mm_cmpgt_epi8(below_100, each(55));
        let above_255 = _mm_or_si128(
            _mm_cmpgt_epi8(hundreds, each(2)),
            _mm_and_si128(_mm_cmpeq_epi8(hundreds, each(2)), is_rest_above),
        );
        let sums = _mm_add_epi8(below_100, times_ten(times_ten(hundreds)));
        _mm_storeu_si128(octets.as_mut_ptr().cast(), sums);
        [
            bits(_mm_cmpeq_epi8(word, each(b'.'))),
            bits(is_digit),
            bits(_mm_cmpeq_epi8(values, _mm_setzero_si128())),
            bits(above_255),
        ]
    };
    let end = 1 << text.len();
    let ends = dots | end;
    let starts = ends << 1 | 1;
    let wrong = (dots | digits) ^ (end - 1)
        // An octet has one to three digits, and no zero before another digit.
        | ends & starts
        | digits & digits >> 1 & digits >> 2 & digits >> 3
        | zeros & starts & digits >> 1
        | above_255 & digits;
    let second = ends & ends.wrapping_sub(1);
    let third = second & second.wrapping_sub(1);
    let fourth = third & third.wrapping_sub(1);
    if wrong != 0 || fourth != end {
        return None;
    }
    let before = |ends: u32| octets[ends.trailing_zeros().wrapping_sub(1) as usize & 15];
    Some(u32::from_be_bytes(
        [ends, second, third, fourth].map(before),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parse_ipv4;
    use crate::address::parse_octets;

    proptest! {
        #[test]
        fn addresses_are_read_as_byte_by_byte(text in "[0-9.]{0,17}|([0-9]{1,3}\\.){3}[0-9]{1,3}|([0-2]?[0-9]{1,2}\\.){3}[0-2]?[0-9]{1,2}.?", at: prop::sample::Index, byte: u8) {
            let mut text = text.into_bytes();
            prop_assert_eq!(parse_ipv4(&text), parse_octets(&text));
            if !text.is_empty() {
                let at = at.index(text.len());
                text[at] = byte;
                prop_assert_eq!(parse_ipv4(&text), parse_octets(&text));
            }
        }
    }
}

//! IPv6 texts to addresses, all places at once.
#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::{
    __m128i, _mm_add_epi8, _mm_and_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8,
    _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8, _mm_slli_epi16, _mm_slli_si128,
    _mm_storeu_si128, _mm_sub_epi8, _mm_unpackhi_epi8, _mm_unpacklo_epi8,
};

const CHUNK: usize = 16;
/// The first three places of a chunk do not see all digits before them, so the next one begins as many earlier.
const STRIDE: usize = CHUNK - 3;
/// Shorter texts are read faster byte by byte.
pub(crate) const SHORTEST: usize = 8;
const LONGEST: usize = 39;

/// At a place, the group whose last digit is the byte before; 0 beyond all texts.
type Values = [u16; 64];
/// Places whose value is 0, for the groups that a `::` stands for: one for each, and one that is always left.
const BLANKS: u64 = 0x1ff << FIRST_BLANK;
const FIRST_BLANK: u32 = 48;

/// What the bytes of a text are, a bit for each.
struct Classes {
    colons: u64,
    /// 0 when all are digits and colons.
    others: u64,
}

/// An address in hexadecimal groups, as in `address::parse_ipv6`; None for every other text, also for one that ends in an IPv4
/// address or is shorter than `SHORTEST`. All places are read as the end of a group at once, and eight of them taken: a loop
/// over the bytes guesses the length of every group, this the length of the text and whether there is a `::`.
#[inline]
pub(crate) fn parse_groups(text: &[u8]) -> Option<u128> {
    let length = text.len();
    if !(SHORTEST..=LONGEST).contains(&length) {
        return None;
    }
    let mut values: Values = [0; 64];
    let Classes { colons, others } = read_places(text, &mut values);
    if others != 0 {
        return None;
    }
    let end = 1_u64 << length;
    let ends = (colons | end) & !(colons << 1 | 1);
    let stops = colons | end.wrapping_neg();
    let two = stops | stops >> 1;
    // A place without a stop in it or the four behind.
    let too_long = !(two | two >> 2 | stops >> 4);
    let edges = 1 | end >> 1;
    let gaps = colons & colons >> 1;

    let mut rest = ends | BLANKS;
    let mut next = || {
        let place = rest.trailing_zeros() as usize & 63;
        rest &= rest.wrapping_sub(1);
        u64::from(values[place])
    };
    let mut half = || ((next() << 16 | next()) << 16 | next()) << 16 | next();
    let groups = u128::from(half()) << 64 | u128::from(half());
    if gaps == 0 {
        // Not one blank was taken, and no group is left.
        let wrong = too_long | colons & edges | (rest ^ BLANKS);
        return (wrong == 0).then_some(groups);
    }
    let single = colons & !(gaps | gaps << 1);
    let wrong = too_long | single & edges | gaps & gaps.wrapping_sub(1);
    let missing = rest.trailing_zeros().wrapping_sub(FIRST_BLANK);
    if wrong != 0 || !(1..=8).contains(&missing) {
        return None;
    }
    let before = (ends & (gaps << 1).wrapping_sub(1)).count_ones();
    let behind = u128::MAX >> (16 * before);
    // `::` alone has nothing to move: its eight missing groups would be all 128 bits.
    Some(groups & !behind | (groups & behind).wrapping_shr(16 * missing))
}

/// `text` has `SHORTEST` to `LONGEST` bytes.
#[inline]
fn read_places(text: &[u8], values: &mut Values) -> Classes {
    let length = text.len();
    let Some(last) = length.checked_sub(CHUNK) else {
        let low = i64::from_le_bytes(text.first_chunk().copied().unwrap_or_default());
        let high = u64::from_le_bytes(text.last_chunk().copied().unwrap_or_default());
        // Without the bytes that are in `low` too; two shifts, as one by all 64 bits does not exist.
        let high = i64::from_ne_bytes((high >> (8 * (15 - length)) >> 8).to_ne_bytes());
        // SAFETY: SSE2 is part of x86_64.
        let chunk = unsafe { _mm_set_epi64x(high, low) };
        let (colons, known) = read_chunk(chunk, values, 0);
        let others = bits(known) ^ ((1 << length) - 1);
        return Classes { colons, others };
    };
    let load = |start: usize| {
        let chunk: &[u8; CHUNK] = text[start..].first_chunk().unwrap_or(&[0; CHUNK]);
        // SAFETY: SSE2 is part of x86_64; the unaligned load reads exactly the 16 bytes of `chunk`.
        unsafe { _mm_loadu_si128(chunk.as_ptr().cast()) }
    };
    // SAFETY: SSE2 is part of x86_64.
    let both = |one, other| unsafe { _mm_and_si128(one, other) };
    // The last first: a chunk's right values replace the wrong ones at the beginning of the next.
    let (in_last, known) = read_chunk(load(last), values, last);
    let (mut colons, mut known) = (in_last << last, known);
    if last > STRIDE {
        let (in_middle, known_middle) = read_chunk(load(STRIDE), values, STRIDE);
        colons |= in_middle << STRIDE;
        known = both(known, known_middle);
    }
    let (in_first, known_first) = read_chunk(load(0), values, 0);
    Classes {
        colons: colons | in_first,
        others: bits(both(known, known_first)) ^ 0xffff,
    }
}

/// Writes the values of the places behind 16 bytes that begin at `start`, and says where colons are and which bytes are those
/// or digits.
#[inline]
fn read_chunk(chunk: __m128i, values: &mut Values, start: usize) -> (u64, __m128i) {
    let target: &mut [u16; CHUNK] = values[start + 1..]
        .first_chunk_mut()
        .expect("a text of 39 bytes ends before the blanks");
    // SAFETY: SSE2 is part of x86_64; the two unaligned stores write exactly the 32 bytes of `target`.
    unsafe {
        let each = |byte: u8| _mm_set1_epi8(i8::from_ne_bytes([byte]));
        // Unsigned `byte - first <= span`.
        let within = |bytes, first: u8, span: u8| {
            let above = _mm_sub_epi8(bytes, each(first));
            _mm_cmpeq_epi8(_mm_min_epu8(above, each(span)), above)
        };
        let colons = _mm_cmpeq_epi8(chunk, each(b':'));
        // The bit makes letters small.
        let letters = within(_mm_or_si128(chunk, each(0x20)), b'a', 5);
        let digits = _mm_or_si128(letters, within(chunk, b'0', 9));
        let low_bits = _mm_and_si128(chunk, each(15));
        let ones = _mm_add_epi8(low_bits, _mm_and_si128(letters, each(9)));
        let ones = _mm_and_si128(ones, digits);
        let sixteens = _mm_slli_epi16::<4>(_mm_slli_si128::<1>(ones));
        let low = _mm_and_si128(_mm_or_si128(ones, sixteens), digits);
        // Two places before, when the one between is a digit too.
        let high = _mm_and_si128(_mm_slli_si128::<2>(low), _mm_slli_si128::<1>(digits));
        let start: *mut __m128i = target.as_mut_ptr().cast();
        _mm_storeu_si128(start, _mm_unpacklo_epi8(low, high));
        _mm_storeu_si128(start.add(1), _mm_unpackhi_epi8(low, high));
        (bits(colons), _mm_or_si128(digits, colons))
    }
}

#[inline]
fn bits(bytes: __m128i) -> u64 {
    // SAFETY: SSE2 is part of x86_64.
    let mask = unsafe { _mm_movemask_epi8(bytes) };
    u64::from(u32::from_ne_bytes(mask.to_ne_bytes()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::{SHORTEST, parse_groups};
    use crate::address::parse_by_byte;

    /// Against the byte-by-byte reader, and that against the standard library's.
    fn check(text: &[u8]) {
        let expected = parse_by_byte(text);
        if let Ok(text) = std::str::from_utf8(text) {
            assert_eq!(expected, text.parse().ok().map(Ipv6Addr::to_bits), "{text}");
        }
        let is_ours = text.len() >= SHORTEST && !text.contains(&b'.');
        let expected = expected.filter(|_| is_ours);
        assert_eq!(parse_groups(text), expected, "{}", text.escape_ascii());
    }

    /// All texts of these bytes up to a length, in front of and behind others.
    fn check_all(bytes: &[u8], longest: u32) {
        // The interpreter needs a millisecond for each.
        let longest = if cfg!(miri) { longest / 3 } else { longest };
        for length in 0..=longest {
            for number in 0..bytes.len().pow(length) {
                let digit = |place| bytes[number / bytes.len().pow(place) % bytes.len()];
                let text: Vec<u8> = (0..length).map(digit).collect();
                check(&text);
                check(&[&text, &b"2001:db8"[..]].concat());
                check(&[&b"2:3:4:5:6:"[..], &text].concat());
                check(&[&b"2001:db8:aaaa:bbbb:cc"[..], &text, b"dd:1"].concat());
            }
        }
    }

    #[test]
    fn every_short_text_is_read_as_byte_by_byte() {
        check_all(b"0aF:.g%", 5);
        check_all(b"1f:", 8);
        check_all(b":1", 14);
    }

    /// Every length of every group beside every place of a gap, in texts of every number of groups.
    #[test]
    fn every_shape_is_read_as_byte_by_byte() {
        let widths: &[usize] = if cfg!(miri) {
            &[4]
        } else {
            &[0, 1, 2, 3, 4, 5]
        };
        let counts = if cfg!(miri) { 7..=8 } else { 1..=9 };
        for count in counts {
            for gap in 0..=count + 1 {
                for (odd, width, others) in (0..count).flat_map(|odd| {
                    widths
                        .iter()
                        .flat_map(move |width| [1, 2, 3, 4].map(|others| (odd, *width, others)))
                }) {
                    let group =
                        |at: usize| "9aBcDe7"[..if at == odd { width } else { others }].to_owned();
                    let groups: Vec<String> = (0..count).map(group).collect();
                    let text = if gap > count {
                        groups.join(":")
                    } else {
                        groups[..gap].join(":") + "::" + &groups[gap..].join(":")
                    };
                    check(text.as_bytes());
                }
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn every_change_of_one_byte_is_read_as_byte_by_byte() {
        for text in [
            "::",
            "::1",
            "1::",
            "fe80::1",
            "64:ff9b::c0a8:1",
            "2001:db8::",
            "2606:4700::1111",
            "2001:db8:aaaa::1",
            "2001:DB8:0:1234::",
            "2a02:26f0:9500:1::b:c",
            "1:2:3:4:5:6:7:8",
            "::2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "2001:db8:1:22:333:4444:5:66",
            "2001:db8:85a3:8d3:1319:8a2e:370:7348",
            "2001:0db8:0000:0042:8a2e:0370:7334:ffff",
            "::ffff:192.0.2.1",
        ] {
            let mut text = text.as_bytes().to_vec();
            check(&text);
            for at in 0..text.len() {
                let right = text[at];
                for byte in 0..=u8::MAX {
                    text[at] = byte;
                    check(&text);
                }
                text[at] = right;
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_byte_by_byte(text in "[0-9a-fA-F:]{0,45}|([0-9a-f]{1,4}:){1,7}(:|[0-9a-f]{0,4})|.{0,40}") {
            check(text.as_bytes());
        }

        #[test]
        fn an_address_with_changed_bytes_is_read_as_byte_by_byte(
            groups: [u16; 8], zeros: u8, is_full: bool, edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)
        ) {
            let mut index = 0..8;
            let groups = groups.map(|group| if index.next().is_some_and(|bit| zeros >> bit & 1 == 1) { 0 } else { group >> (group & 15) });
            let mut text = if is_full {
                groups.map(|group| format!("{group:04X}")).join(":").into_bytes()
            } else {
                Ipv6Addr::from(groups).to_string().into_bytes()
            };
            check(&text);
            for (at, byte) in edits {
                let at = at.index(text.len());
                text[at] = byte;
            }
            check(&text);
        }
    }
}

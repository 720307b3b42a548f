//! IPv6 texts to numbers.

use super::parse_ipv4;

/// The value of a hexadecimal digit, `NO_DIGIT` for other bytes.
const HEX_DIGITS: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        values[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    values
};
const NO_DIGIT: u8 = 0xff;

/// RFC 4291 section 2.2, without a zone.
#[inline]
pub fn parse_ipv6(text: &[u8]) -> Option<u128> {
    #[cfg(target_arch = "x86_64")]
    if text.len() >= crate::simd::SHORTEST_IN_GROUPS && !ends_in_ipv4(text) {
        return crate::simd::parse_groups(text);
    }
    parse_by_byte(text)
}

/// Its last dot is among the last four bytes.
#[cfg(target_arch = "x86_64")]
#[inline]
fn ends_in_ipv4(text: &[u8]) -> bool {
    text.last_chunk::<4>()
        .is_some_and(|end| end.contains(&b'.'))
}

/// `parse_ipv6` in one pass over the bytes: short texts, and those that end in an IPv4 address.
#[inline(never)]
pub(crate) fn parse_by_byte(text: &[u8]) -> Option<u128> {
    if text.len() > 45 {
        return None;
    }
    let mut groups = Groups::default();
    let (mut position, mut group, mut digits) = (0, 0_u32, 0_u32);
    if text.starts_with(b"::") {
        (groups.gap, position) = (Some(0), 2);
        if text.len() == 2 {
            return Some(0);
        }
    }
    let mut group_start = position;
    while let Some(&byte) = text.get(position) {
        position += 1;
        let digit = HEX_DIGITS[usize::from(byte)];
        if digit != NO_DIGIT {
            group = group << 4 | u32::from(digit);
            digits += 1;
            continue;
        }
        if byte == b'.' {
            let tail = parse_ipv4(&text[group_start..])?;
            groups.push(tail >> 16)?;
            groups.push(tail & 0xffff)?;
            return groups.finish();
        }
        if byte != b':' || !(1..=4).contains(&digits) {
            return None;
        }
        groups.push(group)?;
        if text.get(position) == Some(&b':') {
            position += 1;
            if groups.gap.replace(groups.count).is_some() {
                return None;
            }
            if position == text.len() {
                return groups.finish();
            }
        }
        (group, digits, group_start) = (0, 0, position);
    }
    if !(1..=4).contains(&digits) {
        return None;
    }
    groups.push(group)?;
    groups.finish()
}

#[derive(Default)]
struct Groups {
    bits: u128,
    count: u32,
    /// Groups before the `::`.
    gap: Option<u32>,
}

impl Groups {
    fn push(&mut self, group: u32) -> Option<()> {
        self.count += 1;
        self.bits = self.bits << 16 | u128::from(group);
        (self.count <= 8).then_some(())
    }

    fn finish(self) -> Option<u128> {
        let Some(before) = self.gap else {
            return (self.count == 8).then_some(self.bits);
        };
        if self.count > 7 {
            return None;
        }
        let after_bits = 16 * (self.count - before);
        let low = self.bits & ((1_u128 << after_bits) - 1);
        // Shifts by the whole width do not exist, so nothing before the gap is its own case.
        let high = if before == 0 {
            0
        } else {
            self.bits >> after_bits << (128 - 16 * before)
        };
        Some(high | low)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::{parse_by_byte, parse_ipv6};

    /// The vector form has its own in `simd::ipv6`; these go now one way, now the other.
    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn every_change_of_one_byte_beside_an_ipv4_address_is_read_as_the_standard_library_reads_it() {
        for text in [
            "::1",
            "1::2:3",
            "fe80::12",
            "::1.2.3.4",
            "64:ff9b::192.0.2.33",
            "::ffff:10.0.200.1",
            "1:2:3:4:5:6:7.8.9.10",
            "1111:2222:3333:4444:5555:6666:123.123.123.123",
        ] {
            let mut text = text.as_bytes().to_vec();
            for at in 0..text.len() {
                let right = text[at];
                for byte in 0..128 {
                    text[at] = byte;
                    let name = std::str::from_utf8(&text).expect("ASCII");
                    let expected = name.parse().ok().map(Ipv6Addr::to_bits);
                    assert_eq!(parse_ipv6(&text), expected, "{name}");
                    assert_eq!(parse_by_byte(&text), expected, "{name}");
                }
                text[at] = right;
            }
        }
    }
}

//! Address texts to numbers. Mapped IPv4 (`::ffff:0:0/96`) becomes IPv4 everywhere.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

pub use crate::network::{Network, NetworkError};
pub(crate) use crate::network::{mask4, mask6};

/// An address; `V6` never holds a mapped IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    V4(u32),
    V6(u128),
}

impl Address {
    #[inline]
    pub fn from_v6(bits: u128) -> Self {
        match unmap(bits) {
            Some(mapped) => Self::V4(mapped),
            None => Self::V6(bits),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(bits) => Ipv4Addr::from_bits(*bits).fmt(formatter),
            Self::V6(bits) => Ipv6Addr::from_bits(*bits).fmt(formatter),
        }
    }
}

/// The IPv4 address inside a mapped one.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low 32 bits are what is wanted"
)]
pub fn unmap(bits: u128) -> Option<u32> {
    (bits >> 32 == 0xffff).then_some(bits as u32)
}

/// Four decimal octets. A leading zero is refused: some readers take it for octal (RFC 6943 section 3.1.1).
#[inline]
pub fn parse_ipv4(text: &[u8]) -> Option<u32> {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    return crate::simd::parse_ipv4(text);
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    return parse_octets(text);
}

/// `parse_ipv4` byte by byte.
#[cfg(any(test, miri, not(target_arch = "x86_64")))]
pub(crate) fn parse_octets(text: &[u8]) -> Option<u32> {
    if !(7..=15).contains(&text.len()) {
        return None;
    }
    let (mut address, mut octet, mut digits, mut dots) = (0_u32, 0_u32, 0_u32, 0_u32);
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            if digits != 0 && octet == 0 {
                return None;
            }
            octet = octet * 10 + u32::from(digit);
            digits += 1;
            if octet > 255 {
                return None;
            }
        } else {
            if byte != b'.' || digits == 0 {
                return None;
            }
            address = address << 8 | octet;
            dots += 1;
            (octet, digits) = (0, 0);
        }
    }
    (dots == 3 && digits != 0).then_some(address << 8 | octet)
}

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

/// RFC 4291 section 2.2, without a zone. In one pass 22-29 ns; looking for the end of each group first, 35-50.
pub fn parse_ipv6(text: &[u8]) -> Option<u128> {
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

/// An address of either family; a zone (`%eth0`) is dropped.
#[inline]
pub fn parse_address(text: &[u8]) -> Option<Address> {
    if let Some(bits) = parse_ipv4(text) {
        return Some(Address::V4(bits));
    }
    let text = match text.iter().position(|byte| *byte == b'%') {
        Some(at) if at + 1 < text.len() && !text[at + 1..].contains(&b'%') => &text[..at],
        Some(_) => return None,
        None => text,
    };
    parse_ipv6(text).map(Address::from_v6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn odd_spellings_are_judged_by_one_rule() {
        for good in [
            "::",
            "::1",
            "1::",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "a::B",
            "::1.2.3.4",
        ] {
            assert_eq!(
                parse_ipv6(good.as_bytes()),
                good.parse().ok().map(Ipv6Addr::to_bits),
                "{good}"
            );
        }
        for bad in [
            "",
            ":",
            ":::",
            "1:",
            ":1",
            "1:2",
            "1::2::3",
            "12345::",
            "1:2:3:4:5:6:7:8:9",
            "1::2:3:4:5:6:7:8",
        ] {
            assert_eq!(parse_ipv6(bad.as_bytes()), None, "{bad}");
        }
        for bad in [
            "::1.2.3",
            "::1.2.3.04",
            "1:2:3:4:5:6:7:1.2.3.4",
            "g::",
            "1.2.3.4",
            "::1%eth0",
            "::1 ",
        ] {
            assert_eq!(parse_ipv6(bad.as_bytes()), None, "{bad}");
        }
        for bad in [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.256",
            "1..2.3",
            "1.2.3.",
            ".1.2.3",
            "1.2.3.4 ",
        ] {
            assert_eq!(parse_ipv4(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(
            parse_address(b"fe80::1%eth0"),
            Some(Address::V6(0xfe80 << 112 | 1))
        );
        assert_eq!(parse_address(b"fe80::1%"), None);
        assert_eq!(parse_address(b"1.2.3.4%eth0"), None);
        assert_eq!(
            parse_address(b"::ffff:1.2.3.4"),
            Some(Address::V4(0x0102_0304))
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_the_standard_library_reads_it(text in "[0-9a-f:.]{0,24}") {
            prop_assert_eq!(parse_ipv4(text.as_bytes()), text.parse().ok().map(Ipv4Addr::to_bits));
            prop_assert_eq!(parse_ipv6(text.as_bytes()), text.parse().ok().map(Ipv6Addr::to_bits));
        }

        #[test]
        fn an_address_with_changed_bytes_is_read_as_the_standard_library_reads_it(
            groups: [u16; 8], zeros: u8, is_mapped: bool, edits in prop::collection::vec((any::<prop::sample::Index>(), "[0-9a-fA-Fg:. ]"), 0..3)
        ) {
            let mut index = 0..8;
            let groups = groups.map(|group| if index.next().is_some_and(|bit| zeros >> bit & 1 == 1) { 0 } else { group >> (group & 15) });
            let mut text = Ipv6Addr::from(groups).to_string();
            if is_mapped {
                text = format!("::{}.{}.{}.{}", groups[0] & 255, groups[1] & 255, groups[2] & 255, groups[3] & 255);
            }
            for (at, byte) in edits {
                let at = at.index(text.len());
                text.replace_range(at..=at, &byte);
            }
            prop_assert_eq!(parse_ipv6(text.as_bytes()), text.parse().ok().map(Ipv6Addr::to_bits), "{}", text);
        }

        #[test]
        fn what_is_printed_is_read_back(bits: u128, shift in 0_u32..128, small: u32) {
            let bits = bits >> shift;
            prop_assert_eq!(parse_address(Address::from_v6(bits).to_string().as_bytes()), Some(Address::from_v6(bits)));
            prop_assert_eq!(parse_address(Address::V4(small).to_string().as_bytes()), Some(Address::V4(small)));
        }
    }
}

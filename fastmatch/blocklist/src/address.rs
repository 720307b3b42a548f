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

/// RFC 4291 section 2.2, without a zone.
pub fn parse_ipv6(text: &[u8]) -> Option<u128> {
    if text.len() > 45 {
        return None;
    }
    let mut groups = Groups::default();
    let mut rest = text;
    if let Some(after) = rest.strip_prefix(b"::") {
        groups.gap = Some(0);
        rest = after;
        if rest.is_empty() {
            return Some(0);
        }
    }
    loop {
        let digits = rest
            .iter()
            .take(5)
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        if rest.get(digits) == Some(&b'.') {
            let tail = parse_ipv4(rest)?;
            groups.push(tail >> 16)?;
            groups.push(tail & 0xffff)?;
            return groups.finish();
        }
        if digits == 0 || digits > 4 {
            return None;
        }
        groups.push(
            rest[..digits]
                .iter()
                .fold(0, |value, byte| value << 4 | hex_value(*byte)),
        )?;
        rest = &rest[digits..];
        let Some(after) = rest.strip_prefix(b":") else {
            return if rest.is_empty() {
                groups.finish()
            } else {
                None
            };
        };
        rest = after;
        if let Some(after) = rest.strip_prefix(b":") {
            if groups.gap.replace(groups.count).is_some() {
                return None;
            }
            rest = after;
            if rest.is_empty() {
                return groups.finish();
            }
        }
    }
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

/// Of a byte known to be a hexadecimal digit: letters have bit 6 and begin at 1.
fn hex_value(digit: u8) -> u32 {
    u32::from((digit & 15) + 9 * (digit >> 6))
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
        fn what_is_printed_is_read_back(bits: u128, shift in 0_u32..128, small: u32) {
            let bits = bits >> shift;
            prop_assert_eq!(parse_address(Address::from_v6(bits).to_string().as_bytes()), Some(Address::from_v6(bits)));
            prop_assert_eq!(parse_address(Address::V4(small).to_string().as_bytes()), Some(Address::V4(small)));
        }
    }
}

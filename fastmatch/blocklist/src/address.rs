//! Address texts to numbers. Mapped IPv4 (`::ffff:0:0/96`) becomes IPv4 everywhere.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

pub use crate::network::{Network, NetworkError};
pub(crate) use crate::network::{mask4, mask6};

mod ipv6;

#[cfg(test)]
pub(crate) use ipv6::parse_by_byte;
pub use ipv6::parse_ipv6;

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
    #[cfg(target_arch = "x86_64")]
    return crate::simd::parse_ipv4(text);
    #[cfg(not(target_arch = "x86_64"))]
    return parse_octets(text);
}

/// `parse_ipv4` byte by byte.
#[cfg(any(test, not(target_arch = "x86_64")))]
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

/// An address of either family; a zone (`%eth0`) is dropped.
#[inline]
pub fn parse_address(text: &[u8]) -> Option<Address> {
    if let Some(bits) = parse_ipv4(text) {
        return Some(Address::V4(bits));
    }
    // Looking for a zone costs half as much as reading the address: only where that has failed.
    let bits = parse_ipv6(text).or_else(|| parse_ipv6(before_zone(text)?));
    bits.map(Address::from_v6)
}

/// None without a zone, when it is empty, and when there are two.
#[cold]
fn before_zone(text: &[u8]) -> Option<&[u8]> {
    let at = text.iter().position(|byte| *byte == b'%')?;
    let zone = &text[at + 1..];
    (!zone.is_empty() && !zone.contains(&b'%')).then_some(&text[..at])
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

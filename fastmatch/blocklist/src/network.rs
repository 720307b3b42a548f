//! Networks: an address and how many of its bits count.

use std::fmt;

use crate::address::{Address, parse_address, parse_ipv4, parse_ipv6};

const MAPPED_PREFIX: u128 = 0xffff << 32;

/// A prefix with zero host bits; never one inside the mapped range of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Network {
    V4 { start: u32, length: u8 },
    V6 { start: u128, length: u8 },
}

/// Why a text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    Address,
    Length,
    HostBits,
    NotOneAddress,
}

impl Network {
    /// `address` or `address/length`. With `mask` host bits are cleared, otherwise they are an error.
    pub fn parse(text: &[u8], mask: bool) -> Result<Self, NetworkError> {
        let Some(slash) = text.iter().position(|byte| *byte == b'/') else {
            return parse_address(text)
                .map(Self::host)
                .ok_or(NetworkError::Address);
        };
        let (address, length) = (&text[..slash], parse_length(&text[slash + 1..]));
        let network = if let Some(bits) = parse_ipv4(address) {
            length.and_then(|length| Self::v4(bits, length))
        } else {
            let bits = parse_ipv6(address).ok_or(NetworkError::Address)?;
            length.and_then(|length| Self::v6(bits, length))
        };
        let (network, had_host_bits) = network.ok_or(NetworkError::Length)?;
        if had_host_bits && !mask {
            Err(NetworkError::HostBits)
        } else {
            Ok(network)
        }
    }

    pub fn host(address: Address) -> Self {
        match address {
            Address::V4(start) => Self::V4 { start, length: 32 },
            Address::V6(start) => Self::V6 { start, length: 128 },
        }
    }

    /// The network and whether host bits had to be cleared; None when the length is out of range.
    pub fn v4(bits: u32, length: u8) -> Option<(Self, bool)> {
        let mask = mask4(length)?;
        Some((
            Self::V4 {
                start: bits & mask,
                length,
            },
            bits & !mask != 0,
        ))
    }

    /// As `v4`; a prefix inside the mapped range becomes its IPv4 prefix.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a mapped address has 32 bits of its own"
    )]
    pub fn v6(bits: u128, length: u8) -> Option<(Self, bool)> {
        let mask = mask6(length)?;
        let (start, had_host_bits) = (bits & mask, bits & !mask != 0);
        let network = if length >= 96 && start & !0xffff_ffff == MAPPED_PREFIX {
            Self::V4 {
                start: start as u32,
                length: length - 96,
            }
        } else {
            Self::V6 { start, length }
        };
        Some((network, had_host_bits))
    }

    pub fn length(&self) -> u8 {
        match self {
            Self::V4 { length, .. } | Self::V6 { length, .. } => *length,
        }
    }

    pub fn first(&self) -> Address {
        match *self {
            Self::V4 { start, .. } => Address::V4(start),
            Self::V6 { start, .. } => Address::V6(start),
        }
    }

    pub fn is_host(&self) -> bool {
        matches!(
            self,
            Self::V4 { length: 32, .. } | Self::V6 { length: 128, .. }
        )
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.first(), self.length())
    }
}

fn parse_length(text: &[u8]) -> Option<u8> {
    if text.is_empty() || text.len() > 3 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    u8::try_from(
        text.iter()
            .fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0')),
    )
    .ok()
}

/// None when the length is more than the family has.
pub fn mask4(length: u8) -> Option<u32> {
    let host_bits = 32_u32.checked_sub(u32::from(length))?;
    Some(u32::MAX.checked_shl(host_bits).unwrap_or(0))
}

/// None when the length is more than the family has.
pub fn mask6(length: u8) -> Option<u128> {
    let host_bits = 128_u32.checked_sub(u32::from(length))?;
    Some(u128::MAX.checked_shl(host_bits).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_masked_or_refused_and_mapped_ones_become_ipv4() {
        let parse =
            |text: &str| Network::parse(text.as_bytes(), false).map(|network| network.to_string());
        assert_eq!(parse("10.0.0.0/8").as_deref(), Ok("10.0.0.0/8"));
        assert_eq!(parse("0.0.0.0/0").as_deref(), Ok("0.0.0.0/0"));
        assert_eq!(parse("::ffff:1.2.3.0/120").as_deref(), Ok("1.2.3.0/24"));
        assert_eq!(parse("::ffff:0:0/96").as_deref(), Ok("0.0.0.0/0"));
        assert_eq!(parse("::/0").as_deref(), Ok("::/0"));
        assert_eq!(parse("10.0.0.1/8"), Err(NetworkError::HostBits));
        for bad in [
            "10.0.0.0/33",
            "::/129",
            "::/",
            "::/-1",
            "::/1 ",
            "10.0.0.0/256",
        ] {
            assert_eq!(parse(bad), Err(NetworkError::Length), "{bad}");
        }
        assert_eq!(
            Network::parse(b"10.0.0.1/8", true).map(|network| network.length()),
            Ok(8)
        );
    }
}

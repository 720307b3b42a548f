//! The proxies whose word is taken: networks, written strictly.

use std::net::IpAddr;

/// A handful of networks, scanned in order; one compare each.
#[derive(Clone, Debug, Default)]
pub struct TrustedNetworks {
    networks: Vec<Network>,
}

#[derive(Clone, Copy, Debug)]
struct Network {
    /// `::/0` does not hold 10.0.0.1.
    is_ipv4: bool,
    bits: u128,
    mask: u128,
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl TrustedNetworks {
    /// Host bits that are set are an error: `10.0.0.1/8` is somebody's typing mistake.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, String> {
        let networks = texts
            .into_iter()
            .map(parse_network)
            .collect::<Result<_, _>>()?;
        Ok(Self { networks })
    }

    /// The address is canonical: mapped IPv4 is unmapped already.
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (is_ipv4, bits) = (address.is_ipv4(), bits(address));
        self.networks
            .iter()
            .any(|network| network.is_ipv4 == is_ipv4 && bits & network.mask == network.bits)
    }
}

fn parse_network(text: &str) -> Result<Network, String> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address
        .parse()
        .map_err(|_| format!("{text:?} is not an address or a network"))?;
    if address.to_canonical() != address {
        return Err(format!("{text:?}: write a mapped address as IPv4"));
    }
    let width = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => width,
        Some(digits) if digits.bytes().all(|octet| octet.is_ascii_digit()) => digits
            .parse::<u32>()
            .ok()
            .filter(|length| *length <= width)
            .ok_or_else(|| format!("{text:?}: the prefix length is 0-{width}"))?,
        Some(_) => return Err(format!("{text:?}: the prefix length is a number")),
    };
    let host_bits = 1_u128
        .checked_shl(width - length)
        .map_or(u128::MAX, |bit| bit - 1);
    let network = bits(address);
    if network & host_bits != 0 {
        return Err(format!("{text:?} has host bits set"));
    }
    Ok(Network {
        is_ipv4: address.is_ipv4(),
        bits: network,
        mask: !host_bits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_they_say() {
        let trusted =
            TrustedNetworks::parse(["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]).expect("valid");
        for (text, expected) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
        ] {
            let address: IpAddr = text.parse().expect("valid");
            assert_eq!(trusted.contains(address), expected, "{text}");
        }
        let any_ipv4 = TrustedNetworks::parse(["0.0.0.0/0"]).expect("valid");
        let any_ipv6 = TrustedNetworks::parse(["::/0"]).expect("valid");
        let (ipv4, ipv6): (IpAddr, IpAddr) = ([1, 2, 3, 4].into(), [0xffff; 8].into());
        assert!(any_ipv4.contains(ipv4) && !any_ipv4.contains(ipv6));
        assert!(any_ipv6.contains(ipv6) && !any_ipv6.contains(ipv4));
    }

    #[test]
    fn typing_mistakes_are_refused() {
        for text in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "::/129",
            "x",
            "",
            "10.0.0",
            "::ffff:10.0.0.0/104",
        ] {
            assert!(TrustedNetworks::parse([text]).is_err(), "{text}");
        }
    }
}

//! An address range to the fewest networks.

use crate::address::{Address, Network};

/// None when the end lies before the beginning or the families differ.
pub(super) fn networks_between(first: Address, last: Address) -> Option<Vec<Network>> {
    let (mut start, end, width) = match (first, last) {
        (Address::V4(first), Address::V4(last)) => (u128::from(first), u128::from(last), 32),
        (Address::V6(first), Address::V6(last)) => (first, last, 128),
        _ => return None,
    };
    if start > end {
        return None;
    }
    let mut networks = Vec::new();
    loop {
        // The largest block that begins at `start` (its alignment) and does not pass `end` (what is left, rounded down).
        let aligned = start.trailing_zeros().min(width);
        let left = match (end - start).checked_add(1) {
            Some(count) => count.ilog2(),
            None => width,
        };
        let host_bits = aligned.min(left);
        networks.push(network(start, width, host_bits)?);
        let last = start
            | 1_u128
                .checked_shl(host_bits)
                .map_or(u128::MAX, |size| size - 1);
        if last >= end {
            return Some(networks);
        }
        start = last + 1;
    }
}

fn network(start: u128, width: u32, host_bits: u32) -> Option<Network> {
    let length = u8::try_from(width - host_bits).ok()?;
    let network = if width == 32 {
        Network::v4(u32::try_from(start).ok()?, length)
    } else {
        Network::v6(start, length)
    };
    network.map(|(network, _)| network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::parse_address;
    use proptest::prelude::*;

    fn between(first: &str, last: &str) -> Option<Vec<String>> {
        let address = |text: &str| parse_address(text.as_bytes()).expect("an address");
        let networks = networks_between(address(first), address(last))?;
        Some(networks.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn ranges_become_the_fewest_networks() {
        assert_eq!(
            between("10.0.0.0", "10.0.0.255").as_deref(),
            Some(&["10.0.0.0/24".into()][..])
        );
        assert_eq!(
            between("0.0.0.0", "255.255.255.255").as_deref(),
            Some(&["0.0.0.0/0".into()][..])
        );
        let odd = between("10.0.0.1", "10.0.0.4").expect("a range");
        assert_eq!(odd, ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/32"]);
        let all = between("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        assert_eq!(all.as_deref(), Some(&["::/0".into()][..]));
        assert_eq!(between("10.0.0.2", "10.0.0.1"), None);
        assert_eq!(between("10.0.0.2", "::1"), None);
    }

    proptest! {
        #[test]
        fn the_networks_cover_the_range_without_gap_or_overlap(first: u32, span in 0_u32..5000) {
            let last = first.saturating_add(span);
            let networks = networks_between(Address::V4(first), Address::V4(last)).expect("a range");
            let mut next = u64::from(first);
            for network in networks {
                let Network::V4 { start, length } = network else { panic!("IPv4 in, IPv4 out") };
                prop_assert_eq!(u64::from(start), next);
                next += 1_u64 << (32 - length);
            }
            prop_assert_eq!(next, u64::from(last) + 1);
        }
    }
}

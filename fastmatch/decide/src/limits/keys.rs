//! What a request is counted by -> its key in the table, by a hash whose seed the segment's owners share.

use std::net::IpAddr;

use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use crate::gate::mix;

/// Which limit of which place a key belongs to. The same in all workers, after a reload, and with other numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(u64);

impl Identity {
    pub fn of(place: Option<&str>, is_of_route: bool, name: &str, key: &str) -> Self {
        let secrets = RapidSecrets::seed(0);
        let hash = |text: &str| rapidhash_v3_seeded(text.as_bytes(), &secrets);
        // Mixed in turn: the same texts in other places are something else.
        let start = mix(u64::from(is_of_route) + 1);
        let place = mix(start ^ place.map_or(0, hash));
        Self(mix(mix(place ^ hash(name)) ^ hash(key)))
    }
}

#[derive(Clone)]
pub(crate) struct Keys {
    secrets: RapidSecrets,
}

impl Keys {
    pub fn new(seed: u64) -> Self {
        Self {
            secrets: RapidSecrets::seed(seed),
        }
    }

    fn of_bytes(&self, start: u64, bytes: &[u8]) -> u64 {
        mix(start ^ rapidhash_v3_seeded(bytes, &self.secrets))
    }

    pub fn of_client(&self, identity: Identity, client: IpAddr) -> u64 {
        self.of_bytes(identity.0, &network_of(client))
    }

    pub fn of_all(&self, identity: Identity) -> u64 {
        self.of_bytes(identity.0, b"")
    }

    /// None without a value. Several lines are one value: their order counts.
    pub fn of_values<'v>(
        &self,
        identity: Identity,
        mut values: impl Iterator<Item = &'v [u8]>,
    ) -> Option<u64> {
        let first = self.of_bytes(identity.0, values.next()?);
        Some(values.fold(first, |key, value| self.of_bytes(key, value)))
    }
}

/// What is one client: an IPv4 address, or a /64 of IPv6, within which addresses are changed at will.
pub(crate) fn network_of(client: IpAddr) -> [u8; 9] {
    let (family, bytes) = match client {
        IpAddr::V4(address) => (4, u64::from(address.to_bits())),
        IpAddr::V6(address) => (6, u64::try_from(address.to_bits() >> 64).unwrap_or(0)),
    };
    let mut network = [family; 9];
    network[1..].copy_from_slice(&bytes.to_be_bytes());
    network
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> [u8; 9] {
        network_of(text.parse().expect("an address"))
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_a_64_of_ipv6() {
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("0.0.0.7"), network("0:0:0:7::"));
    }

    #[test]
    fn keys_differ_by_limit_value_and_seed() {
        let (keys, other) = (Keys::new(1), Keys::new(2));
        let (a, b) = (
            Identity::of(None, false, "a", "client"),
            Identity::of(None, false, "b", "client"),
        );
        let key = |keys: &Keys, identity, values: &[&[u8]]| {
            keys.of_values(identity, values.iter().copied())
        };
        let plain = key(&keys, a, &[b"x"]);
        assert_eq!(plain, key(&keys, a, &[b"x"]));
        for different in [
            key(&keys, b, &[b"x"]),
            key(&keys, a, &[b"y"]),
            key(&keys, a, &[b"x", b"x"]),
            key(&other, a, &[b"x"]),
            None,
        ] {
            assert_ne!(plain, different);
        }
        assert_eq!(key(&keys, a, &[]), None);
        assert_ne!(key(&keys, a, &[b"x", b"y"]), key(&keys, a, &[b"y", b"x"]));
    }
}

//! A batch says of each key what the single lookup says, with and without an overlay, at any time.

mod universe;

use std::sync::Arc;

use blocklist::address::Address;
use blocklist::{Blocklist, Disposition, Entry, NO_DOMAIN, Statement, Subject, VerdictRef, pack};
use proptest::collection::vec;
use proptest::prelude::*;
use universe::{build, entry, subjects};

fn tombstone(aim: &Entry) -> Entry {
    let statement = Statement {
        disposition: Disposition::Tombstone,
        sources: Box::default(),
        categories: Box::default(),
        expires: None,
        ..(*aim.statement).clone()
    };
    Entry {
        target: aim.target.clone(),
        statement: Arc::new(statement.checked().expect("valid")),
    }
}

fn code(verdict: Option<VerdictRef<'_>>) -> u32 {
    verdict.map_or(0, |verdict| verdict.id() + 1)
}

struct Keys {
    ipv4: Vec<u32>,
    ipv6: Vec<u128>,
    names: Vec<Vec<u8>>,
}

/// `times` over, so that a batch may be longer than a block and than the table of chains, or shorter.
fn keys(times: usize) -> Keys {
    let mut keys = Keys {
        ipv4: Vec::new(),
        ipv6: vec![0xffff_0a00_0003, 0xffff_0000_0000],
        names: [&b"A.b."[..], b"a..b", b"", b"1.2.3.4", b"\xff"]
            .map(Into::into)
            .into(),
    };
    for subject in subjects() {
        match subject {
            Subject::Address(Address::V4(bits)) => keys.ipv4.push(bits),
            Subject::Address(Address::V6(bits)) => keys.ipv6.push(bits),
            Subject::Name(name) => keys.names.push(name.as_bytes().into()),
        }
    }
    Keys {
        ipv4: keys.ipv4.repeat(times),
        ipv6: keys.ipv6.repeat(times),
        names: vec![keys.names; times].concat(),
    }
}

fn check(list: &Blocklist, keys: &Keys) -> Result<(), TestCaseError> {
    for now in [0, 9, 10, 25, 30] {
        list.clock().advance(now);
        let mut out = vec![7; keys.ipv4.len()];
        list.lookup4_batch(&keys.ipv4, &mut out);
        let single = keys.ipv4.iter().map(|address| code(list.lookup4(*address)));
        prop_assert_eq!(out, single.collect::<Vec<_>>());

        let mut out = vec![7; keys.ipv6.len()];
        list.lookup6_batch(&keys.ipv6, &mut out);
        let single = keys.ipv6.iter().map(|address| code(list.lookup6(*address)));
        prop_assert_eq!(out, single.collect::<Vec<_>>());

        let mut out = vec![7; keys.names.len()];
        list.lookup_domain_batch(keys.names.iter().map(Vec::as_slice), &mut out);
        let single = keys
            .names
            .iter()
            .map(|name| match list.lookup_domain_bytes(name) {
                Ok(verdict) => code(verdict),
                Err(_) => NO_DOMAIN,
            });
        prop_assert_eq!(out, single.collect::<Vec<_>>());
    }
    Ok(())
}

proptest! {
    #![proptest_config(universe::config(64))]

    #[test]
    fn a_batch_says_what_single_lookups_say(
        below in vec(entry(), 0..40), above in vec(entry(), 0..10), removed in vec(any::<prop::sample::Index>(), 0..4),
        times in prop::sample::select(vec![1_usize, 20])
    ) {
        let keys = keys(times);
        let base = build(&below);
        check(&base, &keys)?;
        let tombstones = removed.iter().filter(|_| !below.is_empty()).map(|index| tombstone(index.get(&below)));
        let above: Vec<_> = above.into_iter().chain(tombstones).collect();
        check(&base.with_overlay(&pack(&above).expect("room"), 9).expect("a pack"), &keys)?;
    }
}

#[test]
fn the_shorter_slice_decides_how_many_are_looked_up() {
    let list = build(&[]);
    let mut out = [7; 3];
    list.lookup4_batch(&[1, 2], &mut out);
    list.lookup4_batch(&[1, 2, 3, 4], &mut out[..1]);
    assert_eq!(out, [0, 0, 7]);
    list.lookup6_batch(&[1, 2, 3], &mut out[2..]);
    list.lookup_domain_batch([&b"a"[..], b"b"], &mut out[..1]);
    assert_eq!(out, [0; 3]);
}

//! Tests only: the table of names against a map, with good hashes and with hashes that collide.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::buckets::{MAX_PROBES, Slot};
use super::placement::{Placement, bits_for};
use super::suffix::NameHasher;
use super::tables::{DomainTables, MAX_ATTEMPTS};
use super::{Domains, build};
use crate::builder::Builder;
use crate::chains::Chains;
use crate::entry::{Entry, Origin, Statement};
use crate::image::{Header, Image, Rendering};
use crate::target::{Rule, Target};
use crate::verdict::Disposition;

const MAGIC: [u8; 8] = *b"NAMELAWS";

/// Each name with its own expiry, so that each has its own chains.
fn builder_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Builder {
    let mut builder = Builder::new();
    for (index, name) in (1..).zip(names) {
        let statement = Statement {
            disposition: Disposition::Block,
            origin: Origin::Feed,
            score_tenths: 50,
            sources: Box::default(),
            categories: Box::default(),
            reason: "".into(),
            first_seen: None,
            last_seen: None,
            expires: NonZeroU32::new(index),
        };
        let target = Target::Domain {
            name: name.into(),
            rule: Rule::Exact,
        };
        let statement = Arc::new(statement);
        builder.add(&Entry { target, statement }).expect("room");
    }
    builder
}

fn opened(tables: &DomainTables) -> Domains {
    let header = Header::default();
    let region = Rendering::new(MAGIC, header, tables.sections()).region();
    Domains::open(&Image::open(region, MAGIC).expect("whole")).expect("whole")
}

fn check_batch(domains: &Domains, names: &[String]) {
    let mixed: Vec<String> = names
        .iter()
        .flat_map(|name| [name.clone(), format!("x-y.{name}")])
        .collect();
    let texts: Vec<&[u8]> = mixed.iter().map(String::as_bytes).collect();
    let mut out = vec![u32::MAX; texts.len()];
    domains.chains(&texts, &mut out);
    for (text, chain) in texts.iter().zip(out) {
        assert_eq!(chain, domains.chain(text));
    }
}

/// Every listed name has one chain of its own, and nothing else has any.
fn check(domains: &Domains, names: &[String], others: &[String]) {
    check_batch(domains, names);
    let mut chains = BTreeMap::new();
    for name in names {
        let chain = domains.chain(name.as_bytes());
        assert_ne!(chain, 0, "{name}");
        assert_eq!(*chains.entry(chain).or_insert(name), name);
        assert_eq!(domains.chain(format!("x-y.{name}").as_bytes()), 0);
    }
    for other in others.iter().filter(|other| !names.contains(other)) {
        assert_eq!(domains.chain(other.as_bytes()), 0, "{other}");
    }
}

fn built_with<S: Slot>(
    names: &[String],
    hasher: &NameHasher,
    attempt: u64,
) -> Option<DomainTables> {
    let builder = builder_of(names.iter().map(String::as_str));
    let mut chains = Chains::new(&builder.facts);
    DomainTables::new::<S>(&builder, hasher, attempt, &mut chains)
}

fn name() -> impl Strategy<Value = String> {
    let labels = prop_oneof![
        4 => vec("[ab]{1,2}", 1..4),
        2 => vec("[a-z0-9-]{2,9}", 2..4),
        1 => vec("[ab]", 20..127),
        1 => vec("[a-z]{60,63}", 3..4),
    ];
    labels.prop_map(|labels| labels.join("."))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 64 }, ..ProptestConfig::default() })]

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn what_is_listed_is_found_and_nothing_else(names in vec(name(), 0..120), others in vec(name(), 0..40), key: u64) {
        let builder = builder_of(names.iter().map(String::as_str));
        for is_compact in [false, true] {
            let mut chains = Chains::new(&builder.facts);
            let tables = build(&builder, key, &mut chains, is_compact);
            let mut domains = opened(&tables);
            domains.hasher = NameHasher::new(key);
            check(&domains, &names, &others);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn names_with_one_hash_are_told_apart_by_their_text(names in vec(name(), 1..80), others in vec(name(), 0..20), kept in prop_oneof![
        Just(0), Just(0xff << 56), Just(0xffff), Just(u64::MAX << 32), any::<u64>()
    ]) {
        let tables = built_with::<u32>(&names, &NameHasher::weak(kept), MAX_ATTEMPTS - 1).expect("the last key is taken");
        let mut domains = opened(&tables);
        domains.hasher = NameHasher::weak(kept);
        check(&domains, &names, &others);
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn names_lie_in_order_no_bucket_twice_and_none_before_its_home(hashes in vec(prop_oneof![any::<u64>(), 0_u64..9, Just(u64::MAX)], 1..400)) {
        let mut hashes = hashes;
        hashes.sort_unstable();
        let placement = Placement::new::<u64>(&hashes);
        let places: Vec<_> = placement.places().collect();
        prop_assert!(places.is_sorted_by(|left, right| left < right));
        prop_assert!(places.iter().all(|(bucket, slot)| *bucket < placement.count && *slot < u64::COUNT));
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn a_key_that_heaps_names_up_is_refused_unless_it_is_the_last() {
    let names: Vec<String> = (0..MAX_PROBES * 17)
        .map(|number| format!("n{number}.test"))
        .collect();
    let hasher = NameHasher::weak(0xffff);
    assert!(built_with::<u32>(&names, &hasher, 0).is_none());
    let tables = built_with::<u32>(&names, &hasher, MAX_ATTEMPTS - 1).expect("taken");
    let mut domains = opened(&tables);
    assert!(domains.shape.max_probes > MAX_PROBES);
    domains.hasher = hasher;
    check(&domains, &names, &["n.test".to_owned()]);
}

#[test]
fn a_key_that_makes_two_names_one_is_refused_where_there_is_no_text() {
    let names: Vec<String> = (0..60).map(|number| format!("n{number}.test")).collect();
    assert!(built_with::<u64>(&names, &NameHasher::weak(0xff << 56), 0).is_none());
    assert!(built_with::<u32>(&names, &NameHasher::weak(0xff << 56), 0).is_some());
    assert!(built_with::<u64>(&names, &NameHasher::weak(u64::MAX), 0).is_some());
}

/// Buckets overflow here as they do in a large list, and values take 1 to 15 bits.
#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn lists_of_any_size_find_all_their_names() {
    for count in [1, 2, 15, 17, 300, 20_000] {
        let names: Vec<String> = (0..count)
            .map(|number| format!("n{number}.example.test"))
            .collect();
        let others: Vec<String> = (0..20_u32)
            .map(|number| format!("m{number}.example.test"))
            .collect();
        let narrow = built_with::<u32>(&names, &NameHasher::new(count), 0).expect("a good key");
        let wide = built_with::<u64>(&names, &NameHasher::new(count), 0).expect("a good key");
        for tables in [narrow, wide] {
            let mut domains = opened(&tables);
            domains.hasher = NameHasher::new(count);
            assert_eq!(domains.shape.value_bits, bits_for(names.len()));
            assert!(
                domains.shape.max_probes <= 16,
                "{}",
                domains.shape.max_probes
            );
            check(&domains, &names, &others);
        }
    }
}

#[test]
fn bits_hold_every_value_below_the_count() {
    let pairs = [
        (0, 0),
        (1, 0),
        (2, 1),
        (3, 2),
        (4, 2),
        (5, 3),
        (1 << 20, 20),
    ];
    for (count, bits) in pairs {
        assert_eq!(bits_for(count), bits, "{count}");
    }
}

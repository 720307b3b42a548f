//! Against a linear scan over the boundaries, over so few addresses that pieces nest, touch and fill places.

use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::build::{build_long, build_short};
use super::{Index4, Index4Tables, TOP_BITS, build};
use crate::image::{Header, Image, Rendering};

const MAGIC: [u8; 8] = *b"TESTTEST";

fn opened(tables: &Index4Tables) -> Index4 {
    let region = Rendering::new(MAGIC, Header::default(), tables.sections().into()).region();
    let image = Image::open(region, MAGIC).expect("just rendered");
    Index4::open(&Arc::new(image)).expect("just built")
}

/// The form of this many top bits, with long keys; that with short keys for `None`.
fn form(boundaries: &[(u32, u32)], top_bits: Option<u32>) -> Index4 {
    opened(&match top_bits {
        Some(top_bits) => build_long(boundaries, top_bits).expect("few keys"),
        None => build_short(boundaries),
    })
}

fn scan(boundaries: &[(u32, u32)], address: u32) -> u32 {
    let mut chain = 0;
    for (start, from_here) in boundaries {
        if *start <= address {
            chain = *from_here;
        }
    }
    chain
}

fn check(boundaries: &[(u32, u32)], addresses: &[u32], forms: &[Option<u32>]) {
    for form_of in forms {
        let index = form(boundaries, *form_of);
        let mut batch = vec![u32::MAX; addresses.len()];
        index.chains(addresses, &mut batch);
        for (address, from_batch) in addresses.iter().zip(batch) {
            let expected = scan(boundaries, *address);
            assert_eq!(index.chain(*address), expected, "{form_of:?}, {address:#x}");
            assert_eq!(from_batch, expected, "{form_of:?}, {address:#x}, batch");
        }
    }
}

/// Both sides of every boundary, and the ends of the space.
fn edges(boundaries: &[(u32, u32)]) -> Vec<u32> {
    let starts = boundaries.iter().map(|(start, _)| *start);
    starts
        .flat_map(|start| [start.wrapping_sub(1), start, start.wrapping_add(1)])
        .chain([0, 1, u32::MAX - 1, u32::MAX])
        .collect()
}

/// Starts within one /20 and a little beyond, or anywhere.
fn boundaries(chains: Vec<u32>) -> impl Strategy<Value = Vec<(u32, u32)>> {
    let near = (0_u32..0x1200).prop_map(|low| 0x0a00_0000 + low);
    let aligned = (0_u32..0x20).prop_map(|block| 0x0a00_0000 + (block << 8));
    let start =
        prop_oneof![4 => near, 4 => aligned, 1 => any::<u32>(), 1 => Just(0), 1 => Just(u32::MAX)];
    btree_map(start, select(chains), 0..60).prop_map(|starts| starts.into_iter().collect())
}

/// Directories of a kilobyte, so that many lists can be tried.
const SMALL: &[Option<u32>] = &[Some(*TOP_BITS.start()), Some(9), Some(12)];
/// Directories of 8 MiB.
const LARGE: &[Option<u32>] = &[Some(*TOP_BITS.end()), None];

fn boundaries_and_addresses() -> impl Strategy<Value = (Vec<(u32, u32)>, Vec<u32>)> {
    let chains = prop_oneof![
        Just(vec![0_u32, 0, 1, 2, 255]),
        Just(vec![0, 256, 65_535]),
        Just(vec![0, 65_536, u32::MAX])
    ];
    let low = vec(0x09ff_ff00_u32..0x0a00_1300, 0..100);
    let list = chains.prop_flat_map(boundaries);
    (list, low, vec(any::<u32>(), 8)).prop_map(|(boundaries, low, anywhere)| {
        let addresses = edges(&boundaries).into_iter().chain(low).chain(anywhere);
        (boundaries, addresses.collect())
    })
}

proptest! {
    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn the_chain_is_that_of_a_linear_scan((boundaries, addresses) in boundaries_and_addresses()) {
        check(&boundaries, &addresses, SMALL);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 24 }, ..ProptestConfig::default() })]

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn lookups_in_damaged_tables_end_and_batches_agree_with_them(
        (boundaries, addresses) in boundaries_and_addresses(),
        has_short_keys: bool,
        bytes in vec((any::<Index>(), any::<u8>()), 0..20),
        words in vec((any::<Index>(), any::<[u64; 2]>()), 0..20),
        id_bytes in select(vec![1_u32, 2, 4]),
        cut: Index,
    ) {
        let mut tables = if has_short_keys {
            build_short(&boundaries)
        } else {
            build_long(&boundaries, 9).expect("few keys")
        };
        for (at, value) in bytes {
            let position = at.index(tables.buckets.len());
            tables.buckets[position] = value;
        }
        for (at, [mask, count]) in words.into_iter().filter(|_| !boundaries.is_empty()) {
            // Those that the addresses lie in, and one word that may say anything.
            let index = at.get(&addresses) >> if has_short_keys { 12 } else { 23 };
            tables.directory[index as usize] ^= mask & 0xffff_0007_0000_00ff;
            let anywhere = at.index(tables.directory.len());
            tables.directory[anywhere] = mask ^ count;
        }
        tables.widths[1] = id_bytes;
        if cut.index(4) == 0 {
            tables.buckets.truncate(cut.index(tables.buckets.len()));
        }
        let index = opened(&tables);
        let mut batch = vec![0; addresses.len()];
        index.chains(&addresses, &mut batch);
        for (address, from_batch) in addresses.iter().zip(batch) {
            prop_assert_eq!(index.chain(*address), from_batch);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn the_chain_is_that_of_a_linear_scan_in_the_forms_of_large_lists(
        (boundaries, addresses) in boundaries_and_addresses()
    ) {
        check(&boundaries, &addresses, LARGE);
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn a_dense_network_of_single_hosts_is_found_host_by_host() {
    // Every second address of a /20 and a run of four thousand different pieces behind it.
    let alternating = (0..2048_u32).flat_map(|host| [(host * 2, 1), (host * 2 + 1, 0)]);
    let different = (4096..8192_u32).map(|host| (host, host));
    let boundaries: Vec<_> = alternating
        .chain(different)
        .map(|(low, chain)| (0xc0a8_0000 + low, chain))
        .chain([(0xc0a8_2000, 0)])
        .collect();
    let addresses: Vec<u32> = (0xc0a7_fff0..0xc0a8_2010).collect();
    for form_of in [SMALL, LARGE].concat() {
        let index = form(&boundaries, form_of);
        let expected = |address: u32| match address.wrapping_sub(0xc0a8_0000) {
            low @ 0..4096 => 1 - low % 2,
            low @ 4096..8192 => low,
            _ => 0,
        };
        for address in &addresses {
            assert_eq!(
                index.chain(*address),
                expected(*address),
                "{form_of:?}, {address:#x}"
            );
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn the_empty_list_one_host_and_everything_are_lists() {
    let forms = [SMALL, LARGE].concat();
    check(&[], &[0, 1, u32::MAX], &forms);
    check(&[(0, 1)], &[0, 1, 1 << 31, u32::MAX], &forms);
    for host in [0, 0x0a00_0001, u32::MAX] {
        let host_only = [(host, 1), (host.wrapping_add(1), 0)];
        let boundaries = if host == u32::MAX {
            &host_only[..1]
        } else {
            &host_only
        };
        check(boundaries, &edges(boundaries), &forms);
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn a_host_costs_one_key_and_a_crowded_place_is_parted() {
    let hosts = (0..70_000_u32).flat_map(|host| [(host * 2, 1), (host * 2 + 1, 0)]);
    let boundaries: Vec<_> = hosts.collect();
    assert!(build_long(&boundaries, *TOP_BITS.start()).is_none());
    let index = opened(&build(&boundaries));
    assert_eq!((index.chain(139_998), index.chain(139_999)), (1, 0));
    assert_eq!(index.buckets.len(), 70_000 * 5 + 32);
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn tables_of_another_shape_are_refused() {
    let refused = |change: fn(&mut Index4Tables)| {
        let mut tables = build(&[(5, 1), (6, 0)]);
        change(&mut tables);
        let rendering = Rendering::new(MAGIC, Header::default(), tables.sections().into());
        let image = Image::open(rendering.region(), MAGIC).expect("a whole image");
        Index4::open(&Arc::new(image)).is_err()
    };
    assert!(!refused(|_| ()));
    assert!(refused(|tables| tables.widths = [3, 1]));
    assert!(refused(|tables| tables.widths = [4, 3]));
    assert!(refused(|tables| tables.widths = [2, 1]));
    assert!(refused(|tables| tables.directory.push(0)));
    assert!(refused(|tables| tables.directory.truncate(32)));
    assert!(refused(|tables| tables.directory.resize(1 << 21, 0)));
}

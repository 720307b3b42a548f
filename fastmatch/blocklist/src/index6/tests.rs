use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Index6, Index6Tables, Records, build};
use crate::image::{Header, Image, Rendering};

const MAGIC: [u8; 8] = *b"TESTONLY";

fn open(tables: &Index6Tables) -> Index6 {
    let rendering = Rendering::new(MAGIC, Header::default(), tables.sections().into());
    let region = rendering.region();
    let image = Arc::new(Image::open(region, MAGIC).expect("whole"));
    Index6::open(&image).expect("whole")
}

/// (start, length, chain); the longest that covers decides, of equal ones the first.
type Network = (u128, u32, u32);

fn last_of((start, length, _): &Network) -> u128 {
    start | u128::MAX.checked_shr(*length).unwrap_or(0)
}

fn scan(networks: &[Network], address: u128) -> u32 {
    let covers = |network: &&Network| network.0 <= address && address <= last_of(network);
    let mut covering: Vec<&Network> = networks.iter().filter(covers).collect();
    covering.sort_by_key(|network| network.1);
    covering
        .first()
        .map_or(0, |_| covering[covering.len() - 1].2)
}

/// Where something may change, and what holds from there on.
fn boundaries(networks: &[Network]) -> Vec<(u128, u32)> {
    let begins = networks.iter().map(|network| network.0);
    let ends = networks
        .iter()
        .filter_map(|network| last_of(network).checked_add(1));
    let mut points: Vec<u128> = begins.chain(ends).collect();
    points.sort_unstable();
    let mut found: Vec<(u128, u32)> = Vec::new();
    for point in points {
        let chain = scan(networks, point);
        if found.last().map_or(0, |(_, last)| *last) != chain {
            found.push((point, chain));
        }
    }
    found
}

fn edges(networks: &[Network]) -> Vec<u128> {
    let mut addresses = vec![0, 1, u128::MAX, u128::MAX - 1, 1 << 64, (1 << 64) - 1];
    for network in networks {
        let (start, last) = (network.0, last_of(network));
        addresses.extend([start.wrapping_sub(1), start, start.wrapping_add(1)]);
        addresses.extend([last.wrapping_sub(1), last, last.wrapping_add(1)]);
        addresses.extend([
            start ^ 1 << 64,
            start ^ 1 << 96,
            start ^ 1 << 127,
            start + (last - start) / 2,
        ]);
    }
    addresses
}

fn check(networks: &[Network]) -> Result<(), TestCaseError> {
    let index = open(&build(&boundaries(networks)));
    let addresses = edges(networks);
    let mut found = vec![u32::MAX; addresses.len()];
    index.chains(&addresses, &mut found);
    for (address, of_batch) in addresses.iter().zip(found) {
        let expected = scan(networks, *address);
        prop_assert_eq!(index.chain(*address), expected, "{:032x}", address);
        prop_assert_eq!(of_batch, expected, "{:032x} in a batch", address);
    }
    Ok(())
}

/// A few bits at each place where the index treats addresses differently, so that networks nest, touch and share halves.
fn bits() -> impl Strategy<Value = u128> {
    (0_u128..4, 0_u128..4, 0_u128..16, 0_u128..16).prop_map(|(top, block, subnet, host)| {
        let spread = |value: u128| (value & 3) | (value >> 2) << 60;
        top << 126 | block << 95 | spread(subnet) << 64 | spread(host)
    })
}

fn network(largest_chain: u32) -> impl Strategy<Value = Network> {
    let length = prop_oneof![
        0_u32..=128,
        select(vec![0_u32, 1, 8, 32, 48, 63, 64, 65, 127, 128])
    ];
    (bits(), length, 1..=largest_chain).prop_map(|(bits, length, chain)| {
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        (bits & mask, length, chain)
    })
}

/// Clusters: hosts of few /64, /64 of few /48, /48 anywhere, more of each than a cell or a counted group holds.
fn crowd() -> impl Strategy<Value = Vec<Network>> {
    let member = (0_usize..4, any::<[u16; 8]>()).prop_map(|(level, words)| {
        let few = |index: usize| words[index] & 0x8001;
        let (near, wide) = ([0x2001, few(1)], [words[0], words[1], words[2]]);
        let last = words[7];
        let (words, length): ([u16; 8], u32) = match level {
            0 => ([near[0], near[1], 0, few(3), 0, 0, 0, last], 128),
            1 => ([near[0], near[1], few(2), words[3] & 0xff, 0, 0, 0, 0], 64),
            2 => ([wide[0], wide[1], wide[2], 0, 0, 0, 0, 0], 48),
            _ => (
                [near[0], near[1], 0, 0, words[4], words[5], words[6], last],
                128,
            ),
        };
        let bits = words
            .iter()
            .fold(0, |bits, word| bits << 16 | u128::from(*word));
        (bits, length, 1 + u32::from(last & 1))
    });
    vec(member, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 3 } else { 400 }, ..ProptestConfig::default() })]

    #[test]
    fn nested_networks_of_any_length_are_found_as_a_scan_finds_them(networks in vec(network(3), 0..24)) {
        check(&networks)?;
    }

    #[test]
    fn many_chains_widen_the_records(networks in vec(network(1 << 30), 0..6), most in select(vec![511_u32, 512, (1 << 25) - 1, 1 << 25])) {
        let mut networks = networks;
        for network in &mut networks { network.2 = network.2.min(most); }
        networks.push((0, 128, most));
        check(&networks)?;
        let tables = build(&boundaries(&networks));
        let bits = match tables.records { Records::Narrow(_) => 9, Records::Middle(_) => 25, Records::Wide(_) => 32 };
        prop_assert_eq!(bits, if most < 512 { 9 } else if most < 1 << 25 { 25 } else { 32 });
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn crowds_are_found_as_a_scan_finds_them(networks in crowd()) {
        check(&networks)?;
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn damaged_tables_end_a_lookup(networks in crowd(), edits in vec((0_u8..4, any::<Index>(), any::<Index>(), any::<u32>()), 1..20)) {
        let mut tables = build(&boundaries(&networks));
        let addresses = edges(&networks);
        for (kind, at, word, value) in edits {
            damage(&mut tables, kind, at, word, value);
        }
        let index = open(&tables);
        let mut found = vec![0; addresses.len()];
        index.chains(&addresses, &mut found);
        for (address, chain) in addresses.iter().zip(found) {
            prop_assert_eq!(index.chain(*address), chain);
        }
    }
}

fn damage(tables: &mut Index6Tables, kind: u8, at: Index, word: Index, value: u32) {
    let edit = |words: &mut [u32]| {
        if !words.is_empty() {
            words[word.index(words.len())] = value >> (value & 31);
        }
    };
    match kind {
        0 => edit(&mut tables.cells),
        1 if !tables.nodes.is_empty() => {
            let count = tables.nodes.len();
            edit(&mut tables.nodes[at.index(count)]);
        }
        2 => tables.cells.truncate(at.index(tables.cells.len() + 1)),
        _ => match &mut tables.records {
            Records::Middle(records) if !records.is_empty() => {
                let count = records.len();
                edit(&mut records[at.index(count)]);
            }
            Records::Narrow(records) => records.truncate(at.index(records.len() + 1)),
            _ => {}
        },
    }
}

#[test]
fn an_empty_list_holds_nothing() {
    let index = open(&build(&[]));
    assert_eq!(
        [0, 1, u128::MAX].map(|address| index.chain(address)),
        [0; 3]
    );
}

//! What an overlay costs to make, and a lookup beneath it.
//!
//! `cargo run --release -p blocklist --example overlay_cost`
#![expect(
    clippy::print_stdout,
    reason = "a program that prints what it measured"
)]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use blocklist::address::Network;
use blocklist::{Blocklist, Builder, Disposition, Entry, Origin, Stamp, Statement, Target, pack};

const BASE_COUNT: u32 = 1_000_000;

fn host(start: u32, disposition: Disposition, expires: u32) -> Entry {
    let (network, _) = Network::v4(start, 32).expect("a length");
    let statement = Statement {
        disposition,
        origin: Origin::Operator,
        score_tenths: if disposition == Disposition::Block {
            80
        } else {
            0
        },
        sources: Box::new(["person".into()]),
        categories: Box::default(),
        reason: "because".into(),
        first_seen: None,
        last_seen: None,
        expires: NonZeroU32::new(expires),
    };
    Entry {
        target: Target::Network(network),
        statement: Arc::new(statement),
    }
}

fn address(index: u32) -> u32 {
    index.wrapping_mul(2_654_435_761)
}

/// The least disturbed run.
fn least(times: impl Iterator<Item = Duration>) -> Duration {
    times.min().unwrap_or_default()
}

fn making(base: &Blocklist, name: &str, entries: &[Entry]) -> Blocklist {
    let packed = pack(entries).expect("room");
    let times = (0..201).map(|_| {
        let start = Instant::now();
        black_box(base.with_overlay(&packed, 2).expect("a pack"));
        start.elapsed()
    });
    println!("{name}: {:?} to make {}", least(times), entries.len());
    base.with_overlay(&packed, 2).expect("a pack")
}

fn looking_up(list: &Blocklist, name: &str, addresses: &[u32]) {
    let times = (0..31).map(|_| {
        let start = Instant::now();
        for address in addresses {
            black_box(list.lookup4(*address));
        }
        start.elapsed() / u32::try_from(addresses.len()).unwrap_or(1)
    });
    println!("  lookup of {name}: {:?}", least(times));
}

fn main() {
    let mut builder = Builder::new();
    for index in 0..BASE_COUNT {
        builder
            .add(&host(address(index), Disposition::Block, 0))
            .expect("room");
    }
    let base = builder.build(Stamp::default()).expect("a base");
    let listed: Vec<u32> = (0..4096).map(address).collect();
    looking_up(&base, "what the base lists", &listed);
    for count in [1, 100, 4096] {
        let of = |entry: fn(u32) -> Entry| (0..count).map(entry).collect::<Vec<_>>();
        let blocks = of(|index| host(address(BASE_COUNT + index), Disposition::Block, 0));
        let list = making(&base, "blocks that say the same", &blocks);
        looking_up(&list, "what the base lists", &listed);
        let expiring = of(|index| host(address(BASE_COUNT + index), Disposition::Block, 9 + index));
        making(&base, "blocks with their own expiry", &expiring);
        let removed = of(|index| host(address(index), Disposition::Tombstone, 0));
        let list = making(&base, "tombstones", &removed);
        looking_up(&list, "what the overlay removes", &listed[..count as usize]);
    }
}

//! What chains cost when a list is made to need many: hosts that each expire at another second, beneath nested networks.
//!
//! `cargo run --release -p blocklist --example chain_cost [HOSTS]`
#![expect(
    clippy::print_stdout,
    reason = "a program that prints what it measured"
)]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use blocklist::address::Network;
use blocklist::{Builder, Disposition, Entry, Origin, Stamp, Statement, Target};

fn entry(start: u32, length: u8, score_tenths: u8, expires: u32) -> Entry {
    stated_by("feed", start, length, score_tenths, expires)
}

fn stated_by(source: &str, start: u32, length: u8, score_tenths: u8, expires: u32) -> Entry {
    let (network, _) = Network::v4(start, length).expect("a length");
    let statement = Statement {
        disposition: Disposition::Block,
        origin: Origin::Feed,
        score_tenths,
        sources: Box::new([source.into()]),
        categories: Box::default(),
        reason: "".into(),
        first_seen: None,
        last_seen: None,
        expires: NonZeroU32::new(expires),
    };
    Entry {
        target: Target::Network(network),
        statement: Arc::new(statement),
    }
}

fn measure(name: &str, entries: impl Iterator<Item = Entry>) {
    let mut builder = Builder::new();
    for entry in entries {
        builder.add(&entry).expect("room");
    }
    let start = Instant::now();
    let list = builder.build(Stamp::default()).expect("a base");
    let elapsed = start.elapsed();
    let path = std::env::temp_dir().join(format!("chain_cost.{}", std::process::id()));
    let evidence = path.with_extension("evidence");
    builder
        .write(&path, &evidence, Stamp::default())
        .expect("room on the disk");
    let bytes = std::fs::metadata(&path).expect("written").len();
    for written in [path, evidence] {
        std::fs::remove_file(written).expect("written");
    }
    println!(
        "{name}: {} entries, compiled in {:.3} s, decision file {bytes} bytes",
        list.len(),
        elapsed.as_secs_f64(),
    );
}

fn main() {
    let count = std::env::args()
        .nth(1)
        .map_or(1_000_000, |text| text.parse().expect("a count of hosts"));
    let nested = |score: u8| (0..10).map(move |length| entry(10 << 24, length, score, 0));
    // Eight addresses apart, all beneath 10.0.0.0/9.
    let hosts = move |score: u8, varies: bool| {
        (0..count.min(1 << 20)).map(move |index| {
            let expires = if varies { 1_000 + index } else { 0 };
            entry(10 << 24 | index << 3, 32, score, expires)
        })
    };
    measure("one statement", hosts(50, false));
    measure("unique expiries", hosts(50, true));
    measure(
        "beneath 10 weaker networks",
        nested(10).chain(hosts(50, true)),
    );
    measure(
        "beneath 10 stronger networks",
        nested(90).chain(hosts(50, true)),
    );
    for sources in [10, 100, 10_000] {
        walk(sources);
    }
}

/// Many sources list one network for different times, all but one of them over: nothing in a head helps.
fn walk(sources: u32) {
    let mut builder = Builder::new();
    for source in 0..sources {
        let expires = if source == 0 { 0 } else { 10 };
        let source = source.to_string();
        let entry = stated_by(&source, 0, 0, if expires == 0 { 10 } else { 90 }, expires);
        builder.add(&entry).expect("room");
    }
    let list = builder.build(Stamp::default()).expect("a base");
    list.clock().advance(10);
    let times = (0..101).map(|_| {
        let start = Instant::now();
        black_box(list.lookup4(black_box(1)));
        start.elapsed()
    });
    let least = times.min().unwrap_or_default();
    println!("lookup behind {sources} sources that have expired: {least:?}");
}

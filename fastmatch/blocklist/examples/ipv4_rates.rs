//! What an IPv4 host costs in the decision file, a lookup in time, and how many a batch judges per second.
//!
//! `cargo run --release -p blocklist --example ipv4_rates HOSTS`: hosts anywhere; questions in random order, none
//! asked twice. The least tenth of many short runs, as other tasks disturb the rest.
#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a program that prints what it measured"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use blocklist::address::Network;
use blocklist::{Blocklist, Builder, Disposition, Entry, Origin, Stamp, Statement, Target};

const QUESTIONS: u32 = 1_000_000;
const QUESTIONS_PER_RUN: usize = 20_000;

/// A bijection of 32 bits (the last step of `MurmurHash3`): the first numbers are listed, others are not.
fn spread(number: u32) -> u32 {
    let first = (number ^ number >> 16).wrapping_mul(0x85EB_CA6B);
    let second = (first ^ first >> 13).wrapping_mul(0xC2B2_AE35);
    second ^ second >> 16
}

fn list(host_count: u32) -> Blocklist {
    let statement = Arc::new(Statement {
        disposition: Disposition::Block,
        origin: Origin::Feed,
        score_tenths: 80,
        sources: Box::new(["feed".into()]),
        categories: Box::default(),
        reason: "".into(),
        first_seen: None,
        last_seen: None,
        expires: None,
    });
    let mut builder = Builder::new();
    for number in 0..host_count {
        let (network, _) = Network::v4(spread(number), 32).expect("a length");
        let entry = Entry {
            target: Target::Network(network),
            statement: Arc::clone(&statement),
        };
        builder.add(&entry).expect("room");
    }
    builder.build(Stamp::default()).expect("a base")
}

/// Nanoseconds of one question in the least tenth of the runs.
fn time(questions: &[u32], mut ask: impl FnMut(&[u32])) -> f64 {
    let runs = questions.chunks_exact(QUESTIONS_PER_RUN).map(|run| {
        let start = Instant::now();
        ask(run);
        start.elapsed().as_secs_f64() * 1e9 / run.len() as f64
    });
    let mut times: Vec<f64> = runs.collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 10]
}

fn main() {
    let host_count = std::env::args()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(1_000_000);
    let list = list(host_count);
    let sections = list.sections();
    let decision = sections.iter().filter(|section| section.file == "decision");
    let bytes: u64 = decision.map(|section| section.bytes).sum();
    println!(
        "{host_count} hosts, {:.2} bytes each",
        bytes as f64 / f64::from(host_count)
    );
    let listed = |number: u32| spread(spread(number ^ 0x5555_0000) % host_count);
    let unlisted = |number: u32| spread(u32::MAX - number);
    let kinds: [(&str, &dyn Fn(u32) -> u32); 3] = [
        ("listed", &listed),
        ("not listed", &unlisted),
        ("half of each", &|number| {
            if spread(number) & 1 == 0 {
                listed(number)
            } else {
                unlisted(number)
            }
        }),
    ];
    let mut out = vec![0; QUESTIONS_PER_RUN];
    for (name, question) in kinds {
        let questions: Vec<u32> = (0..QUESTIONS).map(question).collect();
        let single = time(&questions, |run| {
            for address in run {
                black_box(list.lookup4(*address).map(|verdict| verdict.id()));
            }
        });
        let batch = time(&questions, |run| {
            list.lookup4_batch(run, &mut out);
            black_box(&out);
        });
        println!(
            "{name}: {single:.1} ns each, {:.0} million/s in batches",
            1e3 / batch
        );
    }
}

//! Where the time of a compilation goes: `build_timing [ENTRIES [ROUNDS [DIRECTORY [hosts]]]]`, medians in milliseconds of the clock and of the core,
//! and the least by the clock.
//!
//! 45 % IPv4 hosts, 5 % IPv4 networks, 10 % IPv6, 40 % domains, eight sources with six scores each, seeded; with `hosts` IPv4
//! hosts alone.
#![allow(clippy::print_stdout, reason = "a program that prints")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use blocklist::{
    Blocklist, Builder, Disposition, Format, Limits, ListOptions, Origin, Rule, Stamp, Statement,
};

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }

    fn label(&mut self, least: u64, most: u64, out: &mut String) {
        for _ in 0..least + self.below(most - least + 1) {
            let index = usize::try_from(self.below(36)).unwrap_or(0);
            out.push(char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[index]));
        }
    }
}

const ENDINGS: [&str; 10] = [
    "com", "net", "org", "info", "ru", "cn", "xyz", "top", "co.uk", "com.br",
];

fn name(random: &mut Random, out: &mut String) {
    if random.below(10) < 4 {
        random.label(2, 8, out);
        out.push('.');
    }
    random.label(4, 14, out);
    out.push('.');
    out.push_str(ENDINGS[usize::try_from(random.below(10)).unwrap_or(0)]);
}

/// One target per line.
fn line(random: &mut Random, kinds: u64, out: &mut String) {
    let written = match random.below(kinds) {
        0..45 => {
            let bits = u32::try_from(random.below(1 << 32)).unwrap_or(0);
            writeln!(out, "{}", std::net::Ipv4Addr::from_bits(bits))
        }
        45..50 => {
            let (length, bits) = (16 + random.below(13), random.below(1 << 32));
            let bits = u32::try_from(bits >> (32 - length) << (32 - length)).unwrap_or(0);
            writeln!(out, "{}/{length}", std::net::Ipv4Addr::from_bits(bits))
        }
        50..60 => {
            let high = 0x2000_0000_0000_0000 | random.below(1 << 61);
            let low = if random.below(2) == 0 {
                0
            } else {
                random.below(u64::MAX)
            };
            let address = std::net::Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
            writeln!(out, "{address}/{}", if low == 0 { 64 } else { 128 })
        }
        _ => {
            name(random, out);
            writeln!(out)
        }
    };
    written.expect("text");
}

fn options(source: u64, score_tenths: u8) -> ListOptions {
    let statement = Statement {
        disposition: Disposition::Block,
        origin: Origin::Feed,
        score_tenths,
        sources: Box::new([format!("source-{source}").into()]),
        categories: Box::new(["scanner".into()]),
        reason: "".into(),
        first_seen: None,
        last_seen: std::num::NonZeroU32::new(1_700_000_000),
        expires: None,
    };
    ListOptions {
        format: Format::Plain,
        statement: statement.checked().expect("valid"),
        rule: Rule::Suffix,
        delimiter: b',',
        score_column: None,
        score_points: Vec::new(),
    }
}

/// Texts of 48 lists.
fn texts(entries: u64, kinds: u64) -> Vec<(String, ListOptions)> {
    let mut random = Random(7);
    let mut lists: Vec<_> = (0..48)
        .map(|list| {
            (
                String::new(),
                options(list % 8, 50 + u8::try_from(list / 8).unwrap_or(0) * 10),
            )
        })
        .collect();
    for _ in 0..entries {
        let list = usize::try_from(random.below(48)).unwrap_or(0);
        line(&mut random, kinds, &mut lists[list].0);
    }
    lists
}

/// A shared machine's clock says more about its other users than about us.
#[derive(Clone, Copy)]
struct Watch {
    clock: Instant,
    core_nanoseconds: f64,
}

impl Watch {
    fn start() -> Self {
        let on_core = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanoseconds = on_core.split_whitespace().next();
        Self {
            clock: Instant::now(),
            core_nanoseconds: nanoseconds
                .and_then(|text| text.parse().ok())
                .unwrap_or(0.0),
        }
    }

    /// Milliseconds of the clock and of the core since then.
    fn milliseconds(self) -> (f64, f64) {
        let now = Self::start();
        let on_core = now.core_nanoseconds - self.core_nanoseconds;
        (self.clock.elapsed().as_secs_f64() * 1e3, on_core / 1e6)
    }
}

#[derive(Default)]
struct Phases(BTreeMap<(usize, &'static str), Vec<(f64, f64)>>);

impl Phases {
    /// Phases are printed in the order they first come in.
    fn note(&mut self, phase: &'static str, since: Watch) {
        let taken = since.milliseconds();
        let known = self.0.keys().find(|(_, name)| *name == phase);
        let key = known.copied().unwrap_or((self.0.len(), phase));
        self.0.entry(key).or_default().push(taken);
    }

    fn print(&self) {
        for ((_, phase), taken) in &self.0 {
            let median = |mut values: Vec<f64>| {
                values.sort_by(f64::total_cmp);
                values[values.len() / 2]
            };
            let clocks = taken.iter().map(|(clock, _)| *clock);
            let least = clocks.clone().fold(f64::INFINITY, f64::min);
            let clock = median(clocks.collect());
            let core = median(taken.iter().map(|(_, core)| *core).collect());
            println!("{phase:24} {clock:8.1} ms {core:8.1} ms on the core (least {least:.1})");
        }
    }
}

/// `VmRSS` or `VmHWM` of this process.
fn memory_mib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| {
        arguments
            .next()
            .map_or(default, |text| text.parse().expect("a number"))
    };
    let (entries, rounds) = (number(1_000_000), number(9));
    let directory = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let is_hosts = arguments.next().is_some_and(|kind| kind == "hosts");
    let texts = texts(entries, if is_hosts { 45 } else { 100 });
    let mut phases = Phases::default();
    let mut packed = Vec::new();
    for _ in 0..rounds {
        let mut builder = Builder::new();
        let start = Watch::start();
        for (text, options) in &texts {
            let report = builder.add_text(text.as_bytes(), options).expect("room");
            assert_eq!(report.rejected_count, 0, "{:?}", report.rejected);
        }
        phases.note("parse text", start);
        let start = Watch::start();
        packed = builder.pack();
        phases.note("sort and pack", start);
    }
    drop(texts);
    let mut before_mib = 0;
    let (decision, evidence) = (
        directory.join("timing.decision"),
        directory.join("timing.evidence"),
    );
    for _ in 0..rounds {
        let start = Watch::start();
        let mut builder = Builder::new();
        builder
            .add_packed(&packed, Limits::default())
            .expect("a pack");
        phases.note("read packed", start);
        // The peak counts from here on; what is there is the builder and the pack.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        before_mib = memory_mib("VmRSS");
        let mut last = Watch::start();
        builder
            .write_watched(&decision, &evidence, Stamp::default(), &mut |phase| {
                phases.note(phase, last);
                last = Watch::start();
            })
            .expect("written");
        phases.note("packed to files, all", start);
    }
    let peak_mib = memory_mib("VmHWM");
    for (phase, verify) in [
        ("open, head checked", false),
        ("open, all sums checked", true),
    ] {
        for _ in 0..rounds {
            let start = Watch::start();
            let list = Blocklist::open(&decision, None, true, verify).expect("a list");
            phases.note(phase, start);
            assert!(!list.is_empty());
        }
    }
    phases.print();
    for (name, path) in [("decision file", &decision), ("evidence file", &evidence)] {
        let bytes = std::fs::metadata(path).expect("there").len();
        println!("{name:24} {bytes} bytes");
        std::fs::remove_file(path).expect("removed");
    }
    println!("{:24} {} bytes", "pack", packed.len());
    println!("memory, MiB              {before_mib} before writing, {peak_mib} at most");
}

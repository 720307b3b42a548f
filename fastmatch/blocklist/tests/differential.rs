//! Large lists against an oracle that probes every prefix length and every suffix, millions of random subjects;
//! and a small network against the linear scan, every address of it.
//!
//! `DIFFERENTIAL_LOOKUPS` says how many subjects per kind; `make check-slow` asks for ten million.

mod universe;

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;

use blocklist::address::{Address, Network};
use blocklist::{
    Blocklist, Builder, Disposition, Entry, Origin, Rule, Stamp, Statement, Subject, Target,
};
use universe::{Seen, build, check, look_up, scan, seen};

const ENTRIES: usize = 60_000;
const LOOKUPS: usize = 100_000;
const NOW: u64 = 20;

fn lookups() -> usize {
    let wanted = std::env::var("DIFFERENTIAL_LOOKUPS").ok();
    wanted.map_or(LOOKUPS, |count| count.parse().expect("a number"))
}

/// A multiplicative generator; the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).expect("below a usize")
    }

    fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// `rare` once in a few hundred: a wide network holds for everything below it, and a few say enough.
    fn length(&mut self, common: &[u8], rare: &[u8]) -> u8 {
        if self.below(300) == 0 {
            self.pick(rare)
        } else {
            self.pick(common)
        }
    }

    fn statement(&mut self) -> Arc<Statement> {
        let disposition = match self.below(40) {
            0 => Disposition::Allow,
            1 => Disposition::KnownGood,
            _ => Disposition::Block,
        };
        let expires = NonZeroU32::new(self.pick(&[0, 0, 0, 10, 20, 21, 30]));
        let source = format!("source {}", self.below(300));
        let statement = Statement {
            disposition,
            origin: self.pick(&[
                Origin::Feed,
                Origin::Feed,
                Origin::Operator,
                Origin::Incident,
            ]),
            score_tenths: self.pick(&[10, 50, 70, 100]),
            sources: Box::new([source.into()]),
            categories: Box::default(),
            reason: "".into(),
            first_seen: None,
            last_seen: None,
            expires: expires.filter(|_| disposition != Disposition::KnownGood),
        };
        Arc::new(statement.checked().expect("valid"))
    }
}

/// Entries by what they are looked up by; `K` is (prefix length, network) or (rule, name).
struct Oracle<K>(HashMap<K, Vec<Entry>>);

impl<K: Hash + Eq> Oracle<K> {
    fn add(&mut self, key: K, entry: &Entry) {
        self.0.entry(key).or_default().push(entry.clone());
    }

    fn judge(&self, keys: impl Iterator<Item = K>, subject: &Subject) -> Option<Seen> {
        let found = keys.filter_map(|key| self.0.get(&key)).flatten();
        scan(&found.cloned().collect::<Vec<_>>(), subject, NOW)
    }
}

fn list_of(entries: &[Entry]) -> Blocklist {
    let list = build(entries);
    list.clock().advance(NOW);
    list
}

fn assert_same(list: &Blocklist, subject: &Subject, expected: Option<&Seen>) {
    assert_eq!(
        look_up(list, subject).map(seen).as_ref(),
        expected,
        "{subject}"
    );
}

fn mask4(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

fn mask6(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

#[test]
fn random_ipv4_lookups_agree_with_a_probe_of_every_length() {
    let mut random = Random(1);
    let (mut oracle, mut entries) = (Oracle(HashMap::new()), Vec::new());
    let mut edges = Vec::new();
    for _ in 0..ENTRIES {
        // Crowded below some /12, thin elsewhere.
        let high = if random.below(4) == 0 {
            0xffff_ffff
        } else {
            0x0a1f_ffff
        };
        let bits = u32::try_from(random.next() >> 32).expect("32 bits") & high | 0x0a00_0000 & high;
        let length = random.length(
            &[32, 32, 32, 32, 31, 30, 28, 26, 25],
            &[24, 22, 21, 20, 19, 16, 12, 9],
        );
        let start = bits & mask4(length);
        let target = Target::Network(Network::V4 { start, length });
        let entry = Entry {
            target,
            statement: random.statement(),
        };
        oracle.add((length, start), &entry);
        edges.extend([
            start.wrapping_sub(1),
            start,
            start | !mask4(length),
            (start | !mask4(length)).wrapping_add(1),
        ]);
        entries.push(entry);
    }
    let list = list_of(&entries);
    for round in 0..lookups() {
        let bits = match round % 4 {
            0 => random.pick(&edges),
            1 => u32::try_from(random.next() >> 32).expect("32 bits"),
            2 => random.pick(&edges) ^ u32::try_from(random.below(4096)).expect("small"),
            _ => 0x0a00_0000 | u32::try_from(random.below(1 << 21)).expect("small"),
        };
        let subject = Subject::Address(Address::V4(bits));
        let keys = (0..=32).map(|length| (length, bits & mask4(length)));
        assert_same(&list, &subject, oracle.judge(keys, &subject).as_ref());
    }
}

#[test]
fn random_ipv6_lookups_agree_with_a_probe_of_every_length() {
    let mut random = Random(2);
    let (mut oracle, mut entries) = (Oracle(HashMap::new()), Vec::new());
    let mut edges = Vec::new();
    for _ in 0..ENTRIES {
        // A few /32, in them many /48 and /64, in some of those many hosts.
        let crowd = 0x2001_0db8 << 96 | u128::from(random.next() % 4) << 96;
        let inside = u128::from(random.next() % 4096) << 64 | u128::from(random.next() % 512);
        let bits = if random.below(5) == 0 {
            random.wide()
        } else {
            crowd | inside
        };
        let length = random.length(
            &[128, 128, 127, 125, 121, 64, 64],
            &[112, 65, 63, 56, 48, 33, 32, 31, 20],
        );
        let start = bits & mask6(length);
        let target = Target::Network(Network::V6 { start, length });
        let entry = Entry {
            target,
            statement: random.statement(),
        };
        oracle.add((length, start), &entry);
        edges.extend([
            start.wrapping_sub(1),
            start,
            start | !mask6(length),
            (start | !mask6(length)).wrapping_add(1),
        ]);
        entries.push(entry);
    }
    let list = list_of(&entries);
    for round in 0..lookups() {
        let bits = match round % 4 {
            0 => random.pick(&edges),
            1 => random.wide(),
            2 => {
                random.pick(&edges)
                    ^ u128::from(random.next() % 1024) << random.pick(&[0, 54, 64, 90])
            }
            _ => {
                0x2001_0db8 << 96
                    | u128::from(random.next() % 4096) << 64
                    | u128::from(random.next() % 512)
            }
        };
        let subject = Subject::Address(Address::V6(bits));
        // What is mapped is IPv4, of which this list has none.
        let expected = if bits >> 32 == 0xffff {
            None
        } else {
            oracle.judge(
                (0..=128).map(|length| (length, bits & mask6(length))),
                &subject,
            )
        };
        assert_same(&list, &subject, expected.as_ref());
    }
}

fn random_name(random: &mut Random, labels: usize) -> String {
    let label = |random: &mut Random, at: usize| match at {
        0 => random.pick(&["com", "net", "example", "co"]).to_owned(),
        1 => format!("n{}", random.below(60_000)),
        _ => random
            .pick(&["www", "a", "b", "cdn", "x-1", "_dmarc", "m2"])
            .to_owned(),
    };
    let parts: Vec<_> = (0..labels).rev().map(|at| label(random, at)).collect();
    parts.join(".")
}

#[test]
fn random_names_agree_with_a_probe_of_every_suffix() {
    let mut random = Random(3);
    let (mut oracle, mut entries) = (Oracle(HashMap::new()), Vec::new());
    let mut listed = Vec::new();
    for _ in 0..ENTRIES {
        let labels = usize::from(random.length(&[2, 2, 2, 2, 3, 3, 3, 4, 5, 7], &[1]));
        let name = random_name(&mut random, labels);
        let rule = random.pick(&[Rule::Suffix, Rule::Below, Rule::Exact]);
        let target = Target::Domain {
            name: name.clone().into(),
            rule,
        };
        let entry = Entry {
            target,
            statement: random.statement(),
        };
        oracle.add(name.clone(), &entry);
        listed.push(name);
        entries.push(entry);
    }
    let (text, compact) = (list_of(&entries), compact_list_of(&entries));
    for round in 0..lookups() {
        let labels = random.pick(&[1, 2, 3, 3, 4, 6, 8]);
        let name = match round % 3 {
            0 => listed[random.below(listed.len())].clone(),
            1 => format!("www.{}", listed[random.below(listed.len())]),
            _ => random_name(&mut random, labels),
        };
        let subject = Subject::parse(name.as_bytes()).expect("a name");
        let dots = name
            .match_indices('.')
            .map(|(at, _)| name[at + 1..].to_owned());
        let expected = oracle.judge(std::iter::once(name.clone()).chain(dots), &subject);
        assert_same(&compact, &subject, expected.as_ref());
        assert_same(&text, &subject, expected.as_ref());
    }
}

fn compact_list_of(entries: &[Entry]) -> Blocklist {
    let mut builder = Builder::new();
    for entry in entries {
        builder.add(entry).expect("room");
    }
    let stamp = Stamp {
        compact_domains: true,
        ..Stamp::default()
    };
    let list = builder.build(stamp).expect("a base");
    list.clock().advance(NOW);
    list
}

/// 10.0.0.0/20: nested, touching, whole; every address of it and its neighbours, at five times.
#[test]
fn each_address_of_a_small_network_agrees_with_the_linear_scan() {
    let subjects: Vec<_> = (0x09ff_fff0..0x0a00_1010_u32)
        .map(|bits| Subject::Address(Address::V4(bits)))
        .collect();
    for seed in 10..18 {
        let mut random = Random(seed);
        let entries: Vec<_> = (0..[3, 30, 120][usize::try_from(seed % 3).expect("small")])
            .map(|_| {
                let bits = 0x0a00_0000 | u32::try_from(random.below(4096)).expect("small");
                let length = random.pick(&[32, 32, 31, 30, 29, 28, 26, 24, 22, 21, 20, 19, 8, 0]);
                let start = bits & mask4(length);
                Entry {
                    target: Target::Network(Network::V4 { start, length }),
                    statement: random.statement(),
                }
            })
            .collect();
        check(&build(&entries), &entries, &subjects).expect("the same");
    }
}

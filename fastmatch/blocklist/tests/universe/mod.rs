//! Few addresses and names, so that entries nest, tie, expire and veto each other; and the linear scan over them.
#![allow(dead_code, reason = "each test file uses what it needs")]

use std::cmp::Reverse;
use std::num::NonZeroU32;
use std::sync::Arc;

use blocklist::address::{Address, Network};
use blocklist::{
    Blocklist, Builder, Disposition, Entry, Origin, Rule, Stamp, Statement, Subject, Target,
    VerdictRef,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// `PROPTEST_CASES` asks for more, as `make check-slow` does.
pub fn config(cases: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES").ok();
    let wanted = wanted.map(|count| count.parse().expect("a number"));
    ProptestConfig {
        cases: wanted.unwrap_or(cases),
        ..ProptestConfig::default()
    }
}

pub type Seen = (Disposition, u8, Vec<String>, Vec<String>);

pub fn seen(verdict: VerdictRef<'_>) -> Seen {
    (
        verdict.disposition(),
        verdict.score_tenths(),
        verdict.sources().map(Into::into).collect(),
        verdict.categories().map(Into::into).collect(),
    )
}

pub fn covers(target: &Target, subject: &Subject) -> bool {
    match (target, subject) {
        (Target::Network(Network::V4 { start, length }), Subject::Address(Address::V4(bits))) => {
            *length == 0 || (start ^ bits) >> (32 - length) == 0
        }
        (Target::Network(Network::V6 { start, length }), Subject::Address(Address::V6(bits))) => {
            *length == 0 || (start ^ bits) >> (128 - length) == 0
        }
        (Target::Domain { name: listed, rule }, Subject::Name(name)) => {
            let is_itself = name.as_str() == &**listed;
            let is_below = name.as_str().ends_with(&format!(".{listed}"));
            match rule {
                Rule::Exact => is_itself,
                Rule::Suffix => is_itself || is_below,
                Rule::Below => is_below,
            }
        }
        _ => false,
    }
}

pub fn scan(entries: &[Entry], subject: &Subject, now: u64) -> Option<Seen> {
    let covering: Vec<_> = entries
        .iter()
        .filter(|entry| covers(&entry.target, subject))
        .collect();
    let is_known_good = covering
        .iter()
        .any(|entry| entry.statement.disposition == Disposition::KnownGood);
    let strongest = covering
        .into_iter()
        .filter(|Entry { statement, .. }| {
            let is_feed_block =
                statement.disposition == Disposition::Block && statement.origin == Origin::Feed;
            let is_live = statement
                .expires
                .is_none_or(|expires| u64::from(expires.get()) > now);
            is_live
                && statement.disposition != Disposition::KnownGood
                && !(is_known_good && is_feed_block)
        })
        .min_by_key(|Entry { target, statement }| {
            (
                statement.disposition != Disposition::Allow,
                Reverse((statement.score_tenths, target.specificity())),
                statement.origin,
                statement.sources.clone(),
                statement.categories.clone(),
            )
        })?;
    let strings = |labels: &[Box<str>]| labels.iter().map(ToString::to_string).collect();
    let statement = &strongest.statement;
    Some((
        statement.disposition,
        statement.score_tenths,
        strings(&statement.sources),
        strings(&statement.categories),
    ))
}

fn target() -> impl Strategy<Value = Target> {
    let network4 = (
        0_u32..64,
        select(vec![0_u8, 8, 24, 26, 27, 28, 29, 30, 31, 32]),
    )
        .prop_map(|(low, length)| Network::v4(0x0a00_0000 | low, length).expect("a length").0);
    let network6 = (
        0_u128..64,
        any::<bool>(),
        select(vec![0_u8, 32, 58, 60, 64, 122, 124, 126, 127, 128]),
    )
        .prop_map(|(low, is_high, length)| {
            let bits = 0x2001_0db8 << 96 | if is_high { low << 64 } else { low };
            Network::v6(bits, length).expect("a length").0
        });
    let domain =
        (name(), select(vec![Rule::Exact, Rule::Suffix, Rule::Below])).prop_map(|(name, rule)| {
            Target::Domain {
                name: name.into(),
                rule,
            }
        });
    prop_oneof![
        network4.prop_map(Target::Network),
        network6.prop_map(Target::Network),
        domain
    ]
}

fn name() -> impl Strategy<Value = String> {
    vec(select(vec!["a", "b", "xn--p1ai"]), 1..5).prop_map(|labels| labels.join("."))
}

pub fn entry() -> impl Strategy<Value = Entry> {
    let dispositions = vec![
        Disposition::Block,
        Disposition::Block,
        Disposition::Allow,
        Disposition::KnownGood,
    ];
    let origins = vec![
        Origin::Feed,
        Origin::Feed,
        Origin::Operator,
        Origin::Incident,
    ];
    let labels =
        || vec(select(vec!["p", "q"]).prop_map(Box::from), 0..2).prop_map(Vec::into_boxed_slice);
    let sets = (labels(), labels());
    let rest = (select(vec![30_u8, 70, 90]), 0_u32..4, sets);
    (target(), select(dispositions), select(origins), rest).prop_map(
        |(target, disposition, origin, (score_tenths, expires, (sources, categories)))| {
            let is_known_good = disposition == Disposition::KnownGood;
            let statement = Statement {
                disposition,
                origin,
                score_tenths,
                sources,
                categories,
                reason: "".into(),
                first_seen: None,
                last_seen: None,
                expires: NonZeroU32::new(expires * 10).filter(|_| !is_known_good),
            };
            Entry {
                target,
                statement: Arc::new(statement.checked().expect("valid")),
            }
        },
    )
}

/// Every address of the small universe and its neighbours, every name up to four labels and one below.
pub fn subjects() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for low in 0..66_u32 {
        subjects.push(Subject::Address(Address::V4(0x09ff_ffff + low)));
        let base = 0x2001_0db8_u128 << 96;
        subjects.push(Subject::Address(Address::V6(base - 1 + u128::from(low))));
        subjects.push(Subject::Address(Address::V6(
            (base - 1) + (u128::from(low) << 64),
        )));
    }
    subjects.extend([0, u32::MAX].map(|bits| Subject::Address(Address::V4(bits))));
    subjects.extend([1, u128::MAX].map(|bits| Subject::Address(Address::V6(bits))));
    let mut names = vec![String::new()];
    for _ in 0..4 {
        let longer: Vec<_> = names
            .iter()
            .flat_map(|name| ["a", "b", "xn--p1ai"].map(|label| format!("{label}.{name}")))
            .collect();
        names.extend(longer);
    }
    names.sort();
    names.dedup();
    for name in names.iter().filter(|name| !name.is_empty()) {
        subjects.push(Subject::parse(name.as_bytes()).expect("a name"));
    }
    subjects.push(Subject::parse(b"x.y.z.a.b.a.b").expect("a name"));
    subjects
}

pub fn build(entries: &[Entry]) -> Blocklist {
    let mut builder = Builder::new();
    for entry in entries {
        builder.add(entry).expect("room");
    }
    let stamp = Stamp {
        epoch: 3,
        sequence: 4,
        ..Stamp::default()
    };
    builder.build(stamp).expect("a base")
}

pub fn look_up<'a>(list: &'a Blocklist, subject: &Subject) -> Option<VerdictRef<'a>> {
    match subject {
        Subject::Address(Address::V4(bits)) => list.lookup4(*bits),
        Subject::Address(Address::V6(bits)) => list.lookup6(*bits),
        Subject::Name(name) => list.lookup_host(name.as_bytes()).expect("a name"),
    }
}

pub fn check(
    list: &Blocklist,
    entries: &[Entry],
    subjects: &[Subject],
) -> Result<(), TestCaseError> {
    for now in [0, 9, 10, 25, 30] {
        list.clock().advance(now);
        for subject in subjects {
            let found = look_up(list, subject).map(seen);
            prop_assert_eq!(
                &found,
                &scan(entries, subject, now),
                "{} at {}",
                subject,
                now
            );
        }
    }
    Ok(())
}

pub fn pack(entries: &[Entry]) -> Vec<u8> {
    blocklist::pack(entries).expect("few")
}

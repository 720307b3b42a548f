//! Compiled lists against a linear scan over few addresses and names, so that entries nest, tie and expire.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use blocklist::address::{Address, Network};
use blocklist::{
    Blocklist, Builder, Disposition, Entry, Origin, Rule, Stamp, Statement, Subject, Target,
    VerdictRef, pack, unpack,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

type Seen = (Disposition, u8, Vec<String>, Vec<String>);

fn seen(verdict: VerdictRef<'_>) -> Seen {
    (
        verdict.disposition(),
        verdict.score_tenths(),
        verdict.sources().map(Into::into).collect(),
        verdict.categories().map(Into::into).collect(),
    )
}

fn covers(target: &Target, subject: &Subject) -> bool {
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

fn scan(entries: &[Entry], subject: &Subject, now: u64) -> Option<Seen> {
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

fn entry() -> impl Strategy<Value = Entry> {
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
fn subjects() -> Vec<Subject> {
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

fn build(entries: &[Entry]) -> Blocklist {
    let mut builder = Builder::new();
    for entry in entries {
        builder.add(entry).expect("room");
    }
    builder.build(Stamp {
        epoch: 3,
        sequence: 4,
        now: 0,
    })
}

fn look_up<'a>(list: &'a Blocklist, subject: &Subject) -> Option<VerdictRef<'a>> {
    match subject {
        Subject::Address(Address::V4(bits)) => list.lookup4(*bits),
        Subject::Address(Address::V6(bits)) => list.lookup6(*bits),
        Subject::Name(name) => list.lookup_host(name.as_bytes()).expect("a name"),
    }
}

fn check(list: &Blocklist, entries: &[Entry], subjects: &[Subject]) -> Result<(), TestCaseError> {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_list_says_what_the_scan_says(entries in vec(entry(), 0..40)) {
        check(&build(&entries), &entries, &subjects())?;
    }

    #[test]
    fn base_and_overlay_say_what_one_list_says(below in vec(entry(), 0..25), above in vec(entry(), 0..25)) {
        let list = build(&below).with_overlay(&pack(&above), 9).expect("a pack");
        prop_assert_eq!(list.version(), (3, 9));
        let all: Vec<_> = below.into_iter().chain(above).collect();
        check(&list, &all, &subjects())?;
    }

    #[test]
    fn the_explanation_decides_as_the_lookup(below in vec(entry(), 0..25), above in vec(entry(), 0..9), now in 0_u64..31) {
        let list = build(&below).with_overlay(&pack(&above), 9).expect("a pack");
        list.clock().advance(now);
        let all: Vec<_> = below.into_iter().chain(above).collect();
        for subject in subjects() {
            let explanation = list.explain(&subject).expect("evidence");
            let decided: Vec<_> = explanation.covering.iter().filter(|covering| covering.decided).collect();
            let said = explanation.verdict.and_then(|id| list.verdict(id)).map(seen);
            prop_assert_eq!(decided.len(), usize::from(said.is_some()));
            if let (Some(deciding), Some(said)) = (decided.first(), said) {
                prop_assert_eq!(deciding.entry.statement.score_tenths, said.1);
                prop_assert_eq!(scan(std::slice::from_ref(&deciding.entry), &subject, now), Some(said));
            }
            let covering = all.iter().filter(|entry| covers(&entry.target, &subject));
            let distinct: HashSet<_> = covering.collect();
            prop_assert_eq!(explanation.covering.len(), distinct.len());
        }
    }

    #[test]
    fn a_list_gives_back_its_entries_and_folds_into_the_next(below in vec(entry(), 0..25), above in vec(entry(), 0..9)) {
        let list = build(&below).with_overlay(&pack(&above), 9).expect("a pack");
        let listed: Vec<_> = list.entries().expect("evidence").collect();
        let distinct = |entries: &[Entry]| entries.iter().cloned().collect::<HashSet<_>>();
        prop_assert_eq!(listed.len(), distinct(&below).len() + distinct(&above).len());
        let mut builder = Builder::new();
        builder.add_list(&list).expect("evidence");
        let folded: Vec<_> = builder.build(Stamp::default()).entries().expect("evidence").collect();
        let all: Vec<_> = below.into_iter().chain(above).collect();
        prop_assert_eq!(distinct(&listed), distinct(&all));
        prop_assert_eq!(distinct(&folded), distinct(&all));
        prop_assert_eq!(folded.len(), distinct(&all).len());
    }

    #[test]
    fn entries_survive_packing(entries in vec(entry(), 0..40)) {
        let mut unpacked = Vec::new();
        unpack(&pack(&entries), 40, |entry| { unpacked.push(entry); Ok(()) }).expect("a pack");
        prop_assert_eq!(unpacked, entries);
    }

    #[test]
    fn a_damaged_pack_is_refused(entries in vec(entry(), 1..10), at: prop::sample::Index, flip in 1_u8..=255, cut: prop::sample::Index) {
        let packed = pack(&entries);
        let mut flipped = packed.clone();
        flipped[at.index(packed.len())] ^= flip;
        prop_assert!(unpack(&flipped, 100, |_| Ok(())).is_err());
        prop_assert!(unpack(&packed[..cut.index(packed.len())], 100, |_| Ok(())).is_err());
        let limited = unpack(&packed, entries.len() - 1, |_| Ok(()));
        prop_assert!(limited.is_err());
    }
}

/// Enough boundaries for the tables over the top bits, which the small universe never needs.
#[test]
fn a_large_list_says_what_a_set_says() {
    let mut state = 1_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 32
    };
    let hosts: HashSet<u32> = (0..5000)
        .map(|_| u32::try_from(random()).expect("32 bits"))
        .collect();
    let wide = |host: u32| u128::from(host) << 80 | 0x2000 << 112;
    let mut builder = Builder::new();
    let statement = Arc::new(Statement {
        disposition: Disposition::Block,
        origin: Origin::Feed,
        score_tenths: 80,
        sources: Box::default(),
        categories: Box::default(),
        reason: "".into(),
        first_seen: None,
        last_seen: None,
        expires: None,
    });
    for host in &hosts {
        for address in [Address::V4(*host), Address::V6(wide(*host))] {
            let target = Target::Network(Network::host(address));
            builder
                .add(&Entry {
                    target,
                    statement: Arc::clone(&statement),
                })
                .expect("room");
        }
    }
    let list = builder.build(Stamp::default());
    for host in hosts
        .iter()
        .flat_map(|host| [host.wrapping_sub(1), *host, host.wrapping_add(1)])
    {
        assert_eq!(list.lookup4(host).is_some(), hosts.contains(&host));
        assert_eq!(list.lookup6(wide(host)).is_some(), hosts.contains(&host));
        assert!(list.lookup6(wide(host) + 1).is_none());
    }
}

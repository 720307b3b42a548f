//! Base and overlay against one list that is built from what remains: lookups, explanations, entries, folding.

mod universe;

use std::collections::HashSet;
use std::sync::Arc;

use blocklist::{Blocklist, Builder, Disposition, Entry, Stamp, Statement};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use universe::{build, check, covers, entry, look_up, pack, scan, seen, subjects};

/// Which sources a tombstone names, given those of the entry it aims at.
#[derive(Clone, Copy, Debug)]
enum Named {
    Any,
    Same,
    All,
    Other,
}

fn tombstone(aim: &Entry, named: Named) -> Entry {
    let sources: &[&str] = match named {
        Named::Any => &[],
        Named::Same => &aim
            .statement
            .sources
            .iter()
            .map(|source| &**source)
            .collect::<Vec<_>>(),
        Named::All => &["p", "q"],
        Named::Other => &["q"],
    };
    let statement = Statement {
        disposition: Disposition::Tombstone,
        sources: sources.iter().map(|source| Box::from(*source)).collect(),
        categories: Box::default(),
        expires: None,
        ..(*aim.statement).clone()
    };
    Entry {
        target: aim.target.clone(),
        statement: Arc::new(statement.checked().expect("valid")),
    }
}

/// A base and an overlay of entries and tombstones; most tombstones aim at what the base or the overlay holds.
fn layers() -> impl Strategy<Value = (Vec<Entry>, Vec<Entry>)> {
    let named = || select(vec![Named::Any, Named::Same, Named::All, Named::Other]);
    let aimed = vec((any::<Index>(), named()), 0..8);
    let stray = vec((entry(), named()), 0..3);
    (vec(entry(), 1..25), vec(entry(), 0..12), aimed, stray).prop_map(
        |(below, mut above, aimed, stray)| {
            let all: Vec<_> = below.iter().chain(&above).cloned().collect();
            let aimed = aimed
                .iter()
                .map(|(index, named)| tombstone(index.get(&all), *named));
            above.extend(aimed);
            above.extend(stray.iter().map(|(aim, named)| tombstone(aim, *named)));
            (below, above)
        },
    )
}

/// What the rule for removal leaves of both.
fn remaining(below: &[Entry], above: &[Entry]) -> Vec<Entry> {
    let is_tombstone = |entry: &&Entry| entry.statement.disposition == Disposition::Tombstone;
    let is_removed = |entry: &&Entry| {
        above.iter().filter(is_tombstone).any(|tombstone| {
            let named: HashSet<_> = tombstone.statement.sources.iter().collect();
            let sources: HashSet<_> = entry.statement.sources.iter().collect();
            tombstone.target == entry.target
                && tombstone.statement.origin == entry.statement.origin
                && (named.is_empty() || sources.is_subset(&named))
        })
    };
    let kept = below.iter().filter(|entry| !is_removed(entry));
    let added = above.iter().filter(|entry| !is_tombstone(entry));
    kept.chain(added).cloned().collect()
}

fn layered(below: &[Entry], above: &[Entry]) -> Blocklist {
    build(below).with_overlay(&pack(above), 9).expect("a pack")
}

proptest! {
    #![proptest_config(universe::config(96))]

    #[test]
    fn base_and_overlay_say_what_the_scan_of_the_rest_says((below, above) in layers()) {
        let base = build(&below);
        let list = base.with_overlay(&pack(&above), 9).expect("a pack");
        prop_assert_eq!(list.version(), (3, 9));
        check(&list, &remaining(&below, &above), &subjects())?;
        check(&base, &below, &subjects())?;
    }

    #[test]
    fn base_and_overlay_explain_what_the_rebuilt_list_explains((below, above) in layers(), now in 0_u64..31) {
        let list = layered(&below, &above);
        let rebuilt = build(&remaining(&below, &above));
        list.clock().advance(now);
        rebuilt.clock().advance(now);
        for subject in subjects() {
            prop_assert_eq!(look_up(&list, &subject).map(seen), look_up(&rebuilt, &subject).map(seen));
            let ours = list.explain(&subject).expect("evidence");
            let theirs = rebuilt.explain(&subject).expect("evidence");
            prop_assert_eq!(&ours.subject, &theirs.subject);
            prop_assert_eq!(&ours.covering, &theirs.covering);
            let said = |list: &Blocklist, id: Option<u32>| id.and_then(|id| list.verdict(id).map(seen));
            prop_assert_eq!(said(&list, ours.verdict), said(&rebuilt, theirs.verdict));
        }
    }

    #[test]
    fn the_explanation_decides_as_the_lookup((below, above) in layers(), now in 0_u64..31) {
        let list = layered(&below, &above);
        list.clock().advance(now);
        let all = remaining(&below, &above);
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
    fn a_list_gives_back_its_entries_and_folds_into_the_next((below, above) in layers()) {
        let list = layered(&below, &above);
        let distinct = |entries: &[Entry]| entries.iter().cloned().collect::<HashSet<_>>();
        let expected = distinct(&remaining(&below, &above));
        let listed: Vec<_> = list.entries().expect("evidence").collect();
        prop_assert_eq!(distinct(&listed), expected.clone());
        let mut builder = Builder::new();
        builder.add_list(&list).expect("evidence");
        let folded = builder.build(Stamp::default()).expect("a base");
        let folded: Vec<_> = folded.entries().expect("evidence").collect();
        prop_assert_eq!(folded.len(), expected.len());
        prop_assert_eq!(distinct(&folded), expected);
    }
}

#[test]
fn entries_that_say_the_same_share_one_statement() {
    let one = entry_at("10.0.0.1");
    let entries: Vec<_> = ["10.0.0.2", "10.0.0.3", "2001:db8::1", "a.b"]
        .map(entry_at)
        .into();
    let list = build(&[&[one], &*entries].concat());
    let listed: Vec<_> = list.entries().expect("evidence").collect();
    assert_eq!(listed.len(), 5);
    assert!(
        listed
            .iter()
            .all(|entry| Arc::ptr_eq(&entry.statement, &listed[0].statement))
    );
}

#[test]
fn a_base_with_a_tombstone_is_refused() {
    let mut builder = Builder::new();
    let entry = tombstone(&entry_at("10.0.0.1"), Named::Any);
    builder.add(&entry).expect("room");
    let refused = builder.build(Stamp::default()).expect_err("refused");
    assert!(
        refused
            .to_string()
            .starts_with("a tombstone is for an overlay")
    );
    let nowhere = std::path::Path::new("/nowhere/at/all");
    let refused = builder
        .write(nowhere, nowhere, Stamp::default())
        .expect_err("refused");
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn a_tombstone_with_an_expiry_or_categories_is_refused() {
    let stated = |change: fn(&mut Statement)| {
        let mut statement = (*tombstone(&entry_at("10.0.0.1"), Named::Any).statement).clone();
        change(&mut statement);
        statement.checked()
    };
    assert!(stated(|_| ()).is_ok());
    assert!(stated(|statement| statement.expires = std::num::NonZeroU32::new(9)).is_err());
    assert!(stated(|statement| statement.categories = Box::new(["scan".into()])).is_err());
    assert_eq!(
        stated(|statement| statement.score_tenths = 50)
            .expect("valid")
            .score_tenths,
        0
    );
}

fn entry_at(target: &str) -> Entry {
    let statement = Statement {
        disposition: Disposition::Block,
        origin: blocklist::Origin::Feed,
        score_tenths: 70,
        sources: Box::new(["feed".into()]),
        categories: Box::default(),
        reason: "".into(),
        first_seen: None,
        last_seen: None,
        expires: None,
    };
    Entry {
        target: blocklist::Target::parse(target.as_bytes(), blocklist::Rule::Suffix)
            .expect("a target"),
        statement: Arc::new(statement),
    }
}

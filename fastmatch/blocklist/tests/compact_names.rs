//! Lists without the texts of their names against the linear scan, and against the same lists with them.

mod universe;

use std::collections::HashSet;

use blocklist::{Blocklist, Builder, Entry, Stamp, pack};
use proptest::collection::vec;
use proptest::prelude::*;
use universe::{build, check, entry, subjects};

fn build_compact(entries: &[Entry]) -> Blocklist {
    let mut builder = Builder::new();
    for entry in entries {
        builder.add(entry).expect("room");
    }
    let stamp = Stamp {
        epoch: 3,
        sequence: 4,
        compact_domains: true,
        ..Stamp::default()
    };
    builder.build(stamp).expect("a base")
}

proptest! {
    #![proptest_config(universe::config(64))]

    #[test]
    fn a_compact_list_says_what_the_scan_says(entries in vec(entry(), 0..40)) {
        check(&build_compact(&entries), &entries, &subjects())?;
    }

    #[test]
    fn a_compact_list_explains_and_gives_back_what_the_full_one_does(below in vec(entry(), 0..25), above in vec(entry(), 0..9)) {
        let (full, compact) = (build(&below), build_compact(&below));
        let given: Vec<HashSet<Entry>> = [&full, &compact].map(|list| list.entries().expect("evidence").collect()).into();
        prop_assert_eq!(&given[0], &given[1]);
        prop_assert_eq!(&given[1], &below.iter().cloned().collect());
        let with_overlay = |list: &Blocklist| list.with_overlay(&pack(&above).expect("room"), 9).expect("a pack");
        let (full, compact) = (with_overlay(&full), with_overlay(&compact));
        for subject in subjects() {
            let said = [&full, &compact].map(|list| list.explain(&subject).expect("evidence"));
            prop_assert_eq!(&said[0].covering, &said[1].covering);
        }
    }
}

#[test]
fn an_empty_compact_list_is_empty() {
    let list = build_compact(&[]);
    assert!(list.is_empty());
    assert!(list.lookup_domain_bytes(b"a.b").expect("a name").is_none());
}

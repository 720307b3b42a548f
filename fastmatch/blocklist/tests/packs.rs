//! The packed form: one set of entries is one pack, and nothing else is a pack.

mod universe;

use std::collections::HashSet;
use std::sync::Arc;

use blocklist::{
    Builder, Disposition, Entry, Limits, Origin, PackError, PackRule, Rule, Statement, Target,
    unpack,
};
use proptest::collection::vec;
use proptest::prelude::*;
use universe::{entry, pack};

const LIMITS: Limits = Limits::of_entries(100);

fn unpacked(packed: &[u8]) -> Result<Vec<Entry>, PackError> {
    let mut entries = Vec::new();
    unpack(packed, LIMITS, |entry| entries.push(entry)).map(|()| entries)
}

fn built(entries: &[Entry]) -> Builder {
    let mut builder = Builder::new();
    for entry in entries {
        builder.add(entry).expect("room");
    }
    builder
}

proptest! {
    #![proptest_config(universe::config(256))]

    #[test]
    fn entries_survive_packing(entries in vec(entry(), 0..40)) {
        let back = unpacked(&pack(&entries)).expect("a pack");
        let distinct: HashSet<_> = entries.into_iter().collect();
        prop_assert_eq!(back.len(), distinct.len());
        prop_assert_eq!(back.into_iter().collect::<HashSet<_>>(), distinct);
    }

    #[test]
    fn a_set_of_entries_has_one_pack(entries in vec(entry(), 0..40), again in vec(any::<prop::sample::Index>(), 0..9), seed: u64) {
        let packed = pack(&entries);
        let mut shuffled = entries.clone();
        if !entries.is_empty() {
            shuffled.extend(again.iter().map(|index| index.get(&entries).clone()));
        }
        let mut state = seed | 1;
        for place in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
            shuffled.swap(place, usize::try_from(state >> 33).expect("31 bits") % (place + 1));
        }
        prop_assert_eq!(&pack(&shuffled), &packed);
        prop_assert_eq!(&pack(&unpacked(&packed).expect("a pack")), &packed);
        prop_assert_eq!(&built(&shuffled).pack(), &packed);
        let mut builder = Builder::new();
        builder.add_packed(&packed, LIMITS).expect("a pack");
        prop_assert_eq!(&builder.pack(), &packed);
    }

    #[test]
    fn packs_add_up(left in vec(entry(), 0..20), right in vec(entry(), 0..20), is_packed: [bool; 2]) {
        let mut builder = Builder::new();
        for (entries, is_packed) in [&left, &right].into_iter().zip(is_packed) {
            if is_packed {
                builder.add_packed(&pack(entries), LIMITS).expect("a pack");
            } else {
                for entry in entries {
                    builder.add(entry).expect("room");
                }
            }
        }
        let all: Vec<_> = left.into_iter().chain(right).collect();
        prop_assert_eq!(builder.pack(), pack(&all));
    }

    #[test]
    fn a_damaged_pack_is_refused(entries in vec(entry(), 1..10), at: prop::sample::Index, flip in 1_u8..=255, cut: prop::sample::Index) {
        let packed = pack(&entries);
        let mut flipped = packed.clone();
        flipped[at.index(packed.len())] ^= flip;
        prop_assert!(unpacked(&flipped).is_err());
        prop_assert!(unpacked(&packed[..cut.index(packed.len())]).is_err());
    }
}

fn refusal(packed: &[u8], limits: Limits) -> String {
    let refused = unpack(packed, limits, |_| panic!("an entry of a refused pack"));
    refused.expect_err("refused").to_string()
}

fn small_pack() -> Vec<u8> {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;
    let entries = vec(entry(), 20..30).new_tree(&mut TestRunner::deterministic());
    pack(&entries.expect("entries").current())
}

#[test]
fn every_truncation_and_every_flipped_byte_is_refused() {
    let packed = small_pack();
    for length in 0..packed.len() {
        refusal(&packed[..length], LIMITS);
    }
    for position in 0..packed.len() {
        for flip in [1, 2, 0x10, 0x80, 0xff] {
            let mut flipped = packed.clone();
            flipped[position] ^= flip;
            refusal(&flipped, LIMITS);
        }
    }
    let longer = [packed.as_slice(), &[0]].concat();
    assert_eq!(
        refusal(&longer, LIMITS),
        "offset 40: the body is not as long as stated"
    );
}

#[test]
fn versions_and_limits_are_named() {
    let packed = small_pack();
    let mut newer = packed.clone();
    newer[8] = 3;
    assert_eq!(
        refusal(&newer, LIMITS),
        "offset 8: format version 3 is newer than 2, which this build reads"
    );
    newer[8] = 1;
    assert_eq!(
        refusal(&newer, LIMITS),
        "offset 8: format version 1 is older than 2, which this build reads"
    );
    let count = unpacked(&packed).expect("a pack").len();
    let limits = |entries, bytes| Limits { entries, bytes };
    assert_eq!(
        refusal(&packed, limits(count - 1, packed.len())),
        format!("offset 28: {count} entries, the limit is {}", count - 1)
    );
    let bytes = packed.len() - 1;
    assert_eq!(
        refusal(&packed, limits(count, bytes)),
        format!("offset 0: {} bytes, the limit is {bytes}", packed.len())
    );
    let taken = unpack(&packed, limits(count, packed.len()), |_| ());
    assert_eq!(taken, Ok(()));
    assert_eq!(
        unpacked(b"SNTRDCSN").expect_err("refused"),
        PackError {
            offset: 0,
            rule: PackRule::Broken("not a pack of entries")
        }
    );
}

proptest! {
    #![proptest_config(universe::config(256))]

    #[test]
    fn a_builder_that_was_packed_takes_further_entries(
        first in vec(entry(), 0..6), second in vec(entry(), 0..6)
    ) {
        let mut builder = built(&first);
        builder.pack();
        for entry in &second {
            builder.add(entry).expect("room");
        }
        let both: Vec<_> = first.into_iter().chain(second).collect();
        prop_assert_eq!(builder.pack(), pack(&both));
    }
}

#[test]
fn labels_are_told_apart_after_packing_though_their_numbers_changed() {
    let labelled = |source: &str, category: &str| {
        let statement = Statement {
            disposition: Disposition::Block,
            origin: Origin::Feed,
            score_tenths: 50,
            sources: Box::new([source.into()]),
            categories: Box::new([category.into()]),
            reason: "".into(),
            first_seen: None,
            last_seen: None,
            expires: None,
        };
        Entry {
            target: Target::parse(b"a.b", Rule::Exact).expect("a target"),
            statement: Arc::new(statement),
        }
    };
    let (former, later) = (labelled("b", "a"), labelled("a", "b"));
    let mut builder = built(std::slice::from_ref(&former));
    builder.pack();
    builder.add(&later).expect("room");
    assert_eq!(builder.pack(), pack(&[former, later]));
}

#[test]
fn a_refused_pack_leaves_the_builder_as_it_was() {
    let packed = small_pack();
    let mut builder = Builder::new();
    builder.add_packed(&packed, LIMITS).expect("a pack");
    let mut damaged = packed.clone();
    *damaged.last_mut().expect("bytes") ^= 1;
    builder.add_packed(&damaged, LIMITS).expect_err("refused");
    assert_eq!(builder.pack(), packed);
}

//! Tests only: packs that lie, their sum made to fit: refused by rule, or the canonical pack of something else.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::entry::{Entry, Origin, Statement};
use crate::fuzzing::fit_pack;
use crate::pack::{HEAD_BYTES, pack};
use crate::target::{Rule, Target};
use crate::unpack::{Limits, unpack};
use crate::verdict::Disposition;

const LIMITS: Limits = Limits::of_entries(100);

fn statement(score_tenths: u8, sources: &[&str], reason: &str) -> Arc<Statement> {
    let statement = Statement {
        disposition: Disposition::Block,
        origin: Origin::Feed,
        score_tenths,
        sources: sources.iter().map(|source| Box::from(*source)).collect(),
        categories: Box::default(),
        reason: reason.into(),
        first_seen: NonZeroU32::new(7),
        last_seen: None,
        expires: NonZeroU32::new(9),
    };
    Arc::new(statement.checked().expect("valid"))
}

fn entry(text: &str, rule: Rule, statement: &Arc<Statement>) -> Entry {
    Entry {
        target: Target::parse(text.as_bytes(), rule).expect("a target"),
        statement: Arc::clone(statement),
    }
}

fn whole() -> Vec<u8> {
    let (one, two) = (statement(10, &["p", "q"], ""), statement(20, &["q"], "why"));
    let entries = [
        entry("10.0.0.0/8", Rule::Suffix, &one),
        entry("10.0.0.0/9", Rule::Suffix, &two),
        entry("10.0.0.0/9", Rule::Suffix, &one),
        entry("2001:db8::/32", Rule::Suffix, &one),
        entry("2001:db8::1", Rule::Suffix, &two),
        entry("a.b", Rule::Suffix, &one),
        entry("a.b", Rule::Suffix, &two),
        entry("a.b", Rule::Exact, &one),
        entry("x.a.b", Rule::Below, &one),
    ];
    pack(&entries).expect("few")
}

fn unpacked(packed: &[u8]) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    let outcome = unpack(packed, LIMITS, |entry| entries.push(entry));
    outcome.map(|()| entries).map_err(|error| error.to_string())
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn whatever_is_taken_is_the_one_pack_of_its_entries() {
    let packed = whole();
    let mut taken = 0;
    for position in 0..packed.len() {
        for value in 0..=255 {
            let mut edited = packed.clone();
            edited[position] = value;
            fit_pack(&mut edited);
            if let Ok(entries) = unpacked(&edited) {
                assert_eq!(
                    pack(&entries).as_deref(),
                    Ok(&*edited),
                    "{position}: {value}"
                );
                taken += 1;
            }
        }
    }
    assert!(
        taken > packed.len(),
        "most edits of scores, times and addresses: {taken}"
    );
}

#[test]
fn a_pack_cut_or_extended_anywhere_is_refused_though_its_sum_fits() {
    let packed = whole();
    for length in 0..packed.len() {
        let mut cut = packed[..length].to_vec();
        fit_pack(&mut cut);
        let refused = unpacked(&cut).expect_err("refused");
        assert!(
            refused.contains("the pack ends too early"),
            "{length}: {refused}"
        );
    }
    let mut longer = packed.clone();
    longer.push(0);
    fit_pack(&mut longer);
    assert_eq!(
        unpacked(&longer),
        Err(format!(
            "offset {}: bytes behind the last entry",
            packed.len()
        ))
    );
}

#[test]
fn huge_counts_are_refused_before_anything_is_sized_by_them() {
    for part in 0..7 {
        let mut packed = whole();
        packed[12 + part * 4..16 + part * 4].copy_from_slice(&u32::MAX.to_le_bytes());
        fit_pack(&mut packed);
        let limits = Limits {
            entries: usize::MAX,
            bytes: usize::MAX,
        };
        let refused = unpack(&packed, limits, |_| ()).expect_err("refused");
        if part < 4 {
            let expected = "offset 12: more to share than entries share";
            assert_eq!(refused.to_string(), expected, "part {part}");
        } else {
            assert!(refused.offset >= HEAD_BYTES, "{refused}");
            let refused = unpacked(&packed).expect_err("refused");
            assert!(refused.starts_with("offset 28: 42949"), "{refused}");
            assert!(refused.ends_with("entries, the limit is 100"), "{refused}");
        }
    }
}

/// Where the only occurrence of these bytes begins.
fn place_of(packed: &[u8], bytes: &[u8]) -> usize {
    let mut places = packed
        .windows(bytes.len())
        .enumerate()
        .filter(|(_, window)| *window == bytes);
    let (place, _) = places.next().expect("there");
    assert!(places.next().is_none(), "more than one place");
    place
}

/// (offset, byte to put there, offset and rule that are named), from where the columns begin.
fn lies(columns: [usize; 8]) -> Vec<(usize, u8, (usize, &'static str))> {
    let [
        labels,
        sets,
        reasons,
        statements,
        networks4,
        networks6,
        domains,
        text,
    ] = columns;
    vec![
        (
            labels,
            0,
            (labels + 2, "a text of another length than is allowed"),
        ),
        (labels + 2, b'r', (labels + 3, "texts that do not ascend")),
        (labels + 2, 0xff, (labels + 2, "not UTF-8")),
        (sets, 65, (sets + 4, "more than 64 sources or categories")),
        (sets + 4, 1, (sets + 4, "labels that do not ascend")),
        (sets + 4, 2, (sets + 4, "an unknown label")),
        (sets + 6, 0, (sets + 6, "sets that do not ascend")),
        (
            reasons + 3,
            17,
            (reasons + 4, "a text of another length than is allowed"),
        ),
        (statements, 4, (statements, "an unknown disposition")),
        (
            statements,
            1,
            (statements, "a statement that is not canonical"),
        ),
        (statements + 2, 3, (statements + 2, "an unknown origin")),
        (
            statements + 4,
            30,
            (statements + 1, "statements that do not ascend"),
        ),
        (
            statements + 5,
            101,
            (statements + 1, "a statement that is not canonical"),
        ),
        (statements + 6, 1, (sets, "a set that no statement has")),
        (statements + 7, 2, (statements + 7, "an unknown set")),
        (
            statements + 8,
            1,
            (reasons, "a reason that no statement has"),
        ),
        (statements + 9, 2, (statements + 9, "an unknown reason")),
        (networks4, 1, (networks4, "a network that is not canonical")),
        (
            networks4 + 3,
            11,
            (networks4 + 4, "networks that do not ascend"),
        ),
        (
            networks4 + 12,
            33,
            (networks4, "a network that is not canonical"),
        ),
        (networks4 + 15, 2, (networks4 + 15, "an unknown statement")),
        (
            networks4 + 17,
            0,
            (networks4 + 8, "networks that do not ascend"),
        ),
        (
            networks6 + 32,
            16,
            (networks6, "a network that is not canonical"),
        ),
        (
            networks6 + 33,
            129,
            (networks6 + 16, "a network that is not canonical"),
        ),
        (
            domains,
            0,
            (domains, "entries of a name that do not ascend"),
        ),
        (domains + 4, 3, (domains + 4, "an unknown rule")),
        (
            domains + 6,
            0,
            (domains + 2, "entries of a name that do not ascend"),
        ),
        (domains + 8, 2, (domains + 8, "an unknown statement")),
        (text, b'A', (text, "a name that is not canonical")),
        (text + 2, b'c', (text + 3, "names that do not ascend")),
    ]
}

#[test]
fn every_rule_is_named_with_its_offset() {
    let packed = whole();
    let labels = HEAD_BYTES;
    let sets = labels + 4;
    let reasons = sets + 2 + 2 + 3;
    let statements = reasons + 4 + 3;
    let networks4 = statements + 2 * (5 + 12);
    let networks6 = networks4 + 3 * 6;
    let domains = networks6 + 2 * 18;
    let text = domains + 4 * 3;
    assert_eq!(place_of(&packed, b"why"), reasons + 4);
    assert_eq!(place_of(&packed, b"a.bx.a.b"), text);
    for (offset, value, expected) in lies([
        labels, sets, reasons, statements, networks4, networks6, domains, text,
    ]) {
        let mut edited = packed.clone();
        edited[offset] = value;
        fit_pack(&mut edited);
        let (at, rule) = expected;
        let expected = Err(format!("offset {at}: {rule}"));
        assert_eq!(unpacked(&edited), expected, "{offset} = {value}");
    }
}

#[test]
fn what_no_entry_needs_is_refused() {
    // The statement of the only entry that makes it.
    let (one, two) = (statement(10, &["p"], ""), statement(20, &["p"], ""));
    let entries = [
        entry("10.0.0.1", Rule::Suffix, &one),
        entry("10.0.0.2", Rule::Suffix, &two),
    ];
    let mut packed = pack(&entries).expect("few");
    *packed.last_mut().expect("bytes") = 0;
    fit_pack(&mut packed);
    assert_eq!(
        unpacked(&packed),
        Err("offset 24: a statement that no entry makes".into())
    );
}

#[test]
fn an_ipv4_network_spelt_as_ipv6_is_refused() {
    let one = statement(10, &[], "");
    let mut packed = pack(&[entry("2001:db8::1", Rule::Suffix, &one)]).expect("few");
    let start = packed.len() - 18;
    let mapped = 0xffff_0a00_0001_u128;
    packed[start..start + 16].copy_from_slice(&mapped.to_le_bytes());
    fit_pack(&mut packed);
    assert_eq!(
        unpacked(&packed),
        Err(format!("offset {start}: a network that is not canonical"))
    );
}

#[test]
fn small_packs_are_small() {
    let one = statement(90, &["operator:x"], "scanner");
    let packed = pack(&[entry("203.0.113.7", Rule::Suffix, &one)]).expect("few");
    assert_eq!(packed.len(), HEAD_BYTES + (1 + 10) + 3 + (2 + 7) + 17 + 6);
}

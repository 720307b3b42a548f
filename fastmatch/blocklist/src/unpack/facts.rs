//! The parts that entries share: labels, sets, reasons, statements.

use rapidhash::RapidHashMap;

use super::reader::Reader;
use crate::builder::{Attributes, Fact, Facts};
use crate::entry::{MAX_LABEL_BYTES, MAX_LABELS, MAX_REASON_BYTES, Origin, Statement};
use crate::pack::PackError;
use crate::verdict::Disposition;

/// `counts` of labels, sets, reasons and statements.
pub(super) fn read(reader: &mut Reader<'_>, counts: [usize; 4]) -> Result<Facts, PackError> {
    let [label_count, set_count, reason_count, statement_count] = counts;
    let labels_at = reader.position();
    let lengths = reader.column::<1>(label_count)?;
    let lengths = lengths.iter().map(|[length]| length.into());
    let labels = read_strings(reader, lengths, 1..=MAX_LABEL_BYTES)?;
    let mut used_labels = vec![false; label_count];
    let sets_at = reader.position();
    let sets = read_sets(reader, set_count, &mut used_labels)?;
    let reasons_at = reader.position();
    let lengths = reader.column::<2>(reason_count)?;
    let lengths = lengths
        .iter()
        .map(|length| u16::from_le_bytes(length).into());
    let reasons = read_strings(reader, lengths, 0..=MAX_REASON_BYTES)?;
    let (mut used_sets, mut used_reasons) = (vec![false; set_count], vec![false; reason_count]);
    let facts = read_statements(
        reader,
        statement_count,
        &sets,
        &mut used_sets,
        &mut used_reasons,
    )?;
    for (offset, used, rule) in [
        (labels_at, used_labels, "a label that no set has"),
        (sets_at, used_sets, "a set that no statement has"),
        (reasons_at, used_reasons, "a reason that no statement has"),
    ] {
        if used.iter().any(|is_used| !is_used) {
            return Err(PackError::broken(offset, rule));
        }
    }
    Ok(Facts::of_distinct(labels, sets, reasons, facts))
}

fn read_strings(
    reader: &mut Reader<'_>,
    lengths: impl ExactSizeIterator<Item = usize>,
    allowed: std::ops::RangeInclusive<usize>,
) -> Result<Vec<Box<str>>, PackError> {
    let mut strings: Vec<Box<str>> = Vec::with_capacity(lengths.len());
    for length in lengths {
        let offset = reader.position();
        let refused = |rule| Err(PackError::broken(offset, rule));
        if !allowed.contains(&length) {
            return refused("a text of another length than is allowed");
        }
        let Ok(text) = std::str::from_utf8(reader.take(length)?) else {
            return refused("not UTF-8");
        };
        if strings.last().is_some_and(|last| **last >= *text) {
            return refused("texts that do not ascend");
        }
        strings.push(text.into());
    }
    Ok(strings)
}

fn read_sets(
    reader: &mut Reader<'_>,
    count: usize,
    used_labels: &mut [bool],
) -> Result<Vec<Attributes>, PackError> {
    let sources = reader.column::<1>(count)?;
    let categories = reader.column::<1>(count)?;
    let mut sets: Vec<Attributes> = Vec::with_capacity(count);
    for ([source_count], [category_count]) in sources.iter().zip(categories.iter()) {
        let offset = reader.position();
        let set = Attributes {
            sources: read_set(reader, source_count, used_labels)?,
            categories: read_set(reader, category_count, used_labels)?,
        };
        if sets.last().is_some_and(|last| *last >= set) {
            return Err(PackError::broken(offset, "sets that do not ascend"));
        }
        sets.push(set);
    }
    Ok(sets)
}

fn read_set(
    reader: &mut Reader<'_>,
    count: u8,
    used_labels: &mut [bool],
) -> Result<Box<[u32]>, PackError> {
    let offset = reader.position();
    if usize::from(count) > MAX_LABELS {
        return Err(PackError::broken(
            offset,
            "more than 64 sources or categories",
        ));
    }
    let labels = reader.numbers(usize::from(count), used_labels, "an unknown label")?;
    if labels.values.is_sorted_by(|a, b| a < b) {
        Ok(labels.values.into_boxed_slice())
    } else {
        Err(PackError::broken(offset, "labels that do not ascend"))
    }
}

fn read_statements(
    reader: &mut Reader<'_>,
    count: usize,
    sets: &[Attributes],
    used_sets: &mut [bool],
    used_reasons: &mut [bool],
) -> Result<Vec<Fact>, PackError> {
    let dispositions = reader.column::<1>(count)?;
    let origins = reader.column::<1>(count)?;
    let scores = reader.column::<1>(count)?;
    let set_numbers = reader.numbers(count, used_sets, "an unknown set")?;
    let reasons = reader.numbers(count, used_reasons, "an unknown reason")?;
    let mut time = || reader.column::<4>(count);
    let (first_seen, last_seen, expires) = (time()?, time()?, time()?);
    let heads = dispositions.iter().zip(origins.iter()).zip(scores.iter());
    let times = first_seen.iter().zip(last_seen.iter()).zip(expires.iter());
    let mut rules = Rules::default();
    let mut facts: Vec<Fact> = Vec::with_capacity(count);
    for (index, (head, times)) in heads.zip(times).enumerate() {
        let (([disposition], [origin]), [score_tenths]) = head;
        let ((first_seen, last_seen), expires) = times;
        let refused = |rule| dispositions.error_at(index, rule);
        let fact = Fact {
            disposition: Disposition::from_code(disposition)
                .ok_or(refused("an unknown disposition"))?,
            origin: Origin::from_code(origin)
                .ok_or(origins.error_at(index, "an unknown origin"))?,
            score_tenths,
            attributes: set_numbers.values[index],
            reason: reasons.values[index],
            first_seen: u32::from_le_bytes(first_seen),
            last_seen: u32::from_le_bytes(last_seen),
            expires: u32::from_le_bytes(expires),
        };
        if facts.last().is_some_and(|last| *last >= fact) {
            return Err(refused("statements that do not ascend"));
        }
        if !rules.allow(&fact, &sets[fact.attributes as usize]) {
            return Err(refused("a statement that is not canonical"));
        }
        facts.push(fact);
    }
    Ok(facts)
}

/// What an entry may state, asked once for each kind of statement: a pack may hold a million.
#[derive(Default)]
struct Rules(RapidHashMap<Kind, bool>);

#[derive(PartialEq, Eq, Hash)]
struct Kind {
    head: (Disposition, Origin, u8),
    has_sources: bool,
    has_categories: bool,
    has_times: [bool; 3],
}

impl Rules {
    fn allow(&mut self, fact: &Fact, set: &Attributes) -> bool {
        let kind = Kind {
            head: (fact.disposition, fact.origin, fact.score_tenths),
            has_sources: !set.sources.is_empty(),
            has_categories: !set.categories.is_empty(),
            has_times: [fact.first_seen, fact.last_seen, fact.expires].map(|time| time != 0),
        };
        *self.0.entry(kind).or_insert_with_key(Kind::is_canonical)
    }
}

impl Kind {
    /// Whether a statement of this kind stays as it is when checked. Lengths and orders are checked where they are read.
    fn is_canonical(&self) -> bool {
        let labels = |has_any: bool| -> Box<[Box<str>]> {
            if has_any {
                Box::new(["any".into()])
            } else {
                Box::default()
            }
        };
        let (disposition, origin, score_tenths) = self.head;
        let [first_seen, last_seen, expires] = self
            .has_times
            .map(|is_set| std::num::NonZeroU32::new(u32::from(is_set)));
        let statement = Statement {
            disposition,
            origin,
            score_tenths,
            sources: labels(self.has_sources),
            categories: labels(self.has_categories),
            reason: Box::default(),
            first_seen,
            last_seen,
            expires,
        };
        statement
            .clone()
            .checked()
            .is_ok_and(|checked| checked == statement)
    }
}

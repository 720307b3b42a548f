//! Entries to the flat form that travels to workers and through the store; `unpack` reads it.
//!
//! Canonical: one set of entries has one pack, in whatever order and however often they were added. Columns, so that reading
//! is copying; nothing is compressed. Little-endian.
//!
//! | part | columns |
//! |---|---|
//! | head, 56 bytes | magic (8), format version, counts of the seven parts below (u32), bytes behind the head, checksum of all else (u64) |
//! | labels | lengths (u8), text; ascending |
//! | sets | counts of sources, of categories (u8), numbers of labels; ascending, and each set in itself |
//! | reasons | lengths (u16), text; ascending |
//! | statements | disposition, origin, score (u8), number of the set, of the reason, first seen, last seen, expiry (u32); ascending |
//! | IPv4 | starts (u32), lengths (u8), numbers of statements; ascending by all three |
//! | IPv6 | as IPv4, starts of 16 bytes |
//! | domains | lengths (u8; 0 = the name before), rules (u8), numbers of statements, text; ascending by name (`order`), rule, number |
//!
//! Numbers have one, two or four bytes, as few as their part's count allows. Every label, set, reason and statement is used.
//! Cost: 6 bytes for an IPv4 host of one list, 3 and its text for a name.

use std::fmt;
use std::sync::Arc;

use rapidhash::RapidHashMap;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use crate::builder::{Builder, TooLarge};
use crate::entry::{Entry, Statement};

pub(crate) const MAGIC: &[u8; 8] = b"SNTRPACK";
pub(crate) const FORMAT_VERSION: u32 = 2;
/// Labels, sets, reasons, statements, IPv4, IPv6, domains.
pub(crate) const PART_COUNT: usize = 7;
pub(crate) const SUM_OFFSET: usize = 8 + 4 + PART_COUNT * 4 + 8;
pub(crate) const HEAD_BYTES: usize = SUM_OFFSET + 8;
/// Another key than files have: a pack is not mistaken for anything else.
const CHECKSUM_SECRETS: RapidSecrets = RapidSecrets::seed(1);

/// Where a pack breaks which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackError {
    pub offset: usize,
    pub rule: PackRule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackRule {
    Broken(&'static str),
    /// Of another build.
    FormatVersion(u32),
    /// Found, limit.
    TooManyBytes(usize, usize),
    TooManyEntries(u64, usize),
}

impl PackError {
    pub(crate) fn broken(offset: usize, rule: &'static str) -> Self {
        let rule = PackRule::Broken(rule);
        Self { offset, rule }
    }
}

impl fmt::Display for PackRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Broken(rule) => formatter.write_str(rule),
            Self::FormatVersion(found) => {
                let age = if found > FORMAT_VERSION {
                    "newer"
                } else {
                    "older"
                };
                write!(
                    formatter,
                    "format version {found} is {age} than {FORMAT_VERSION}, which this build reads"
                )
            }
            Self::TooManyBytes(found, limit) => {
                write!(formatter, "{found} bytes, the limit is {limit}")
            }
            Self::TooManyEntries(found, limit) => {
                write!(formatter, "{found} entries, the limit is {limit}")
            }
        }
    }
}

impl fmt::Display for PackError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "offset {}: {}", self.offset, self.rule)
    }
}

impl std::error::Error for PackError {}

/// `head` without its sum.
pub(crate) fn checksum(head: &[u8], body: &[u8]) -> u64 {
    rapidhash_v3_seeded(body, &CHECKSUM_SECRETS) ^ rapidhash_v3_seeded(head, &CHECKSUM_SECRETS)
}

/// Bytes that a number below `count` takes.
pub(crate) fn number_bytes(count: usize) -> usize {
    match count {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// Entries that share a statement are quick: it is looked at once.
pub fn pack<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Vec<u8>, TooLarge> {
    let mut builder = Builder::new();
    // By address, which nobody else gets while the entries are borrowed.
    let mut known: RapidHashMap<*const Statement, u32> = RapidHashMap::default();
    for entry in entries {
        let statement = &entry.statement;
        let fact = *known
            .entry(Arc::as_ptr(statement))
            .or_insert_with(|| builder.facts.number(statement));
        builder.add_target(&entry.target, fact)?;
    }
    Ok(builder.pack())
}

impl Builder {
    /// All entries in the form that travels. Sorts what is not sorted.
    pub fn pack(&mut self) -> Vec<u8> {
        self.make_canonical();
        let mut out = Writer(Vec::with_capacity(self.packed_estimate()));
        out.0.extend(MAGIC);
        out.0.extend(FORMAT_VERSION.to_le_bytes());
        for count in [
            self.facts.labels().len(),
            self.facts.attributes().len(),
            self.facts.reasons().len(),
            self.facts.facts().len(),
            self.entries4.len(),
            self.entries6.len(),
            self.domains.len(),
        ] {
            out.0.extend(word(count).to_le_bytes());
        }
        let length_offset = out.0.len();
        out.0.resize(HEAD_BYTES, 0);
        self.pack_facts(&mut out);
        self.pack_networks(&mut out);
        self.pack_domains(&mut out);
        let mut packed = out.0;
        let body_length = (packed.len() - HEAD_BYTES) as u64;
        packed[length_offset..SUM_OFFSET].copy_from_slice(&body_length.to_le_bytes());
        let sum = checksum(&packed[..SUM_OFFSET], &packed[HEAD_BYTES..]);
        packed[SUM_OFFSET..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
        packed
    }

    fn packed_estimate(&self) -> usize {
        let entries = self.entries4.len() * 6 + self.entries6.len() * 18 + self.domains.len() * 3;
        HEAD_BYTES + self.facts.facts().len() * 24 + entries + self.text.len() + 1024
    }

    fn pack_facts(&self, out: &mut Writer) {
        let (labels, sets) = (self.facts.labels(), self.facts.attributes());
        out.column(labels, |label| [byte(label.len())]);
        out.texts(labels);
        out.column(sets, |set| [byte(set.sources.len())]);
        out.column(sets, |set| [byte(set.categories.len())]);
        for set in sets {
            out.numbers(&set.sources, labels.len(), |label| *label);
            out.numbers(&set.categories, labels.len(), |label| *label);
        }
        let (reasons, facts) = (self.facts.reasons(), self.facts.facts());
        out.column(reasons, |reason| {
            u16::try_from(reason.len())
                .unwrap_or(u16::MAX)
                .to_le_bytes()
        });
        out.texts(reasons);
        out.column(facts, |fact| [fact.disposition as u8]);
        out.column(facts, |fact| [fact.origin as u8]);
        out.column(facts, |fact| [fact.score_tenths]);
        out.numbers(facts, sets.len(), |fact| fact.attributes);
        out.numbers(facts, reasons.len(), |fact| fact.reason);
        out.column(facts, |fact| fact.first_seen.to_le_bytes());
        out.column(facts, |fact| fact.last_seen.to_le_bytes());
        out.column(facts, |fact| fact.expires.to_le_bytes());
    }

    fn pack_networks(&self, out: &mut Writer) {
        let statements = self.facts.facts().len();
        out.column(&self.entries4, |entry| entry.start.to_le_bytes());
        out.column(&self.entries4, |entry| [entry.length]);
        out.numbers(&self.entries4, statements, |entry| entry.fact);
        out.column(&self.entries6, |entry| entry.start.to_le_bytes());
        out.column(&self.entries6, |entry| [entry.length]);
        out.numbers(&self.entries6, statements, |entry| entry.fact);
    }

    fn pack_domains(&self, out: &mut Writer) {
        let mut text = Vec::with_capacity(self.text.len());
        let mut name: &[u8] = b"";
        out.column(&self.domains, |entry| {
            let next = self.name_of(entry);
            if std::mem::replace(&mut name, next) == next {
                return [0];
            }
            text.extend_from_slice(next);
            [entry.length]
        });
        out.column(&self.domains, |entry| [entry.rule as u8]);
        out.numbers(&self.domains, self.facts.facts().len(), |entry| entry.fact);
        out.0.extend(text);
    }
}

fn word(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Statements are checked before they come here: no length or count overflows its field.
fn byte(value: usize) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

struct Writer(Vec<u8>);

impl Writer {
    fn column<R, const N: usize>(&mut self, rows: &[R], mut bytes: impl FnMut(&R) -> [u8; N]) {
        self.0.reserve(rows.len() * N);
        for row in rows {
            self.0.extend_from_slice(&bytes(row));
        }
    }

    fn texts(&mut self, texts: &[Box<str>]) {
        for text in texts {
            self.0.extend_from_slice(text.as_bytes());
        }
    }

    /// Numbers below `count`.
    fn numbers<R>(&mut self, rows: &[R], count: usize, number: impl Fn(&R) -> u32) {
        match number_bytes(count) {
            1 => self.column(rows, |row| [number(row).to_le_bytes()[0]]),
            2 => self.column(rows, |row| {
                let [low, high, ..] = number(row).to_le_bytes();
                [low, high]
            }),
            _ => self.column(rows, |row| number(row).to_le_bytes()),
        }
    }
}

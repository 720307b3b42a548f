//! Entries to the flat form that travels to workers and through the store; `unpack` reads it.
//!
//! Little-endian. Header: magic (8), format version (u32), entry count (u32), body length (u64), checksum of magic to
//! length and body (u64). Body: labels (count u32, each length u8 and bytes), statements (count u32, each: disposition,
//! origin, score, three times u32, source count u8, category count u8, label numbers u32, reason length u16 and bytes), then
//! the entries in order: statement number u32, family (4, 6 or 0), and for a network its length and start, for a domain its
//! rule, length and name.

use std::fmt;
use std::num::NonZeroU32;

use rapidhash::RapidHashMap;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use crate::address::Network;
use crate::entry::{Entry, Statement};
use crate::target::Target;

pub(crate) const MAGIC: &[u8; 8] = b"SNTRPACK";
pub(crate) const FORMAT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 32;
pub(crate) const FAMILY_DOMAIN: u8 = 0;
pub(crate) const FAMILY_4: u8 = 4;
pub(crate) const FAMILY_6: u8 = 6;
/// Another key than files have: a pack is not mistaken for anything else.
const CHECKSUM_SECRETS: RapidSecrets = RapidSecrets::seed(1);

/// Where a pack breaks which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackError {
    pub offset: usize,
    pub rule: &'static str,
}

impl fmt::Display for PackError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "offset {}: {}", self.offset, self.rule)
    }
}

impl std::error::Error for PackError {}

pub(crate) fn checksum(head: &[u8], body: &[u8]) -> u64 {
    rapidhash_v3_seeded(body, &CHECKSUM_SECRETS) ^ rapidhash_v3_seeded(head, &CHECKSUM_SECRETS)
}

/// Sizes are bounded by what an entry may hold, so no count below overflows its field.
pub fn pack<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<u8> {
    let mut packer = Packer::default();
    for entry in entries {
        packer.add(entry);
    }
    packer.finish()
}

#[derive(Default)]
struct Packer<'a> {
    labels: Vec<&'a str>,
    label_numbers: RapidHashMap<&'a str, u32>,
    statements: Vec<u8>,
    statement_numbers: RapidHashMap<&'a Statement, u32>,
    entries: Vec<u8>,
    count: u32,
}

fn word(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn byte(value: usize) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

impl<'a> Packer<'a> {
    fn add(&mut self, entry: &'a Entry) {
        let statement = self.statement(&entry.statement);
        self.count += 1;
        let out = &mut self.entries;
        out.extend(statement.to_le_bytes());
        match &entry.target {
            Target::Network(Network::V4 { start, length }) => {
                out.extend([FAMILY_4, *length]);
                out.extend(start.to_le_bytes());
            }
            Target::Network(Network::V6 { start, length }) => {
                out.extend([FAMILY_6, *length]);
                out.extend(start.to_le_bytes());
            }
            Target::Domain { name, rule } => {
                out.extend([FAMILY_DOMAIN, *rule as u8, byte(name.len())]);
                out.extend(name.as_bytes());
            }
        }
    }

    fn statement(&mut self, statement: &'a Statement) -> u32 {
        if let Some(number) = self.statement_numbers.get(statement) {
            return *number;
        }
        let number = word(self.statement_numbers.len());
        self.statement_numbers.insert(statement, number);
        let mut record = vec![
            statement.disposition as u8,
            statement.origin as u8,
            statement.score_tenths,
        ];
        for time in [statement.first_seen, statement.last_seen, statement.expires] {
            record.extend(time.map_or(0, NonZeroU32::get).to_le_bytes());
        }
        record.extend([
            byte(statement.sources.len()),
            byte(statement.categories.len()),
        ]);
        for label in statement.sources.iter().chain(&statement.categories) {
            record.extend(self.label(label).to_le_bytes());
        }
        let reason_length = u16::try_from(statement.reason.len()).unwrap_or(u16::MAX);
        record.extend(reason_length.to_le_bytes());
        record.extend(statement.reason.as_bytes());
        self.statements.extend(record);
        number
    }

    fn label(&mut self, label: &'a str) -> u32 {
        *self.label_numbers.entry(label).or_insert_with(|| {
            self.labels.push(label);
            word(self.labels.len() - 1)
        })
    }

    fn finish(self) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend(word(self.labels.len()).to_le_bytes());
        for label in &self.labels {
            body.push(byte(label.len()));
            body.extend(label.as_bytes());
        }
        body.extend(word(self.statement_numbers.len()).to_le_bytes());
        body.extend(self.statements);
        body.extend(self.entries);
        let mut packed = Vec::with_capacity(HEADER_BYTES + body.len());
        packed.extend(MAGIC);
        packed.extend(FORMAT_VERSION.to_le_bytes());
        packed.extend(self.count.to_le_bytes());
        packed.extend((body.len() as u64).to_le_bytes());
        packed.extend(checksum(&packed, &body).to_le_bytes());
        packed.extend(body);
        packed
    }
}

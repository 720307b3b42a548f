//! The packed form back to entries. Trusts nothing: what is not canonical is refused with its offset, before anything is
//! taken over.

mod facts;
mod reader;
mod targets;

use std::sync::Arc;

use crate::builder::{Builder, Facts, MAX_ENTRIES, TooLarge};
use crate::entry::{Entry, MAX_LABELS, Statement};
use crate::network::Network;
use crate::pack::{
    FORMAT_VERSION, HEAD_BYTES, MAGIC, PART_COUNT, PackError, PackRule, SUM_OFFSET, checksum,
};
use crate::target::Target;
use reader::Reader;
use targets::{Domains, Networks};

/// What a reader is willing to take; looked at before anything is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub entries: usize,
    pub bytes: usize,
}

impl Limits {
    /// For this many entries of any kind that lists hold; a pack of long reasons needs more bytes.
    pub const fn of_entries(entries: usize) -> Self {
        let bytes = entries.saturating_mul(512).saturating_add(1 << 20);
        Self { entries, bytes }
    }
}

impl Default for Limits {
    /// Beyond what the largest lists hold.
    fn default() -> Self {
        Self {
            entries: 20_000_000,
            bytes: 2 << 30,
        }
    }
}

/// A pack that was checked throughout.
struct Unpacked<'a> {
    facts: Facts,
    networks4: Networks<'a, 4>,
    networks6: Networks<'a, 16>,
    domains: Domains<'a>,
}

impl<'a> Unpacked<'a> {
    fn check(packed: &'a [u8], limits: Limits) -> Result<Self, PackError> {
        let counts = check_head(packed, limits)?;
        let [
            labels,
            sets,
            reasons,
            statements,
            networks4,
            networks6,
            domains,
        ] = counts;
        let mut reader = Reader::new(packed, HEAD_BYTES);
        let facts = facts::read(&mut reader, [labels, sets, reasons, statements])?;
        let mut is_used = vec![false; statements];
        let unpacked = Self {
            facts,
            networks4: Networks::read(&mut reader, networks4, &mut is_used)?,
            networks6: Networks::read(&mut reader, networks6, &mut is_used)?,
            domains: Domains::read(&mut reader, domains, &mut is_used)?,
        };
        if is_used.iter().any(|is_used| !is_used) {
            return Err(PackError::broken(24, "a statement that no entry makes"));
        }
        reader.finish()?;
        Ok(unpacked)
    }
}

/// The counts of the parts. Sizes are held against the limits before any byte of the body is looked at.
fn check_head(packed: &[u8], limits: Limits) -> Result<[usize; PART_COUNT], PackError> {
    let mut reader = Reader::new(packed, 0);
    if reader.take(MAGIC.len())? != MAGIC {
        return Err(PackError::broken(0, "not a pack of entries"));
    }
    let refused = |offset, rule| Err(PackError { offset, rule });
    let version = u32::from_le_bytes(reader.array()?);
    if version != FORMAT_VERSION {
        return refused(8, PackRule::FormatVersion(version));
    }
    if packed.len() > limits.bytes {
        return refused(0, PackRule::TooManyBytes(packed.len(), limits.bytes));
    }
    let mut counts = [0; PART_COUNT];
    for count in &mut counts {
        let read = u32::from_le_bytes(reader.array()?);
        *count = usize::try_from(read).unwrap_or(usize::MAX);
    }
    let entries: u64 = counts[4..].iter().map(|count| *count as u64).sum();
    if entries > limits.entries as u64 {
        return refused(28, PackRule::TooManyEntries(entries, limits.entries));
    }
    let [labels, sets, reasons, statements, ..] = counts;
    let most_labels = sets.saturating_mul(2 * MAX_LABELS);
    if statements as u64 > entries || sets.max(reasons) > statements || labels > most_labels {
        // Nothing unused is in a pack, so the limit on entries bounds what the shared parts are decoded to.
        return refused(12, PackRule::Broken("more to share than entries share"));
    }
    let body_length = u64::from_le_bytes(reader.array()?);
    let sum = u64::from_le_bytes(reader.array()?);
    let body = &packed[HEAD_BYTES..];
    if body_length != body.len() as u64 {
        return Err(PackError::broken(40, "the body is not as long as stated"));
    }
    if checksum(&packed[..SUM_OFFSET], body) != sum {
        return Err(PackError::broken(SUM_OFFSET, "the checksum does not fit"));
    }
    Ok(counts)
}

impl Builder {
    /// Adds all entries of a pack, or none.
    pub fn add_packed(&mut self, packed: &[u8], limits: Limits) -> Result<(), PackError> {
        let unpacked = Unpacked::check(packed, limits)?;
        let Unpacked {
            facts,
            networks4,
            networks6,
            domains,
        } = unpacked;
        let entries = networks4.len() + networks6.len() + domains.len();
        let text = self.text.len() + domains.text.len();
        if self.len() + entries > MAX_ENTRIES || u32::try_from(text).is_err() {
            return Err(PackError::broken(28, TooLarge::MESSAGE));
        }
        let numbers = self.facts.absorb(facts);
        networks4.append4(&numbers, &mut self.entries4);
        networks6.append6(&numbers, &mut self.entries6);
        domains.append(&numbers, &mut self.domains, &mut self.text);
        Ok(())
    }
}

/// Hands each entry to `take`, networks first. Entries that say the same share their statement.
pub fn unpack(packed: &[u8], limits: Limits, mut take: impl FnMut(Entry)) -> Result<(), PackError> {
    let mut builder = Builder::new();
    builder.add_packed(packed, limits)?;
    let facts = &builder.facts;
    let mut statements: Vec<Option<Arc<Statement>>> = vec![None; facts.facts().len()];
    let mut hand_over = |target, fact: u32| {
        let known = &mut statements[fact as usize];
        let statement = known.get_or_insert_with(|| Arc::new(facts.statement(fact)));
        let statement = Arc::clone(statement);
        take(Entry { target, statement });
    };
    for entry in &builder.entries4 {
        let (start, length) = (entry.start, entry.length);
        hand_over(Target::Network(Network::V4 { start, length }), entry.fact);
    }
    for entry in &builder.entries6 {
        let (start, length) = (entry.start, entry.length);
        hand_over(Target::Network(Network::V6 { start, length }), entry.fact);
    }
    for entry in &builder.domains {
        let name = std::str::from_utf8(builder.name_of(entry)).expect("invariant: checked names");
        let (name, rule) = (name.into(), entry.rule);
        hand_over(Target::Domain { name, rule }, entry.fact);
    }
    Ok(())
}

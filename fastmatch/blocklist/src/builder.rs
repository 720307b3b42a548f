//! Entries to their compact form: what many entries say alike is stored once.
//!
//! A feed's million lines share a handful of facts, so an entry costs 12 bytes (IPv4), 32 (IPv6) or 12 and its text.

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;

use rapidhash::RapidHashMap;

use crate::address::Network;
use crate::entry::{Entry, Origin, Statement};
use crate::target::{Rule, Target};
use crate::verdict::Disposition;

/// More entries or more text than 32-bit positions reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list holds at most 4 GiB of names and 2^30 entries")
    }
}

impl std::error::Error for TooLarge {}

/// A statement with its strings replaced by numbers; 0 stands for no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fact {
    pub disposition: Disposition,
    pub origin: Origin,
    pub score_tenths: u8,
    pub attributes: u32,
    pub reason: u32,
    pub first_seen: u32,
    pub last_seen: u32,
    pub expires: u32,
}

/// Numbers of label strings, in the order of the strings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attributes {
    pub sources: Box<[u32]>,
    pub categories: Box<[u32]>,
}

/// Values in order of first appearance, each once.
pub(crate) struct Interner<T> {
    values: Vec<T>,
    numbers: RapidHashMap<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            numbers: RapidHashMap::default(),
        }
    }
}

impl<T: Clone + Eq + Hash> Interner<T> {
    fn number<Q>(&mut self, value: &Q) -> u32
    where
        T: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
        for<'q> T: From<&'q Q>,
    {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        self.append(T::from(value))
    }

    fn number_of(&mut self, value: T) -> u32 {
        match self.numbers.get(&value) {
            Some(number) => *number,
            None => self.append(value),
        }
    }

    fn append(&mut self, value: T) -> u32 {
        // Every value belongs to an entry, and entries are counted against the same bound.
        let number = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }

    pub fn values(&self) -> &[T] {
        &self.values
    }
}

/// Interned facts and their strings.
#[derive(Default)]
pub(crate) struct Facts {
    distinct: Interner<Fact>,
    attributes: Interner<Attributes>,
    labels: Interner<Box<str>>,
    reasons: Interner<Box<str>>,
}

impl Facts {
    pub fn number(&mut self, statement: &Statement) -> u32 {
        let labels = &mut self.labels;
        let mut numbers = |set: &[Box<str>]| {
            set.iter()
                .map(|label| labels.number::<str>(label))
                .collect()
        };
        let attributes = Attributes {
            sources: numbers(&statement.sources),
            categories: numbers(&statement.categories),
        };
        let seconds = |time: Option<NonZeroU32>| time.map_or(0, NonZeroU32::get);
        let fact = Fact {
            disposition: statement.disposition,
            origin: statement.origin,
            score_tenths: statement.score_tenths,
            attributes: self.attributes.number_of(attributes),
            reason: self.reasons.number::<str>(&statement.reason),
            first_seen: seconds(statement.first_seen),
            last_seen: seconds(statement.last_seen),
            expires: seconds(statement.expires),
        };
        self.distinct.number_of(fact)
    }

    pub fn facts(&self) -> &[Fact] {
        self.distinct.values()
    }

    pub fn attributes(&self) -> &[Attributes] {
        self.attributes.values()
    }

    pub fn labels(&self) -> &[Box<str>] {
        self.labels.values()
    }

    pub fn reasons(&self) -> &[Box<str>] {
        self.reasons.values()
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Entry4 {
    pub start: u32,
    pub length: u8,
    pub fact: u32,
}

#[derive(Clone, Copy)]
pub(crate) struct Entry6 {
    pub start: u128,
    pub length: u8,
    pub fact: u32,
}

#[derive(Clone, Copy)]
pub(crate) struct DomainEntry {
    pub offset: u32,
    pub length: u8,
    pub rule: Rule,
    pub fact: u32,
}

/// Collects entries for one compilation.
#[derive(Default)]
pub struct Builder {
    pub(crate) facts: Facts,
    pub(crate) entries4: Vec<Entry4>,
    pub(crate) entries6: Vec<Entry6>,
    pub(crate) domains: Vec<DomainEntry>,
    pub(crate) text: Vec<u8>,
}

impl Builder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Entries added so far; the same entry added twice counts twice here and once when compiled.
    pub fn len(&self) -> usize {
        self.entries4.len() + self.entries6.len() + self.domains.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn add(&mut self, entry: &Entry) -> Result<(), TooLarge> {
        let fact = self.facts.number(&entry.statement);
        match &entry.target {
            Target::Network(network) => self.add_network(*network, fact),
            Target::Domain { name, rule } => self.add_domain(name.as_bytes(), *rule, fact),
        }
    }

    pub(crate) fn add_network(&mut self, network: Network, fact: u32) -> Result<(), TooLarge> {
        self.check_room()?;
        match network {
            Network::V4 { start, length } => self.entries4.push(Entry4 {
                start,
                length,
                fact,
            }),
            Network::V6 { start, length } => self.entries6.push(Entry6 {
                start,
                length,
                fact,
            }),
        }
        Ok(())
    }

    /// `name` is canonical, so at most 253 bytes.
    pub(crate) fn add_domain(
        &mut self,
        name: &[u8],
        rule: Rule,
        fact: u32,
    ) -> Result<(), TooLarge> {
        self.check_room()?;
        let offset = u32::try_from(self.text.len()).map_err(|_| TooLarge)?;
        let length = u8::try_from(name.len()).map_err(|_| TooLarge)?;
        self.text.extend_from_slice(name);
        self.domains.push(DomainEntry {
            offset,
            length,
            rule,
            fact,
        });
        Ok(())
    }

    /// Domain nodes and chains are numbered from 1 and doubled, hence a quarter.
    fn check_room(&self) -> Result<(), TooLarge> {
        if self.len() >= (u32::MAX / 4) as usize {
            Err(TooLarge)
        } else {
            Ok(())
        }
    }

    pub(crate) fn name_of(&self, entry: &DomainEntry) -> &[u8] {
        &self.text[entry.offset as usize..][..usize::from(entry.length)]
    }
}

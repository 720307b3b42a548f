//! Entries to their compact form: what many entries say alike is stored once.
//!
//! A feed's million lines share a handful of facts, so an entry costs 12 bytes (IPv4), 32 (IPv6) or 12 and its text.

use std::fmt;

use crate::address::Network;
use crate::entry::Entry;
use crate::order;
use crate::target::{Rule, Target};

pub(crate) use crate::facts::{Attributes, Fact, Facts};

/// More entries or more text than 32-bit positions reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl TooLarge {
    pub(crate) const MESSAGE: &'static str = "a list holds at most 4 GiB of names and 2^30 entries";
}

impl fmt::Display for TooLarge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Self::MESSAGE)
    }
}

impl std::error::Error for TooLarge {}

/// Domain nodes and chains are numbered from 1 and doubled, hence a quarter.
pub(crate) const MAX_ENTRIES: usize = (u32::MAX / 4) as usize;

/// In the order of targets, then facts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry4 {
    pub start: u32,
    pub length: u8,
    pub fact: u32,
}

impl Entry4 {
    #[inline]
    fn key(&self) -> (u64, u32) {
        let target = u64::from(self.start) << 8 | u64::from(self.length);
        (target, self.fact)
    }
}

/// In the order of targets, then facts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

    /// Entries added so far. One that was added twice counts twice until the builder compiles or packs.
    pub fn len(&self) -> usize {
        self.entries4.len() + self.entries6.len() + self.domains.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn add(&mut self, entry: &Entry) -> Result<(), TooLarge> {
        let fact = self.facts.number(&entry.statement);
        self.add_target(&entry.target, fact)
    }

    pub(crate) fn add_target(&mut self, target: &Target, fact: u32) -> Result<(), TooLarge> {
        match target {
            Target::Network(network) => self.add_network(*network, fact),
            Target::Domain { name, rule } => self.add_domain(name.as_bytes(), *rule, fact),
        }
    }

    #[inline]
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
    #[inline]
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

    #[inline]
    fn check_room(&self) -> Result<(), TooLarge> {
        if self.len() >= MAX_ENTRIES {
            Err(TooLarge)
        } else {
            Ok(())
        }
    }

    #[inline]
    pub(crate) fn name_of(&self, entry: &DomainEntry) -> &[u8] {
        &self.text[entry.offset as usize..][..usize::from(entry.length)]
    }

    /// Networks in order, each once. Costs a glance when they are: lists often are, packs always.
    pub(crate) fn sort_networks(&mut self) {
        let is_strict = |is_less: bool| is_less;
        if !self
            .entries4
            .is_sorted_by(|a, b| is_strict(a.key() < b.key()))
        {
            self.entries4.sort_unstable_by_key(Entry4::key);
            self.entries4.dedup();
        }
        if !self.entries6.is_sorted_by(|a, b| is_strict(a < b)) {
            self.entries6.sort_unstable();
            self.entries6.dedup();
        }
    }

    /// The one form that a set of entries has: facts in their order and none unused, networks and domains in theirs.
    pub(crate) fn make_canonical(&mut self) {
        let mut is_used = vec![false; self.facts.facts().len()];
        for fact in self.fact_numbers() {
            is_used[*fact as usize] = true;
        }
        let numbers = self.facts.sort(&is_used);
        for fact in self.fact_numbers() {
            *fact = numbers[*fact as usize];
        }
        self.sort_networks();
        self.sort_domains();
    }

    fn fact_numbers(&mut self) -> impl Iterator<Item = &mut u32> {
        let networks4 = self.entries4.iter_mut().map(|entry| &mut entry.fact);
        let networks6 = self.entries6.iter_mut().map(|entry| &mut entry.fact);
        let domains = self.domains.iter_mut().map(|entry| &mut entry.fact);
        networks4.chain(networks6).chain(domains)
    }

    /// By name (`order`), rule and fact, each once. The text stays where it is.
    fn sort_domains(&mut self) {
        let text = &self.text;
        let name =
            |entry: &DomainEntry| &text[entry.offset as usize..][..usize::from(entry.length)];
        let compare = |a: &DomainEntry, b: &DomainEntry| {
            let names = if a.offset == b.offset {
                std::cmp::Ordering::Equal
            } else {
                order::compare(name(a), name(b))
            };
            names.then((a.rule, a.fact).cmp(&(b.rule, b.fact)))
        };
        if self.domains.is_sorted_by(|a, b| compare(a, b).is_lt()) {
            return;
        }
        let keyed = self
            .domains
            .iter()
            .map(|entry| (order::sort_key(name(entry)), *entry));
        let mut keyed: Vec<(u128, DomainEntry)> = keyed.collect();
        keyed.sort_unstable_by(|(left_key, left), (right_key, right)| {
            left_key.cmp(right_key).then_with(|| compare(left, right))
        });
        keyed.dedup_by(|(_, later), (_, former)| compare(later, former).is_eq());
        self.domains.clear();
        self.domains
            .extend(keyed.into_iter().map(|(_, entry)| entry));
    }
}

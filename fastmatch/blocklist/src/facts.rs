//! What entries say besides their targets, each distinct statement once, its strings replaced by numbers.

use std::borrow::Borrow;
use std::hash::Hash;
use std::num::NonZeroU32;

use rapidhash::RapidHashMap;

use crate::entry::{Origin, Statement};
use crate::verdict::Disposition;

/// A statement with its strings replaced by numbers; 0 stands for no time. In the order of statements when strings and sets
/// are numbered in theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Attributes {
    pub sources: Box<[u32]>,
    pub categories: Box<[u32]>,
}

impl Attributes {
    fn renumbered(&self, labels: &[u32]) -> Self {
        let renumber = |set: &[u32]| set.iter().map(|old| labels[*old as usize]).collect();
        Self {
            sources: renumber(&self.sources),
            categories: renumber(&self.categories),
        }
    }
}

/// Values in order of first appearance, each once.
pub(crate) struct Interner<T> {
    values: Vec<T>,
    /// Of the first so many values; the others follow when a number is asked for. A pack's values are known to be distinct,
    /// and nobody asks for the numbers of most.
    numbers: RapidHashMap<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self::of_distinct(Vec::new())
    }
}

impl<T> Interner<T> {
    pub fn of_distinct(values: Vec<T>) -> Self {
        Self {
            values,
            numbers: RapidHashMap::default(),
        }
    }

    pub fn values(&self) -> &[T] {
        &self.values
    }
}

impl<T: Clone + Eq + Hash> Interner<T> {
    pub fn number<Q>(&mut self, value: &Q) -> u32
    where
        T: Borrow<Q> + for<'q> From<&'q Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.catch_up();
        match self.numbers.get(value) {
            Some(number) => *number,
            None => self.append(T::from(value)),
        }
    }

    pub fn number_of(&mut self, value: T) -> u32 {
        self.catch_up();
        match self.numbers.get(&value) {
            Some(number) => *number,
            None => self.append(value),
        }
    }

    #[inline]
    fn catch_up(&mut self) {
        if self.numbers.len() < self.values.len() {
            let known = self.numbers.len();
            let missing = self.values.iter().cloned().zip(0..).skip(known);
            self.numbers.extend(missing);
        }
    }

    fn append(&mut self, value: T) -> u32 {
        // Every value belongs to an entry, and entries are counted against the same bound.
        let number = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
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
    /// Each list holds distinct values.
    pub fn of_distinct(
        labels: Vec<Box<str>>,
        attributes: Vec<Attributes>,
        reasons: Vec<Box<str>>,
        facts: Vec<Fact>,
    ) -> Self {
        Self {
            distinct: Interner::of_distinct(facts),
            attributes: Interner::of_distinct(attributes),
            labels: Interner::of_distinct(labels),
            reasons: Interner::of_distinct(reasons),
        }
    }

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

    /// Takes over the others' facts; the number that each has here.
    pub fn absorb(&mut self, others: Self) -> Vec<u32> {
        if self.distinct.values.is_empty() {
            *self = others;
            return (0..).take(self.facts().len()).collect();
        }
        let numbers = |strings: &[Box<str>], to: &mut Interner<Box<str>>| -> Vec<u32> {
            strings
                .iter()
                .map(|string| to.number::<str>(string))
                .collect()
        };
        let labels = numbers(others.labels(), &mut self.labels);
        let reasons = numbers(others.reasons(), &mut self.reasons);
        let attributes: Vec<u32> = others
            .attributes()
            .iter()
            .map(|set| self.attributes.number_of(set.renumbered(&labels)))
            .collect();
        let facts = others.facts().iter().map(|fact| {
            self.distinct.number_of(Fact {
                attributes: attributes[fact.attributes as usize],
                reason: reasons[fact.reason as usize],
                ..*fact
            })
        });
        facts.collect()
    }

    /// Renumbers everything in the order of its values and drops what is not used; the new number of each old fact.
    pub fn sort(&mut self, is_used: &[bool]) -> Vec<u32> {
        let of_used = |count: usize, numbers: &mut dyn Iterator<Item = u32>| {
            let mut used = vec![false; count];
            numbers.for_each(|number| used[number as usize] = true);
            used
        };
        let kept = || {
            self.facts()
                .iter()
                .zip(is_used)
                .filter(|(_, is_used)| **is_used)
        };
        let sets = of_used(
            self.attributes().len(),
            &mut kept().map(|(fact, _)| fact.attributes),
        );
        let reasons = of_used(
            self.reasons().len(),
            &mut kept().map(|(fact, _)| fact.reason),
        );
        let in_sets = self
            .attributes()
            .iter()
            .zip(&sets)
            .filter(|(_, is_used)| **is_used);
        let in_sets = in_sets.flat_map(|(set, _)| set.sources.iter().chain(&set.categories));
        let labels = of_used(self.labels().len(), &mut in_sets.copied());

        let labels = self.labels.sort(&labels);
        for set in &mut self.attributes.values {
            *set = set.renumbered(&labels);
        }
        let sets = self.attributes.sort(&sets);
        let reasons = self.reasons.sort(&reasons);
        for fact in &mut self.distinct.values {
            fact.attributes = sets[fact.attributes as usize];
            fact.reason = reasons[fact.reason as usize];
        }
        self.distinct.sort(is_used)
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

    pub fn statement(&self, fact: u32) -> Statement {
        let Fact {
            disposition,
            origin,
            score_tenths,
            attributes,
            reason,
            first_seen,
            last_seen,
            expires,
        } = self.facts()[fact as usize];
        let set = &self.attributes()[attributes as usize];
        let named = |numbers: &[u32]| {
            let labels = numbers
                .iter()
                .map(|label| self.labels()[*label as usize].clone());
            labels.collect()
        };
        Statement {
            disposition,
            origin,
            score_tenths,
            sources: named(&set.sources),
            categories: named(&set.categories),
            reason: self.reasons()[reason as usize].clone(),
            first_seen: NonZeroU32::new(first_seen),
            last_seen: NonZeroU32::new(last_seen),
            expires: NonZeroU32::new(expires),
        }
    }
}

/// The number of a value that was dropped: no value has it.
const DROPPED: u32 = u32::MAX;

impl<T: Ord> Interner<T> {
    /// Sorts the used values and drops the others; the new number of each old one.
    fn sort(&mut self, is_used: &[bool]) -> Vec<u32> {
        // Even when the order stays: values are changed where they lie before they are sorted.
        self.numbers.clear();
        let is_sorted = self.values.is_sorted() && is_used.iter().all(|is_used| *is_used);
        if is_sorted {
            return (0..).take(self.values.len()).collect();
        }
        let mut kept: Vec<(T, u32)> = std::mem::take(&mut self.values)
            .into_iter()
            .zip(0..)
            .filter(|(_, old)| is_used[*old as usize])
            .collect();
        kept.sort_unstable();
        let mut numbers = vec![DROPPED; is_used.len()];
        for ((_, old), new) in kept.iter().zip(0..) {
            numbers[*old as usize] = new;
        }
        self.values = kept.into_iter().map(|(value, _)| value).collect();
        numbers
    }
}

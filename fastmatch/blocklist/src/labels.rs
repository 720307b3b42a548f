//! Strings and sets of strings of one list, as sections; kept in the decision and in the evidence file alike.

use crate::builder::{Attributes, Facts};
use crate::image::{Image, ImageError, Section, SectionId};
use crate::memory::Table;

const ATTRIBUTES: SectionId = SectionId(32);
const SETS: SectionId = SectionId(33);
const ENDS: SectionId = SectionId(34);
const TEXT: SectionId = SectionId(35);

/// Strings one after the other.
#[derive(Default)]
pub(crate) struct StringTables {
    pub ends: Vec<u64>,
    pub text: Vec<u8>,
}

impl StringTables {
    pub fn new(strings: &[Box<str>]) -> Self {
        let mut tables = Self::default();
        for string in strings {
            tables.text.extend_from_slice(string.as_bytes());
            tables.ends.push(tables.text.len() as u64);
        }
        tables
    }
}

pub(crate) struct Strings {
    ends: Table<u64>,
    text: Table<u8>,
}

impl Strings {
    pub fn open(image: &Image, ends: SectionId, text: SectionId) -> Result<Self, ImageError> {
        Ok(Self {
            ends: image.table(ends)?,
            text: image.table(text)?,
        })
    }

    /// Empty when the tables are damaged.
    pub fn get(&self, number: u32) -> &str {
        let number = number as usize;
        let end = |index: usize| {
            self.ends
                .get(index)
                .and_then(|end| usize::try_from(*end).ok())
        };
        let start = if number == 0 {
            Some(0)
        } else {
            end(number - 1)
        };
        let range = start.zip(end(number));
        let bytes = range
            .and_then(|(start, end)| self.text.get(start..end))
            .unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// Sets of labels: [first in the set list, sources, categories].
pub(crate) struct LabelTables {
    attributes: Vec<[u32; 3]>,
    sets: Vec<u32>,
    strings: StringTables,
}

impl LabelTables {
    pub fn new(facts: &Facts) -> Self {
        let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let (mut attributes, mut sets) = (Vec::new(), Vec::new());
        for Attributes {
            sources,
            categories,
        } in facts.attributes()
        {
            attributes.push([
                word(sets.len()),
                word(sources.len()),
                word(categories.len()),
            ]);
            sets.extend_from_slice(sources);
            sets.extend_from_slice(categories);
        }
        Self {
            attributes,
            sets,
            strings: StringTables::new(facts.labels()),
        }
    }

    pub fn sections(&self) -> [Section<'_>; 4] {
        [
            Section::new(ATTRIBUTES, &self.attributes),
            Section::new(SETS, &self.sets),
            Section::new(ENDS, &self.strings.ends),
            Section::new(TEXT, &self.strings.text),
        ]
    }
}

pub(crate) struct Labels {
    attributes: Table<[u32; 3]>,
    sets: Table<u32>,
    strings: Strings,
}

impl Labels {
    pub fn open(image: &Image) -> Result<Self, ImageError> {
        Ok(Self {
            attributes: image.table(ATTRIBUTES)?,
            sets: image.table(SETS)?,
            strings: Strings::open(image, ENDS, TEXT)?,
        })
    }

    pub fn sources(&self, attributes: u32) -> impl ExactSizeIterator<Item = &str> {
        let [first, sources, _] = self.record(attributes);
        self.set(first, sources)
    }

    pub fn categories(&self, attributes: u32) -> impl ExactSizeIterator<Item = &str> {
        let [first, sources, categories] = self.record(attributes);
        self.set(first.saturating_add(sources), categories)
    }

    fn record(&self, attributes: u32) -> [u32; 3] {
        self.attributes
            .get(attributes as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Empty when the tables are damaged.
    fn set(&self, first: u32, count: u32) -> impl ExactSizeIterator<Item = &str> {
        let numbers = self
            .sets
            .get(first as usize..)
            .and_then(|sets| sets.get(..count as usize));
        numbers
            .unwrap_or_default()
            .iter()
            .map(|number| self.strings.get(*number))
    }
}

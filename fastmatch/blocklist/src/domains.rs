//! Domain entries to a hash table of names, and the chain that holds for a name.
//!
//! Each distinct name of the list has a slot in the table, whose value is a pair of chains: for the name itself and for
//! what is below it. Both already include what the names above contribute, so the longest listed suffix of a name decides
//! alone. A lookup reads the name from its end, hashes the suffixes that have a number of labels the list knows, and looks
//! for each, longest first: one cache line, and on a hit the text. `compact_domains` leaves the text out of the decision file and
//! makes the fingerprints long: a name that is not listed is then taken for a listed one with a chance of (names of the
//! list) / 2^64 per suffix, 5e-14 for a million.

mod batch;
mod buckets;
mod compose;
mod gather;
#[cfg(test)]
mod laws;
mod marks;
mod placement;
mod suffix;
mod tables;
mod texts;

use crate::block::Block;
use crate::image::{Image, ImageError, SectionId};
use crate::memory::Table;

use buckets::{MAX_VALUE_BITS, Shape, Slot};
pub(crate) use marks::DomainEvidence;
use suffix::NameHasher;
pub(crate) use tables::{DomainTables, build};
use texts::{INLINE, Texts, is_name};

const HEAD: SectionId = SectionId(20);
const SLOTS: SectionId = SectionId(21);
const PAIRS: SectionId = SectionId(22);
const TEXT: SectionId = SectionId(23);
const HEAD_WORDS: usize = 5;

/// What a lookup needs to know before it reads a slot.
#[derive(Default)]
struct Head {
    shape: Shape,
    label_counts: u64,
    /// Added to the list's key.
    attempt: u64,
}

impl Head {
    fn words(&self) -> [u64; HEAD_WORDS] {
        [
            self.shape.homes,
            self.shape.value_bits.into(),
            self.shape.max_probes as u64,
            self.label_counts,
            self.attempt,
        ]
    }

    /// Held within what the slots allow.
    fn read(words: &[u64], bucket_count: usize) -> Option<Self> {
        let [homes, value_bits, max_probes, label_counts, attempt] = *words.first_chunk()?;
        let max_probes = usize::try_from(max_probes).unwrap_or(bucket_count);
        Some(Self {
            shape: Shape {
                homes: homes.min(bucket_count as u64),
                value_bits: u32::try_from(value_bits).unwrap_or(0).min(MAX_VALUE_BITS),
                max_probes: max_probes.min(bucket_count),
            },
            label_counts,
            attempt,
        })
    }
}

enum Slots {
    /// Verified by the text.
    Narrow(Table<u32>, Texts),
    Wide(Table<u64>),
}

impl Slots {
    fn open(image: &Image) -> Result<Self, ImageError> {
        if let Ok(slots) = image.table(SLOTS) {
            return Ok(Self::Wide(slots));
        }
        let records: Table<u32> = image.table(SLOTS)?;
        let texts = Texts {
            layout: INLINE,
            records: records.clone(),
            text: image.table(TEXT)?,
        };
        Ok(Self::Narrow(records, texts))
    }

    /// Buckets and slots in each.
    fn counts(&self) -> (usize, usize) {
        match self {
            Self::Narrow(slots, _) => (slots.len() / u32::WORDS, u32::COUNT),
            Self::Wide(slots) => (slots.len() / u64::WORDS, u64::COUNT),
        }
    }
}

/// The mapped form.
pub(crate) struct Domains {
    hasher: NameHasher,
    shape: Shape,
    label_counts: u64,
    slots: Slots,
    pairs: Table<[u32; 2]>,
}

/// Where a name of the list is kept.
struct Listed<'a> {
    bucket: usize,
    slot: usize,
    text: &'a str,
    /// The name that was looked for, not one above it.
    is_itself: bool,
}

impl Domains {
    pub fn open(image: &Image) -> Result<Self, ImageError> {
        let slots = Slots::open(image)?;
        let words: Table<u64> = image.table(HEAD)?;
        let (bucket_count, _) = slots.counts();
        let head =
            Head::read(&words, bucket_count).ok_or(ImageError::Mismatch("head of the domains"))?;
        Ok(Self {
            hasher: NameHasher::new(image.header.pair.wrapping_add(head.attempt)),
            shape: head.shape,
            label_counts: head.label_counts,
            slots,
            pairs: image.table(PAIRS)?,
        })
    }

    /// The chain that holds for a name; total whatever the tables contain.
    #[inline]
    pub fn chain(&self, name: &[u8]) -> u32 {
        let found = self.hasher.find_suffix(name, self.label_counts, |suffix| {
            let value = self.value(name, suffix.hash, suffix.start, &suffix.block)?;
            Some((value, suffix.start))
        });
        found.map_or(0, |(value, start)| self.chain_of(value, start))
    }

    /// The value of the suffix that begins at `start`.
    #[inline]
    fn value(&self, name: &[u8], hash: u64, start: usize, block: &Block) -> Option<u32> {
        match &self.slots {
            Slots::Narrow(slots, texts) => {
                let suffix = name.get(start..)?;
                self.shape.find(slots, hash, |bucket: &[u32], _, slot| {
                    is_name(&texts.text, &bucket[INLINE.first..], slot, suffix, block)
                })
            }
            Slots::Wide(slots) => self.shape.find(slots, hash, |_, _, _| true),
        }
    }

    #[inline]
    fn chain_of(&self, value: u32, start: usize) -> u32 {
        let pair = self.pairs.get(value as usize).copied();
        pair.unwrap_or_default()[usize::from(start > 0)]
    }

    /// Listed names that are the name or above it, longest first. A compact list's texts are in the evidence file.
    fn covering<'a>(&'a self, name: &[u8], evidence: Option<&'a Texts>) -> Vec<Listed<'a>> {
        let mut covering = Vec::new();
        let Some(texts) = self.texts(evidence) else {
            return covering;
        };
        let _: Option<()> = self.hasher.find_suffix(name, self.label_counts, |suffix| {
            let text = name.get(suffix.start..)?;
            let mut place = None;
            let mut is_it = |bucket, slot| {
                let is_it = texts.is(bucket, slot, text, &suffix.block);
                place = place.or(is_it.then_some((bucket, slot)));
                is_it
            };
            match &self.slots {
                Slots::Narrow(slots, _) => {
                    self.shape
                        .find(slots, suffix.hash, |_, bucket, slot| is_it(bucket, slot))
                }
                Slots::Wide(slots) => self
                    .shape
                    .find(slots, suffix.hash, |_, bucket, slot| is_it(bucket, slot)),
            };
            covering.extend(place.and_then(|(bucket, slot)| {
                Some(Listed {
                    bucket,
                    slot,
                    text: texts.get(bucket, slot)?,
                    is_itself: suffix.start == 0,
                })
            }));
            None
        });
        covering
    }

    /// All names of the list.
    fn listed<'a>(
        &'a self,
        evidence: Option<&'a Texts>,
    ) -> impl Iterator<Item = Listed<'a>> + use<'a> {
        let (bucket_count, slot_count) = self.slots.counts();
        let texts = self.texts(evidence);
        let places = (0..bucket_count)
            .flat_map(move |bucket| (0..slot_count).map(move |slot| (bucket, slot)));
        places.filter_map(move |(bucket, slot)| {
            let text = texts?.get(bucket, slot).filter(|text| !text.is_empty())?;
            Some(Listed {
                bucket,
                slot,
                text,
                is_itself: true,
            })
        })
    }

    fn texts<'a>(&'a self, evidence: Option<&'a Texts>) -> Option<&'a Texts> {
        match &self.slots {
            Slots::Narrow(_, texts) => Some(texts),
            Slots::Wide(_) => evidence,
        }
    }

    fn is_compact(&self) -> bool {
        matches!(self.slots, Slots::Wide(_))
    }

    fn bucket_count(&self) -> usize {
        self.slots.counts().0
    }
}

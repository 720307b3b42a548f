//! Names in the order of their slots: a record per bucket (where its text begins, the length of each name in one byte)
//! stands for an offset per name. Behind 32 zeros, so that the last 32 bytes up to the end of any name can be read at once.

use std::ops::Range;

use crate::image::{Image, ImageError, Section, SectionId};
use crate::memory::Table;

use super::gather::word;
use super::placement::Placement;
use super::suffix::{BLOCK_BYTES, Block, masked, words};

/// Words of a bucket's record: its start, then one byte per slot.
fn record_words(slot_count: usize) -> usize {
    1 + slot_count / 4
}

#[derive(Default)]
pub(super) struct TextTables {
    pub records: Vec<u32>,
    pub text: Vec<u8>,
}

impl TextTables {
    /// `ends[n]` is the end of name n in `text`, which begins with 32 zeros.
    pub fn new(text: Vec<u8>, ends: &[u32], placement: &Placement, slot_count: usize) -> Self {
        let words = record_words(slot_count);
        let mut records = vec![0_u32; placement.count * words];
        let mut start = word(BLOCK_BYTES);
        for (end, (bucket, slot)) in ends.iter().zip(placement.places()) {
            let record = &mut records[bucket * words..][..words];
            if slot == 0 {
                record[0] = start;
            }
            record[1 + slot / 4] |= (end - start) << (8 * (slot % 4));
            start = *end;
        }
        Self { records, text }
    }

    pub fn sections(&self, records: SectionId, text: SectionId) -> [Section<'_>; 2] {
        [
            Section::new(records, &self.records),
            Section::new(text, &self.text),
        ]
    }
}

/// The mapped form.
pub(crate) struct Texts {
    records: Table<u32>,
    text: Table<u8>,
}

/// Sums the bytes of a word; at most sixteen of 255.
#[inline]
fn byte_sum(word: u128) -> usize {
    const EVEN: u64 = 0x00ff_00ff_00ff_00ff;
    let [low, high] =
        [word & u128::from(u64::MAX), word >> 64].map(|half| u64::try_from(half).unwrap_or(0));
    let pairs = (low & EVEN) + (low >> 8 & EVEN) + (high & EVEN) + (high >> 8 & EVEN);
    usize::try_from(pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48).unwrap_or(0)
}

impl Texts {
    pub fn open(image: &Image, records: SectionId, text: SectionId) -> Result<Self, ImageError> {
        Ok(Self {
            records: image.table(records)?,
            text: image.table(text)?,
        })
    }

    /// Where the name of a slot lies.
    #[inline]
    fn range(&self, bucket: usize, slot: usize, slot_count: usize) -> Option<Range<usize>> {
        let words = record_words(slot_count);
        let record = self.records.get(bucket * words..)?.get(..words)?;
        let (start, lengths) = record.split_first()?;
        let mut word = 0_u128;
        for (index, four) in lengths.iter().enumerate() {
            word |= u128::from(*four) << (32 * index);
        }
        let shift = 8 * (slot % 16);
        let before = byte_sum(word & !(u128::MAX << shift));
        let start = *start as usize + before;
        let [length, ..] = (word >> shift).to_le_bytes();
        Some(start..start + usize::from(length))
    }

    #[inline]
    pub fn get(&self, bucket: usize, slot: usize, slot_count: usize) -> Option<&str> {
        std::str::from_utf8(self.text.get(self.range(bucket, slot, slot_count)?)?).ok()
    }

    /// Whether a slot's name is this; `block` is its first block. Names of one block are compared without a call.
    #[inline]
    pub fn is(
        &self,
        bucket: usize,
        slot: usize,
        slot_count: usize,
        name: &[u8],
        block: &Block,
    ) -> bool {
        let Some(range) = self.range(bucket, slot, slot_count) else {
            return false;
        };
        let Some(place) = BLOCK_BYTES.checked_sub(name.len()) else {
            return self.text.get(range) == Some(name);
        };
        if range.len() != name.len() {
            return false;
        }
        let window = self.text.get(..range.end).and_then(<[u8]>::last_chunk);
        window.is_some_and(|window| masked(&words(window), place) == *block)
    }
}

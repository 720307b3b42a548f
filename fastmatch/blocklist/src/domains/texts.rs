//! Names in the order of their slots: a record per bucket (where its text begins, the length of each name in one byte)
//! stands for an offset per name. Behind 32 zeros, so that the last 32 bytes up to the end of any name can be read at once.

use std::ops::Range;

use crate::block::{BLOCK_BYTES, Block, masked, words};
use crate::image::{Image, ImageError, Section, SectionId};
use crate::memory::Table;

use super::gather::word;
use super::placement::Placement;

/// Where the records are in a table of words: the last `words - first` of every `words`.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub words: usize,
    pub first: usize,
}

/// Within the buckets of 12 slots.
pub(super) const INLINE: Layout = Layout {
    words: 16,
    first: 12,
};
/// Beside buckets of 8 slots.
pub(super) const APART: Layout = Layout { words: 3, first: 0 };

impl Layout {
    /// `ends[n]` is the end of name n in a text that begins with 32 zeros.
    pub fn write(self, table: &mut [u32], ends: &[u32], placement: &Placement) {
        let mut start = word(BLOCK_BYTES);
        for (end, (bucket, slot)) in ends.iter().zip(placement.places()) {
            let record = &mut table[bucket * self.words..][self.first..self.words];
            if slot == 0 {
                record[0] = start;
            }
            record[1 + slot / 4] |= (end - start) << (8 * (slot % 4));
            start = *end;
        }
    }

    fn record(self, table: &[u32], bucket: usize) -> Option<&[u32]> {
        let words = table.get(bucket.checked_mul(self.words)?..)?;
        words.get(self.first..self.words)
    }
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

/// Where the name of a slot lies, by its bucket's record.
#[inline]
pub(super) fn place_of(record: &[u32], slot: usize) -> Option<Range<usize>> {
    let (start, lengths) = record.split_first()?;
    let mut word = 0_u128;
    for (index, four) in lengths.iter().take(3).enumerate() {
        word |= u128::from(*four) << (32 * index);
    }
    let shift = 8 * (slot % 16);
    let before = byte_sum(word & !(u128::MAX << shift));
    let start = *start as usize + before;
    let [length, ..] = (word >> shift).to_le_bytes();
    Some(start..start + usize::from(length))
}

/// Whether a slot's name is this; `block` is its first block. Names of one block are compared without a call.
#[inline]
pub(super) fn is_name(
    text: &[u8],
    record: &[u32],
    slot: usize,
    name: &[u8],
    block: &Block,
) -> bool {
    let Some(range) = place_of(record, slot) else {
        return false;
    };
    let Some(place) = BLOCK_BYTES.checked_sub(name.len()) else {
        return text.get(range) == Some(name);
    };
    if range.len() != name.len() {
        return false;
    }
    let window = text.get(..range.end).and_then(<[u8]>::last_chunk);
    window.is_some_and(|window| masked(&words(window), place) == *block)
}

/// Texts apart from their slots, to be written.
#[derive(Default)]
pub(super) struct TextTables {
    /// Empty when they are in the buckets.
    pub records: Vec<u32>,
    pub text: Vec<u8>,
}

impl TextTables {
    pub fn sections(&self, records: SectionId, text: SectionId) -> [Section<'_>; 2] {
        [
            Section::new(records, &self.records),
            Section::new(text, &self.text),
        ]
    }
}

/// The mapped form.
pub(super) struct Texts {
    pub layout: Layout,
    pub records: Table<u32>,
    pub text: Table<u8>,
}

impl Texts {
    pub fn open(image: &Image, records: SectionId, text: SectionId) -> Result<Self, ImageError> {
        Ok(Self {
            layout: APART,
            records: image.table(records)?,
            text: image.table(text)?,
        })
    }

    pub fn get(&self, bucket: usize, slot: usize) -> Option<&str> {
        let record = self.layout.record(&self.records, bucket)?;
        std::str::from_utf8(self.text.get(place_of(record, slot)?)?).ok()
    }

    pub fn is(&self, bucket: usize, slot: usize, name: &[u8], block: &Block) -> bool {
        let record = self.layout.record(&self.records, bucket);
        record.is_some_and(|record| is_name(&self.text, record, slot, name, block))
    }
}

//! IPv4 addresses to chains: a directory over the top bits, a bucket of sorted keys and their chain ids per place.
//!
//! A directory word says where the place's bucket is, how many keys it has and which sixteenths of its addresses are
//! touched at all: nothing else is read for an untouched sixteenth, nor for a place that one piece covers whole.
//! A key is the piece's offset in its place and a size code, so that a host, or any run of 2^n addresses, is one key and
//! not two boundaries. A piece of another size is open: it ends where the next key begins. Keys and ids of a bucket lie
//! side by side, because a hit of a large list costs one miss of the cache then and not two.

mod build;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::image::{Image, ImageError, SectionId};
use crate::memory::Table;
use crate::simd::{Window, at_most_8, at_most_16, prefetch};

pub(crate) use build::{Index4Tables, build};

const DIRECTORY: SectionId = SectionId(1);
const BUCKETS: SectionId = SectionId(2);
/// [bytes of a key, bytes of a chain id]
const WIDTHS: SectionId = SectionId(3);

/// With fewer a long key has no room for its code, with more the directory is larger than any list.
const TOP_BITS: std::ops::RangeInclusive<u32> = 6..=20;
/// Addresses of one batch whose reads are under way together: more than a core has outstanding misses.
const GROUP: usize = 32;

/// The offset of a piece in its place, above the code of its size.
trait Key: Copy + Ord {
    const BYTES: usize;
    /// Holds 0 to the bits of an offset, and `OPEN`.
    const CODE_BITS: u32;
    /// A piece that ends where the next key begins. A shift by it leaves nothing of an offset.
    const OPEN: u32 = (1 << Self::CODE_BITS) - 1;

    fn read(buckets: &[u8], at: usize) -> Option<Self>;

    fn raw(self) -> u32;

    fn from_raw(raw: u32) -> Self;

    /// How many of the keys of a window are at most `bound`.
    fn at_most(window: &Window, bound: Self) -> usize;
}

/// 12 bits of offset: only with 20 top bits.
impl Key for u16 {
    const BYTES: usize = 2;
    const CODE_BITS: u32 = 4;

    #[inline]
    fn read(buckets: &[u8], at: usize) -> Option<Self> {
        bytes_at(buckets, at).map(Self::from_le_bytes)
    }

    #[inline]
    fn raw(self) -> u32 {
        u32::from(self)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "12 bits and 4")]
    fn from_raw(raw: u32) -> Self {
        raw as Self
    }

    #[inline]
    fn at_most(window: &Window, bound: Self) -> usize {
        at_most_16(window, bound)
    }
}

impl Key for u32 {
    const BYTES: usize = 4;
    const CODE_BITS: u32 = 5;

    #[inline]
    fn read(buckets: &[u8], at: usize) -> Option<Self> {
        bytes_at(buckets, at).map(Self::from_le_bytes)
    }

    #[inline]
    fn raw(self) -> u32 {
        self
    }

    #[inline]
    fn from_raw(raw: u32) -> Self {
        raw
    }

    #[inline]
    fn at_most(window: &Window, bound: Self) -> usize {
        at_most_8(window, bound)
    }
}

#[inline]
fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// How many of the `count` keys from `first` on are at most `bound`.
#[inline]
fn at_most<K: Key>(buckets: &[u8], first: usize, count: usize, bound: K) -> usize {
    let (mut skipped, mut left) = (0, count);
    while left * K::BYTES > size_of::<Window>() {
        let half = left / 2;
        match K::read(buckets, first + (skipped + half) * K::BYTES) {
            Some(key) if key <= bound => {
                skipped += half;
                left -= half;
            }
            _ => left = half,
        }
    }
    let from = first + skipped * K::BYTES;
    match buckets.get(from..).and_then(<[u8]>::first_chunk) {
        Some(window) => skipped + K::at_most(window, bound).min(left),
        // Only in damaged tables: whole ones end with a spare window.
        None => 0,
    }
}

/// A directory word: first byte of the bucket (35 bits), count of keys (13), touched sixteenths (16). No keys, yet
/// touched: one piece covers all, and the low half is its chain.
#[derive(Clone, Copy, Default)]
struct Place(u64);

const FIRST_BITS: u32 = 35;
const COUNT_BITS: u32 = 13;

impl Place {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low half")]
    fn whole(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    fn first(self) -> usize {
        (self.0 & ((1 << FIRST_BITS) - 1)) as usize
    }

    #[inline]
    fn count(self) -> usize {
        (self.0 >> FIRST_BITS & ((1 << COUNT_BITS) - 1)) as usize
    }
}

#[derive(Clone, Copy)]
enum IdWidth {
    One = 1,
    Two = 2,
    Four = 4,
}

/// The mapped form.
pub(crate) struct Index4 {
    directory: Table<u64>,
    buckets: Table<u8>,
    has_short_keys: bool,
    id_width: IdWidth,
    /// What is left of an address when the top bits are taken: at least 12, at most 26.
    shift: u32,
}

impl Index4 {
    pub fn open(image: &Arc<Image>) -> Result<Self, ImageError> {
        const MISMATCH: ImageError = ImageError::Mismatch("IPv4 tables");
        let directory: Table<u64> = image.table(DIRECTORY)?;
        let widths: Table<u32> = image.table(WIDTHS)?;
        let [key_bytes, id_bytes] = widths[..] else {
            return Err(MISMATCH);
        };
        let top_bits = directory.len().trailing_zeros();
        let fits = match key_bytes {
            2 => top_bits == *TOP_BITS.end(),
            4 => TOP_BITS.contains(&top_bits),
            _ => false,
        };
        if !(directory.is_empty() || directory.len().is_power_of_two() && fits) {
            return Err(MISMATCH);
        }
        Ok(Self {
            shift: 32 - top_bits.min(*TOP_BITS.end()),
            directory,
            buckets: image.table(BUCKETS)?,
            has_short_keys: key_bytes == 2,
            id_width: match id_bytes {
                1 => IdWidth::One,
                2 => IdWidth::Two,
                4 => IdWidth::Four,
                _ => return Err(MISMATCH),
            },
        })
    }

    /// The chain that holds at an address, 0 for none; total whatever the tables contain.
    #[inline]
    pub fn chain(&self, address: u32) -> u32 {
        let place = self.place(address);
        if place.0 == 0 {
            0
        } else if place.count() == 0 {
            place.whole()
        } else if self.has_short_keys {
            self.find::<u16>(place, address)
        } else {
            self.find::<u32>(place, address)
        }
    }

    /// The address's place; an empty one when its sixteenth is untouched.
    #[inline]
    fn place(&self, address: u32) -> Place {
        let index = (address >> self.shift) as usize;
        let word = self.directory.get(index).copied().unwrap_or(0);
        let sixteenth = address >> (self.shift - 4) & 15;
        // The sixteenth's bit spread over the word: a comparison becomes a branch, and a batch half as fast.
        let is_touched = i64::from_ne_bytes((word << (15 - sixteenth)).to_ne_bytes()) >> 63;
        Place(word & u64::from_ne_bytes(is_touched.to_ne_bytes()))
    }

    #[inline]
    fn find<K: Key>(&self, place: Place, address: u32) -> u32 {
        let (first, count) = (place.first(), place.count());
        let offset = address & ((1 << self.shift) - 1);
        let bound = K::from_raw(offset << K::CODE_BITS | K::OPEN);
        // Where no key is at most the bound the first one is taken: it begins behind the address, the distance is no size's.
        let index = at_most(&self.buckets, first, count, bound).saturating_sub(1);
        let Some(key) = K::read(&self.buckets, first + index * K::BYTES) else {
            return 0;
        };
        let distance = offset.wrapping_sub(key.raw() >> K::CODE_BITS);
        let id = self.id(first + count * K::BYTES, index);
        // Masked, not branched to: in a batch of hits and misses a branch would be wrong too often.
        id & u32::from(distance >> (key.raw() & K::OPEN) == 0).wrapping_neg()
    }

    #[inline]
    fn id(&self, ids: usize, index: usize) -> u32 {
        let buckets = &*self.buckets;
        match self.id_width {
            IdWidth::One => buckets.get(ids + index).copied().map_or(0, u32::from),
            IdWidth::Two => {
                bytes_at(buckets, ids + index * 2).map_or(0, |id| u32::from(u16::from_le_bytes(id)))
            }
            IdWidth::Four => bytes_at(buckets, ids + index * 4).map_or(0, u32::from_le_bytes),
        }
    }

    /// As `chain` for each address; `out` is as long as `addresses`.
    pub fn chains(&self, addresses: &[u32], out: &mut [u32]) {
        if self.has_short_keys {
            self.grouped::<u16>(addresses, out);
        } else {
            self.grouped::<u32>(addresses, out);
        }
    }

    /// The reads of a group are under way together: directory words are asked for one group ahead, then all buckets.
    fn grouped<K: Key>(&self, addresses: &[u32], out: &mut [u32]) {
        let mut ahead = addresses.chunks_exact(GROUP);
        self.prefetch_places(ahead.next());
        let groups = addresses.chunks(GROUP).zip(out.chunks_mut(GROUP));
        for (addresses, out) in groups {
            self.prefetch_places(ahead.next());
            if let (Ok(addresses), Ok(out)) = (addresses.try_into(), out.try_into()) {
                self.group::<K>(addresses, out);
            } else {
                for (address, out) in addresses.iter().zip(out) {
                    *out = self.chain(*address);
                }
            }
        }
    }

    #[inline]
    fn prefetch_places(&self, group: Option<&[u32]>) {
        for address in group.unwrap_or_default() {
            prefetch(&self.directory, (address >> self.shift) as usize);
        }
    }

    /// Without a branch that depends on an address: half hits, half misses cannot be predicted.
    #[inline]
    fn group<K: Key>(&self, addresses: &[u32; GROUP], out: &mut [u32; GROUP]) {
        let mut places = [Place(0); GROUP];
        let mut with_keys = [0_u8; GROUP];
        let mut count = 0;
        for index in 0..GROUP {
            let place = self.place(addresses[index]);
            places[index] = place;
            // Right when the place has no keys, replaced below when it has.
            out[index] = place.whole();
            with_keys[count % GROUP] = index.to_le_bytes()[0];
            count += usize::from(place.count() != 0);
            let bytes = place.count() * (K::BYTES + self.id_width as usize);
            prefetch(&self.buckets, place.first());
            prefetch(&self.buckets, place.first() + bytes);
        }
        for index in with_keys.iter().take(count) {
            let index = usize::from(*index) % GROUP;
            out[index] = self.find::<K>(places[index], addresses[index]);
        }
    }
}

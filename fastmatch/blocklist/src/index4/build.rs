//! Boundaries to the tables.

use super::{BUCKETS, COUNT_BITS, DIRECTORY, FIRST_BITS, Key, TOP_BITS, WIDTHS};
use crate::image::Section;
use crate::simd::Window;

/// From here on a directory of 2^20 places with short keys is the smaller.
const SHORT_KEYS_FROM: usize = 4_000_000;
/// Of smaller lists: 2-4 keys. With fewer the directory leaves the cache, with more the search is longer.
const BOUNDARIES_PER_PLACE: usize = 8;
const ALL_TOUCHED: u64 = 0xffff << (FIRST_BITS + COUNT_BITS);

/// The compiled form.
pub(crate) struct Index4Tables {
    pub(super) directory: Vec<u64>,
    pub(super) buckets: Vec<u8>,
    pub(super) widths: [u32; 2],
}

impl Index4Tables {
    pub fn sections(&self) -> [Section<'_>; 3] {
        [
            Section::new(DIRECTORY, &self.directory),
            Section::new(BUCKETS, &self.buckets),
            Section::new(WIDTHS, &self.widths),
        ]
    }
}

/// `boundaries` are sorted (start, chain) pairs; before the first nothing covers.
pub(crate) fn build(boundaries: &[(u32, u32)]) -> Index4Tables {
    if boundaries.len() >= SHORT_KEYS_FROM {
        return build_short(boundaries);
    }
    let places = (boundaries.len() / BOUNDARIES_PER_PLACE).next_power_of_two();
    let (fewest, most) = (*TOP_BITS.start(), *TOP_BITS.end());
    let top_bits = places.trailing_zeros().clamp(fewest, most);
    // Where boundaries crowd in one place their number may not fit.
    let mut tables = (top_bits..=most).filter_map(|top_bits| build_long(boundaries, top_bits));
    tables.next().unwrap_or_else(|| build_short(boundaries))
}

pub(super) fn build_short(boundaries: &[(u32, u32)]) -> Index4Tables {
    let tables = Filling::<u16>::run(boundaries, *TOP_BITS.end());
    tables.expect("invariant: 2^12 addresses have at most 2^12 keys")
}

/// None when a place has more keys than can be counted.
pub(super) fn build_long(boundaries: &[(u32, u32)], top_bits: u32) -> Option<Index4Tables> {
    Filling::<u32>::run(boundaries, top_bits)
}

/// A piece's share of one place: [from, to) as offsets.
#[derive(Clone, Copy)]
struct Part {
    from: u32,
    to: u32,
    chain: u32,
}

struct Filling<K> {
    directory: Vec<u64>,
    buckets: Vec<u8>,
    id_bytes: usize,
    shift: u32,
    /// The place that is being filled, and what it is filled with.
    index: u64,
    parts: Vec<Part>,
    /// (key, chain id) of that place.
    keys: Vec<(K, u32)>,
}

impl<K: Key> Filling<K> {
    fn run(boundaries: &[(u32, u32)], top_bits: u32) -> Option<Index4Tables> {
        let id_bytes = match boundaries.iter().map(|(_, chain)| *chain).max() {
            None | Some(0..=0xff) => 1,
            Some(0x100..=0xffff) => 2,
            Some(0x1_0000..) => 4,
        };
        let places = if boundaries.is_empty() {
            0
        } else {
            1 << top_bits
        };
        let mut filling = Self {
            directory: vec![0; places],
            buckets: Vec::with_capacity(
                boundaries.len() / 2 * (K::BYTES + id_bytes) + size_of::<Window>(),
            ),
            id_bytes,
            shift: 32 - top_bits,
            index: 0,
            parts: Vec::new(),
            keys: Vec::new(),
        };
        let address = |(start, _): &(u32, u32)| u64::from(*start);
        let ends = boundaries.iter().skip(1).map(address);
        for (boundary, end) in boundaries.iter().zip(ends.chain([1 << 32])) {
            if boundary.1 != 0 {
                filling.piece(address(boundary), end, boundary.1)?;
            }
        }
        filling.flush()?;
        // So that a window fits behind the last key too.
        filling.buckets.extend([0xff; size_of::<Window>()]);
        Some(Index4Tables {
            directory: filling.directory,
            buckets: filling.buckets,
            widths: [K::BYTES, id_bytes].map(|bytes| u32::try_from(bytes).unwrap_or(0)),
        })
    }

    /// [start, end) has one chain.
    fn piece(&mut self, start: u64, end: u64, chain: u32) -> Option<()> {
        let size = 1 << self.shift;
        let mut from = start;
        while from < end {
            let index = from >> self.shift;
            let first = index << self.shift;
            let to = end.min(first + size);
            if to - from == size {
                *self.directory.get_mut(usize::try_from(index).ok()?)? =
                    ALL_TOUCHED | u64::from(chain);
            } else {
                if index != self.index {
                    self.flush()?;
                    self.index = index;
                }
                self.parts.push(Part {
                    from: u32::try_from(from - first).ok()?,
                    to: u32::try_from(to - first).ok()?,
                    chain,
                });
            }
            from = to;
        }
        Some(())
    }

    fn flush(&mut self) -> Option<()> {
        if self.parts.is_empty() {
            return Some(());
        }
        let mut touched = 0_u64;
        self.keys.clear();
        for (index, part) in self.parts.iter().enumerate() {
            let sixteenth = |offset: u32| offset >> (self.shift - 4);
            touched |= (2 << sixteenth(part.to - 1)) - (1 << sixteenth(part.from));
            let mut push = |offset: u32, code: u32, chain: u32| {
                let key = K::from_raw(offset << K::CODE_BITS | code);
                self.keys.push((key, chain));
            };
            let size = part.to - part.from;
            if size.is_power_of_two() {
                push(part.from, size.trailing_zeros(), part.chain);
                continue;
            }
            push(part.from, K::OPEN, part.chain);
            let is_last = part.to >> self.shift == 1;
            let is_followed = self
                .parts
                .get(index + 1)
                .is_some_and(|next| next.from == part.to);
            if !is_last && !is_followed {
                push(part.to, K::OPEN, 0);
            }
        }
        self.parts.clear();
        let first = self.buckets.len() as u64;
        let count = self.keys.len() as u64;
        if first >> FIRST_BITS != 0 || count >> COUNT_BITS != 0 {
            return None;
        }
        for (key, _) in &self.keys {
            self.buckets.extend(&key.raw().to_le_bytes()[..K::BYTES]);
        }
        for (_, chain) in &self.keys {
            self.buckets.extend(&chain.to_le_bytes()[..self.id_bytes]);
        }
        *self.directory.get_mut(usize::try_from(self.index).ok()?)? =
            touched << (FIRST_BITS + COUNT_BITS) | count << FIRST_BITS | first;
        Some(())
    }
}

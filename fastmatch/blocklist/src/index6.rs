//! The piece of the IPv6 space an address lies in.
//!
//! Only the upper 64 bits of an address decide where it is looked for: a record per piece, sorted, 10 bytes while chains and
//! positions are small. A /64 with something smaller inside has one record, which points to the records of its lower halves.
//! Real lists crowd into a few of 2^32 prefixes, so the way to a record adapts to where the records are (`build`): a node
//! spreads them evenly over about two thirds as many cells, and a cell with more than seven has a node of its own. Uniform lists end after
//! one node, real ones after two or three; no list needs more than 32, as each takes at least two bits.
//!
//! A record says how far its piece reaches, so the gap behind it needs none: one record per network, not two boundaries.

use std::sync::Arc;

use crate::image::{Image, ImageError, Section, SectionId};
use crate::memory::{Plain, Table};
use crate::simd::prefetch;

mod build;
#[cfg(test)]
mod tests;

pub(crate) use build::build;

const RECORDS: SectionId = SectionId(10);
const CELLS: SectionId = SectionId(11);
const NODES: SectionId = SectionId(12);

/// The record before a cell, and the most that begin in it.
const WINDOW: usize = 8;
const MAX_LEVELS: usize = 40;
/// Addresses of one batch whose reads are under way together: more than a core has outstanding misses.
const GROUP: usize = 64;
/// In a cell: the rest is a node's number, not a record's position.
const IS_NODE: u32 = 1 << 31;

/// The low bits of a record's value. Below `OPEN`: the piece has 2^n keys, behind it is nothing. `OPEN`: it ends where the next
/// begins. Above: the key is a /64 with this many records (less `OPEN`) of lower halves. `TREE`: it has a node of its own.
const CODE_BITS: u32 = 7;
const CODE_MASK: u64 = (1 << CODE_BITS) - 1;
const OPEN: u64 = 63;
const TREE: u64 = 127;

/// A key, half an address, and what begins there: above the code a chain, a position or a node.
pub(crate) trait Record: Plain {
    /// The largest value, which has the code below and the chain, position or node above.
    const MAX_VALUE: u64;
    fn new(key: u64, value: u64) -> Self;
    fn key(&self) -> u64;
    fn value(&self) -> u64;
}

/// [key, value]
type Narrow = [u16; 5];
type Middle = [u32; 3];
type Wide = [u32; 4];

impl Record for Narrow {
    const MAX_VALUE: u64 = u16::MAX as u64;

    fn new(key: u64, value: u64) -> Self {
        let part = |word: u64, shift: u32| u16::try_from(word >> shift & 0xffff).unwrap_or(0);
        [
            part(key, 0),
            part(key, 16),
            part(key, 32),
            part(key, 48),
            part(value, 0),
        ]
    }

    #[inline]
    fn key(&self) -> u64 {
        let [a, b, c, d, _] = self.map(u64::from);
        a | b << 16 | c << 32 | d << 48
    }

    #[inline]
    fn value(&self) -> u64 {
        u64::from(self[4])
    }
}

impl Record for Middle {
    const MAX_VALUE: u64 = u32::MAX as u64;

    fn new(key: u64, value: u64) -> Self {
        [low_half(key), low_half(key >> 32), low_half(value)]
    }

    #[inline]
    fn key(&self) -> u64 {
        u64::from(self[0]) | u64::from(self[1]) << 32
    }

    #[inline]
    fn value(&self) -> u64 {
        u64::from(self[2])
    }
}

impl Record for Wide {
    const MAX_VALUE: u64 = u64::MAX;

    fn new(key: u64, value: u64) -> Self {
        [
            low_half(key),
            low_half(key >> 32),
            low_half(value),
            low_half(value >> 32),
        ]
    }

    #[inline]
    fn key(&self) -> u64 {
        u64::from(self[0]) | u64::from(self[1]) << 32
    }

    #[inline]
    fn value(&self) -> u64 {
        u64::from(self[2]) | u64::from(self[3]) << 32
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the half that is wanted")]
fn low_half(word: u64) -> u32 {
    word as u32
}

#[inline]
fn upper_half(address: u128) -> u64 {
    lower_half(address >> 64)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the half that is wanted")]
fn lower_half(address: u128) -> u64 {
    address as u64
}

/// [base, its upper half, first cell, shift and the number of cells less one]: a key k belongs to cell
/// (k - base) >> shift, keys before and behind to the first and last.
type Node = [u32; 4];

const SHIFT_BITS: u32 = 6;

#[inline]
fn cell_of(node: &Node, key: u64) -> usize {
    let base = u64::from(node[0]) | u64::from(node[1]) << 32;
    let (shift, last) = (node[3] & 63, u64::from(node[3] >> SHIFT_BITS));
    let cell = (key.saturating_sub(base) >> shift).min(last);
    // At most 26 bits.
    node[2] as usize + low_half(cell) as usize
}

/// The compiled form. The first node is that of the upper halves.
#[derive(Default)]
pub(crate) struct Index6Tables {
    records: Records<Vec<Narrow>, Vec<Middle>, Vec<Wide>>,
    cells: Vec<u32>,
    nodes: Vec<Node>,
}

impl Index6Tables {
    pub fn sections(&self) -> [Section<'_>; 3] {
        [
            match &self.records {
                Records::Narrow(records) => Section::new(RECORDS, records),
                Records::Middle(records) => Section::new(RECORDS, records),
                Records::Wide(records) => Section::new(RECORDS, records),
            },
            Section::new(CELLS, &self.cells),
            Section::new(NODES, &self.nodes),
        ]
    }
}

/// One width per list: chains up to 511, up to 2^25, and more.
enum Records<N, M, W> {
    Narrow(N),
    Middle(M),
    Wide(W),
}

impl<N: Default, M, W> Default for Records<N, M, W> {
    fn default() -> Self {
        Self::Narrow(N::default())
    }
}

/// The mapped form.
pub(crate) struct Index6 {
    records: Records<Table<Narrow>, Table<Middle>, Table<Wide>>,
    cells: Table<u32>,
    nodes: Table<Node>,
    root: Node,
}

impl Index6 {
    pub fn open(image: &Arc<Image>) -> Result<Self, ImageError> {
        let records = image
            .table(RECORDS)
            .map(Records::Narrow)
            .or_else(|_| image.table(RECORDS).map(Records::Middle))
            .or_else(|_| image.table(RECORDS).map(Records::Wide))?;
        let nodes: Table<Node> = image.table(NODES)?;
        Ok(Self {
            records,
            cells: image.table(CELLS)?,
            root: nodes.first().copied().unwrap_or_default(),
            nodes,
        })
    }

    /// The chain that holds at `address`; total whatever the tables contain.
    #[inline]
    pub fn chain(&self, address: u128) -> u32 {
        let chain = match &self.records {
            Records::Narrow(records) => self.find(records, address),
            Records::Middle(records) => self.find(records, address),
            Records::Wide(records) => self.find(records, address),
        };
        chain.unwrap_or(0)
    }

    /// `chain` of each address; as many as both slices have.
    pub fn chains(&self, addresses: &[u128], out: &mut [u32]) {
        match &self.records {
            Records::Narrow(records) => self.grouped(records, addresses, out),
            Records::Middle(records) => self.grouped(records, addresses, out),
            Records::Wide(records) => self.grouped(records, addresses, out),
        }
    }

    /// Cells of a group are asked for one group ahead, then all its records.
    fn grouped<R: Record>(&self, records: &[R], addresses: &[u128], out: &mut [u32]) {
        let mut ahead = addresses.chunks(GROUP);
        self.prefetch_cells(ahead.next());
        for (group, out) in addresses.chunks(GROUP).zip(out.chunks_mut(GROUP)) {
            self.prefetch_cells(ahead.next());
            let mut cells = [0; GROUP];
            self.descend(group, &mut cells);
            for cell in &cells {
                prefetch(records, *cell as usize);
                prefetch(records, *cell as usize + WINDOW / 2);
            }
            for ((address, cell), out) in group.iter().zip(cells).zip(out) {
                let record = record_at(records, cell, upper_half(*address));
                let chain = record.and_then(|record| self.judge(records, record, *address));
                *out = chain.unwrap_or(0);
            }
        }
    }

    #[inline]
    fn prefetch_cells(&self, group: Option<&[u128]>) {
        for address in group.unwrap_or_default() {
            prefetch(&self.cells, cell_of(&self.root, upper_half(*address)));
        }
    }

    /// The cells with the records' positions: every address of the group one level at a time.
    fn descend(&self, group: &[u128], cells: &mut [u32; GROUP]) {
        let mut waiting = [(0_u8, 0_usize); GROUP];
        let mut count = 0;
        for ((index, address), place) in (0..).zip(group).zip(&mut waiting) {
            *place = (index, cell_of(&self.root, upper_half(*address)));
            count += 1;
        }
        for _ in 0..MAX_LEVELS {
            let mut left = 0;
            for place in 0..count {
                let (index, cell) = waiting[place];
                let cell = self.cells.get(cell).copied().unwrap_or(!IS_NODE);
                cells[usize::from(index)] = cell;
                if cell & IS_NODE != 0 {
                    let node = self.nodes.get((cell & !IS_NODE) as usize);
                    let key = upper_half(group[usize::from(index)]);
                    let below = node.map_or(usize::MAX, |node| cell_of(node, key));
                    prefetch(&self.cells, below);
                    waiting[left] = (index, below);
                    left += 1;
                }
            }
            count = left;
        }
    }

    #[inline]
    fn find<R: Record>(&self, records: &[R], address: u128) -> Option<u32> {
        let record = self.last_before(records, self.root, upper_half(address))?;
        self.judge(records, record, address)
    }

    /// What the record of the upper half says of the address.
    #[inline]
    fn judge<R: Record>(&self, records: &[R], record: R, address: u128) -> Option<u32> {
        let upper = upper_half(address);
        let (key, value) = (record.key(), record.value());
        if value & CODE_MASK <= OPEN {
            Some(held(key, value, upper))
        } else if key == upper {
            self.find_within(records, value, lower_half(address))
        } else {
            None
        }
    }

    /// Among the lower halves of one /64.
    #[inline(never)]
    fn find_within<R: Record>(&self, records: &[R], group: u64, lower: u64) -> Option<u32> {
        let (first, code) = (low_half(group >> CODE_BITS) as usize, group & CODE_MASK);
        let record = if code == TREE {
            self.last_before(records, *self.nodes.get(first)?, lower)?
        } else {
            let count = low_half(code - OPEN) as usize;
            let records = records.get(first..first.checked_add(count)?)?;
            let begun = records.partition_point(|record| record.key() <= lower);
            *records.get(begun.checked_sub(1)?)?
        };
        let is_chain = record.value() & CODE_MASK <= OPEN;
        is_chain.then(|| held(record.key(), record.value(), lower))
    }

    /// The record with the largest key up to `key`.
    #[inline]
    fn last_before<R: Record>(&self, records: &[R], mut node: Node, key: u64) -> Option<R> {
        for _ in 0..MAX_LEVELS {
            let cell = *self.cells.get(cell_of(&node, key))?;
            if cell & IS_NODE == 0 {
                return record_at(records, cell, key);
            }
            node = *self.nodes.get((cell & !IS_NODE) as usize)?;
        }
        None
    }
}

#[inline]
fn record_at<R: Record>(records: &[R], cell: u32, key: u64) -> Option<R> {
    let window = records.get(cell as usize..)?.first_chunk()?;
    Some(last_in_window(window, key))
}

/// No branch depends on the keys: where in the window the record is cannot be foretold.
#[inline]
fn last_in_window<R: Record>(window: &[R; WINDOW], key: u64) -> R {
    let half = if window[WINDOW / 2].key() <= key {
        WINDOW / 2
    } else {
        0
    };
    let mut last = window[half];
    for record in &window[half + 1..half + WINDOW / 2] {
        if record.key() <= key {
            last = *record;
        }
    }
    last
}

/// The chain of a record at a key of its piece, 0 behind it.
#[inline]
fn held(start: u64, value: u64, key: u64) -> u32 {
    let code = value & CODE_MASK;
    let is_inside = code == OPEN || key.wrapping_sub(start) >> (code & 63) == 0;
    if is_inside {
        low_half(value >> CODE_BITS)
    } else {
        0
    }
}

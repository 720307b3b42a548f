//! Boundaries to records, cells and nodes.

use std::ops::Range;

use super::{
    CODE_BITS, IS_NODE, Index6Tables, Middle, Narrow, OPEN, Record, Records, SHIFT_BITS, TREE,
    WINDOW, low_half, lower_half, upper_half,
};

/// A node has two cells for three keys. With one for two a lookup over uniform lists took 30 ns instead of 23.
const KEYS_OF_CELLS: (usize, usize) = (3, 2);
/// At least two bits per level, so that the levels end.
const MIN_CELLS: usize = 8;
const MAX_CELLS: usize = 1 << 25;
/// More records of lower halves than the code can count have a node.
const MAX_COUNTED: usize = 63;
const _: () = assert!(OPEN + MAX_COUNTED as u64 + 1 == TREE);

/// (key, value), before the width is known.
type Loose = (u64, u64);

/// `boundaries` are (start, chain), sorted; before the first nothing covers.
pub(crate) fn build(boundaries: &[(u128, u32)]) -> Index6Tables {
    let mut building = Building::default();
    if !boundaries.is_empty() {
        building.place_all(boundaries);
    }
    building.finish()
}

/// What begins at a key.
#[derive(Clone)]
enum Begins {
    Chain(u32),
    /// Boundaries inside of this /64, and the chain that held before them.
    Within(Range<usize>, u32),
}

/// The pieces of the upper halves. A /64 with boundaries inside is one of its own.
fn upper_pieces(boundaries: &[(u128, u32)]) -> Vec<(u64, Begins)> {
    let mut pieces = Vec::with_capacity(boundaries.len());
    let (mut position, mut chain) = (0, 0);
    for group in boundaries.chunk_by(|a, b| a.0 >> 64 == b.0 >> 64) {
        let upper = upper_half(group[0].0);
        let next = position + group.len();
        let last_chain = group[group.len() - 1].1;
        if group.len() == 1 && lower_half(group[0].0) == 0 {
            pieces.push((upper, Begins::Chain(last_chain)));
        } else {
            pieces.push((upper, Begins::Within(position..next, chain)));
            let following = upper.checked_add(1);
            if following != boundaries.get(next).map(|(start, _)| upper_half(*start)) {
                pieces.extend(following.map(|start| (start, Begins::Chain(last_chain))));
            }
        }
        (position, chain) = (next, last_chain);
    }
    pieces
}

/// The exponent when a piece is followed by nothing and has 2^n keys.
fn reach(start: u64, next: Option<&(u64, Begins)>) -> u64 {
    match next {
        Some((end, Begins::Chain(0))) if (end - start).is_power_of_two() => {
            u64::from((end - start).trailing_zeros()).min(OPEN)
        }
        _ => OPEN,
    }
}

fn value_of(chain: u32, reach: u64) -> u64 {
    u64::from(chain) << CODE_BITS | reach
}

#[derive(Default)]
struct Building {
    records: Vec<Loose>,
    cells: Vec<u32>,
    nodes: Vec<super::Node>,
}

impl Building {
    fn place_all(&mut self, boundaries: &[(u128, u32)]) {
        let pieces = upper_pieces(boundaries);
        let groups = self.push_pieces(&pieces, true);
        let count = self.records.len();
        self.pad();
        self.place_node(1, count);
        for (position, group, inherited) in groups {
            self.records[position].1 = self.place_group(&boundaries[group], inherited);
        }
        let last = self.records[count - 1];
        self.records[count..count + WINDOW - 1].fill(last);
        self.pad();
    }

    /// Records of pieces; returns where those are that have something within. With `from_zero` there is one for key 0.
    fn push_pieces(
        &mut self,
        pieces: &[(u64, Begins)],
        from_zero: bool,
    ) -> Vec<(usize, Range<usize>, u32)> {
        let mut groups = Vec::new();
        // Nothing needs no record where a reach or the beginning says so.
        let mut is_known_nothing = true;
        let begins_with_nothing = match pieces.first() {
            Some((start, Begins::Chain(chain))) => *start != 0 || *chain == 0,
            Some((start, Begins::Within(..))) => *start != 0,
            None => true,
        };
        if from_zero && begins_with_nothing {
            self.records.push((0, value_of(0, OPEN)));
        }
        for (index, (start, begins)) in pieces.iter().enumerate() {
            match begins {
                Begins::Chain(0) if is_known_nothing => {}
                Begins::Chain(chain) => {
                    let reach = reach(*start, pieces.get(index + 1));
                    self.records.push((*start, value_of(*chain, reach)));
                    is_known_nothing = reach != OPEN;
                }
                Begins::Within(group, inherited) => {
                    groups.push((self.records.len(), group.clone(), *inherited));
                    self.records.push((*start, 0));
                    is_known_nothing = true;
                }
            }
        }
        groups
    }

    /// The lower halves of one /64; returns the value of its record.
    fn place_group(&mut self, boundaries: &[(u128, u32)], inherited: u32) -> u64 {
        let mut pieces = Vec::with_capacity(boundaries.len() + 1);
        if lower_half(boundaries[0].0) != 0 {
            pieces.push((0, Begins::Chain(inherited)));
        }
        let inner = boundaries.iter();
        pieces.extend(inner.map(|(start, chain)| (lower_half(*start), Begins::Chain(*chain))));
        let first = self.records.len();
        self.push_pieces(&pieces, pieces.len() > MAX_COUNTED);
        let count = self.records.len() - first;
        if count <= MAX_COUNTED {
            return (first as u64) << CODE_BITS | (OPEN + count as u64);
        }
        let node = self.place_node(first + 1, first + count);
        self.pad();
        u64::from(node) << CODE_BITS | TREE
    }

    /// A whole window may be read from each record. A copy says what its original says.
    fn pad(&mut self) {
        let last = self.records.last().copied().unwrap_or_default();
        self.records.extend([last; WINDOW - 1]);
    }

    /// A node over the records `from..to`; the one before them is where keys below them belong.
    fn place_node(&mut self, from: usize, to: usize) -> u32 {
        let keys = to - from;
        let base = self.records.get(from).map_or(0, |record| record.0);
        let span = self.records[to - 1].0.saturating_sub(base);
        let limit = (keys / KEYS_OF_CELLS.0 * KEYS_OF_CELLS.1).clamp(MIN_CELLS, MAX_CELLS) as u64;
        let shift = (0..64)
            .find(|shift| span >> shift < limit)
            .unwrap_or_default();
        let last = low_half(span >> shift);
        let first_cell = self.cells.len();
        self.cells.resize(first_cell + last as usize + 1, 0);
        let number = self.nodes.len();
        let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        self.nodes.push([
            low_half(base),
            low_half(base >> 32),
            word(first_cell),
            last << SHIFT_BITS | shift,
        ]);
        let mut begin = from;
        for cell in 0..=last {
            let of_cell = |record: &&Loose| (record.0 - base) >> shift == u64::from(cell);
            let end = begin + self.records[begin..to].iter().take_while(of_cell).count();
            self.cells[first_cell + cell as usize] = if end - begin < WINDOW {
                word(begin - 1)
            } else {
                self.place_node(begin, end) | IS_NODE
            };
            begin = end;
        }
        word(number)
    }

    fn finish(self) -> Index6Tables {
        let largest = self.records.iter().map(|record| record.1).max();
        let records = match largest.unwrap_or(0) {
            value if value <= Narrow::MAX_VALUE => Records::Narrow(self.packed()),
            value if value <= Middle::MAX_VALUE => Records::Middle(self.packed()),
            _ => Records::Wide(self.packed()),
        };
        Index6Tables {
            records,
            cells: self.cells,
            nodes: self.nodes,
        }
    }

    fn packed<R: Record>(&self) -> Vec<R> {
        let records = self.records.iter();
        records.map(|(key, value)| R::new(*key, *value)).collect()
    }
}

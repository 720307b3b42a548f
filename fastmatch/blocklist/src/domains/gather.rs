//! A builder's domain entries to distinct names in the order of their hashes, each with its entries.

use crate::block::BLOCK_BYTES;
use crate::builder::{Builder, DomainEntry};
use crate::simd::prefetch;
use crate::target::Rule;

use super::suffix::NameHasher;

/// Sorted apart, so that a part stays in the nearest cache.
const PART_ENTRIES: usize = 512;

/// An entry of a name; the order is that of evidence and of chains.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub rule: Rule,
    pub fact: u32,
}

impl Mark {
    /// As the evidence file has it. A builder cannot hold the facts that would not fit.
    pub fn encode(self, is_last_of_name: bool) -> u32 {
        let rule = self.rule as u32 * 2 + u32::from(is_last_of_name);
        self.fact.saturating_mul(6).saturating_add(rule)
    }

    /// And whether it is the last of its name.
    pub fn decode(code: u32) -> (Self, bool) {
        let rule = match code / 2 % 3 {
            0 => Rule::Suffix,
            1 => Rule::Below,
            _ => Rule::Exact,
        };
        let fact = code / 6;
        (Self { rule, fact }, code % 2 == 1)
    }
}

/// Distinct names; all lists but `text` and `marks` have one item per name.
#[derive(Default)]
pub(super) struct Names {
    /// Ascending.
    pub hashes: Vec<u64>,
    pub labels: Vec<u8>,
    /// Name n is `text[ends[n - 1]..ends[n]]`, behind 32 zeros.
    pub text: Vec<u8>,
    pub ends: Vec<u32>,
    /// Name n has `marks[mark_ends[n - 1]..mark_ends[n]]`, sorted, each once.
    pub marks: Vec<Mark>,
    pub mark_ends: Vec<u32>,
}

/// Names whose text is under way while one is copied: they lie in the builder's order, not in that of the hashes.
const LOOKAHEAD: usize = 24;

/// An entry with its hash; what the copying needs is beside it.
#[derive(Clone, Copy)]
struct Hashed {
    hash: u64,
    entry: DomainEntry,
    labels: u8,
}

impl Hashed {
    fn mark(&self) -> Mark {
        Mark {
            rule: self.entry.rule,
            fact: self.entry.fact,
        }
    }
}

/// The builder holds text and counts below 32 bits.
pub(super) fn word(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl Names {
    pub fn gather(builder: &Builder, hasher: &NameHasher) -> Self {
        let count = builder.domains.len();
        let mut names = Self {
            hashes: Vec::with_capacity(count),
            labels: Vec::with_capacity(count),
            text: Vec::with_capacity(builder.text.len() + BLOCK_BYTES),
            ends: Vec::with_capacity(count),
            marks: Vec::with_capacity(count),
            mark_ends: Vec::with_capacity(count),
        };
        names.text.resize(BLOCK_BYTES, 0);
        let sorted = sorted_by_hash(builder, hasher);
        let mut ahead = sorted.iter().skip(LOOKAHEAD);
        for equal in sorted.chunk_by(|left, right| left.hash == right.hash) {
            for _ in equal {
                if let Some(hashed) = ahead.next() {
                    prefetch(&builder.text, hashed.entry.offset as usize);
                }
            }
            if let [one] = equal {
                names.marks.push(one.mark());
                names.close(builder.name_of(&one.entry), one);
            } else {
                names.add_equal(builder, equal);
            }
        }
        names
    }

    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn name(&self, number: usize) -> &[u8] {
        let start = number
            .checked_sub(1)
            .map_or(word(BLOCK_BYTES), |before| self.ends[before]);
        &self.text[start as usize..self.ends[number] as usize]
    }

    pub fn marks(&self, number: usize) -> &[Mark] {
        let start = number
            .checked_sub(1)
            .map_or(0, |before| self.mark_ends[before]);
        &self.marks[start as usize..self.mark_ends[number] as usize]
    }

    /// Entries of one hash: nearly always of one name.
    fn add_equal(&mut self, builder: &Builder, equal: &[Hashed]) {
        let mut entries: Vec<_> = equal
            .iter()
            .map(|hashed| (builder.name_of(&hashed.entry), hashed.mark(), *hashed))
            .collect();
        entries.sort_unstable_by_key(|(name, mark, _)| (*name, *mark));
        entries.dedup_by_key(|(name, mark, _)| (*name, *mark));
        for of_one_name in entries.chunk_by(|left, right| left.0 == right.0) {
            self.marks
                .extend(of_one_name.iter().map(|(_, mark, _)| *mark));
            if let Some((name, _, hashed)) = of_one_name.first() {
                self.close(name, hashed);
            }
        }
    }

    /// The marks are there.
    fn close(&mut self, name: &[u8], hashed: &Hashed) {
        self.text.extend_from_slice(name);
        self.hashes.push(hashed.hash);
        self.labels.push(hashed.labels);
        self.ends.push(word(self.text.len()));
        self.mark_ends.push(word(self.marks.len()));
    }
}

/// Scattered by the leading bits, then each part sorted.
fn sorted_by_hash(builder: &Builder, hasher: &NameHasher) -> Vec<Hashed> {
    let part_bits = (builder.domains.len() / PART_ENTRIES + 1)
        .ilog2()
        .clamp(1, 16);
    let part_of = |hash: u64| usize::try_from(hash >> (64 - part_bits)).unwrap_or(0);
    let with_hash = |entry: &DomainEntry| {
        let (hash, labels) = hasher.whole(builder.name_of(entry));
        Hashed {
            hash,
            entry: *entry,
            labels: u8::try_from(labels).unwrap_or(u8::MAX),
        }
    };
    // Hashed twice: that costs no more than to keep 24 bytes an entry once more.
    let mut next = vec![0_usize; (1 << part_bits) + 1];
    for entry in &builder.domains {
        next[part_of(with_hash(entry).hash) + 1] += 1;
    }
    for part in 1..next.len() {
        next[part] += next[part - 1];
    }
    let starts = next.clone();
    let mut scattered = builder
        .domains
        .first()
        .map(with_hash)
        .map_or_else(Vec::new, |any| vec![any; builder.domains.len()]);
    for entry in &builder.domains {
        let item = with_hash(entry);
        let place = &mut next[part_of(item.hash)];
        scattered[*place] = item;
        *place += 1;
    }
    for bounds in starts.windows(2) {
        scattered[bounds[0]..bounds[1]].sort_unstable_by_key(|item| item.hash);
    }
    scattered
}

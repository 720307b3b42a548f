//! Open connections by client address, over all workers of a pod.
//!
//! Each worker slot has a table of its own, which only it writes: a dead worker's is cleared, and no count is lost or
//! kept for ever. A word is 40 bits of tag and 24 of count; an address has two buckets of eight words in every table.
//! A worker writes first and then adds up all tables. Of two workers that are at the last place at once, both may find
//! it taken, never both free: the order in which they write and read is one for all (`SeqCst`).

use std::sync::atomic::{AtomicU64, Ordering};

const BUCKET_WORDS: usize = 8;
const COUNT_BITS: u32 = 24;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// What became of one more connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Counted: it has to leave.
    Counted,
    /// There are as many as may be.
    Refused,
    /// It may stay, nobody counts it: its address is a trusted proxy's, or the table has no place for one more.
    Uncounted,
}

/// The tables of all slots, one after the other.
pub(crate) struct AddressTables<'s> {
    words: &'s [AtomicU64],
    /// Words of one slot, a power of two of two buckets or more.
    slot_words: usize,
    slot: usize,
}

impl<'s> AddressTables<'s> {
    pub fn new(words: &'s [AtomicU64], slot_words: usize, slot: usize) -> Self {
        Self {
            words,
            slot_words,
            slot,
        }
    }

    pub fn enter(&self, key: u64, most: u64) -> Entry {
        let Some(word) = self.place(key) else {
            return Entry::Uncounted;
        };
        let before = word.load(Ordering::Relaxed);
        let count = before & COUNT_MASK;
        if count == COUNT_MASK {
            return Entry::Uncounted;
        }
        word.store(tag_of(key) << COUNT_BITS | (count + 1), Ordering::SeqCst);
        if self.count(key) > most {
            word.store(before, Ordering::SeqCst);
            return Entry::Refused;
        }
        Entry::Counted
    }

    pub fn leave(&self, key: u64) {
        let Some(word) = self.find(self.slot, key) else {
            return;
        };
        let left = word.load(Ordering::Relaxed) - 1;
        let left = if left & COUNT_MASK == 0 { 0 } else { left };
        word.store(left, Ordering::SeqCst);
    }

    /// Over all slots.
    pub fn count(&self, key: u64) -> u64 {
        let slots = 0..self.words.len() / self.slot_words;
        let found = slots.filter_map(|slot| self.find(slot, key));
        found
            .map(|word| word.load(Ordering::SeqCst) & COUNT_MASK)
            .sum()
    }

    /// Nothing of this slot is open any more.
    pub fn clear(&self) {
        let start = self.slot * self.slot_words;
        for word in &self.words[start..start + self.slot_words] {
            // A page that was never used stays unused.
            if word.load(Ordering::Relaxed) != 0 {
                word.store(0, Ordering::SeqCst);
            }
        }
    }

    fn buckets(&self, slot: usize, key: u64) -> [&[AtomicU64]; 2] {
        let mask = self.slot_words / BUCKET_WORDS - 1;
        let bits =
            |shift: u32| usize::try_from(key >> shift & u64::from(u32::MAX)).unwrap_or(0) & mask;
        let (first, second) = (bits(0), bits(16));
        let second = if first == second { first ^ 1 } else { second };
        [first, second].map(|bucket| {
            let start = slot * self.slot_words + bucket * BUCKET_WORDS;
            &self.words[start..start + BUCKET_WORDS]
        })
    }

    fn find(&self, slot: usize, key: u64) -> Option<&AtomicU64> {
        let tag = tag_of(key);
        let mut words = self.buckets(slot, key).into_iter().flatten();
        words.find(|word| word.load(Ordering::SeqCst) >> COUNT_BITS == tag)
    }

    /// The key's word in our table, or an empty one in the emptier of its buckets.
    fn place(&self, key: u64) -> Option<&AtomicU64> {
        if let Some(word) = self.find(self.slot, key) {
            return Some(word);
        }
        let is_empty = |word: &&AtomicU64| word.load(Ordering::Relaxed) == 0;
        let buckets = self.buckets(self.slot, key);
        let [first, second] = buckets.map(|bucket| bucket.iter().filter(is_empty).count());
        let emptier = if second > first {
            buckets[1]
        } else {
            buckets[0]
        };
        emptier.iter().find(is_empty)
    }
}

fn tag_of(key: u64) -> u64 {
    (key >> COUNT_BITS).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Barrier;
    use std::thread;

    use proptest::prelude::*;

    use super::*;
    use crate::gate::mix;

    const SLOT_WORDS: usize = 64;

    fn words(slots: usize) -> Vec<AtomicU64> {
        (0..slots * SLOT_WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    fn of_slot(words: &[AtomicU64], slot: usize) -> AddressTables<'_> {
        AddressTables::new(words, SLOT_WORDS, slot)
    }

    proptest! {
        /// Three workers, forty addresses, a worker that dies now and then.
        #[test]
        fn counts_are_those_of_a_list(steps in prop::collection::vec((0..3_usize, 0..40_u64, 0..100_u8), 1..600)) {
            let words = words(3);
            let mut open: [HashMap<u64, u64>; 3] = Default::default();
            for (slot, number, what) in steps {
                let (tables, key) = (of_slot(&words, slot), mix(number + 1));
                let total = |open: &[HashMap<u64, u64>; 3]| -> u64 {
                    open.iter().filter_map(|counts| counts.get(&key)).sum()
                };
                prop_assert_eq!(tables.count(key), total(&open));
                match what {
                    0 => {
                        tables.clear();
                        open[slot].clear();
                    }
                    1..45 => {
                        if let Some(count) = open[slot].get_mut(&key).filter(|count| **count > 0) {
                            *count -= 1;
                            tables.leave(key);
                        }
                    }
                    _ => match tables.enter(key, 4) {
                        Entry::Counted => {
                            *open[slot].entry(key).or_insert(0) += 1;
                            prop_assert!(total(&open) <= 4);
                        }
                        Entry::Refused => prop_assert_eq!(total(&open), 4),
                        // Forty addresses in sixty-four places: some find both of their buckets full.
                        Entry::Uncounted => {
                            prop_assert_eq!(open[slot].get(&key).copied().unwrap_or(0), 0);
                            let held = open[slot].values().filter(|count| **count > 0).count();
                            prop_assert!(held >= 16, "{} are held", held);
                        }
                    },
                }
                prop_assert_eq!(tables.count(key), total(&open));
            }
        }
    }

    #[test]
    fn workers_that_race_for_the_last_places_never_pass_the_cap() {
        const MOST: u64 = 10;
        for round in 0..200 {
            let words = words(4);
            let key = mix(round + 1);
            let barrier = Barrier::new(4);
            let enter = &|slot: usize| {
                barrier.wait();
                let tables = of_slot(&words, slot);
                let tries = (0..8).map(|_| tables.enter(key, MOST));
                tries.filter(|entry| *entry == Entry::Counted).count()
            };
            let counted: usize = thread::scope(|scope| {
                let workers = [0, 1, 2, 3].map(|slot| scope.spawn(move || enter(slot)));
                let counts = workers.map(|worker| worker.join().expect("no panic"));
                counts.iter().sum()
            });
            let total = of_slot(&words, 0).count(key);
            assert_eq!(total, counted as u64);
            assert!(total <= MOST, "{total} in round {round}");
        }
    }
}

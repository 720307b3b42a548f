//! Weights by key, in bounded memory -> the heaviest keys, each with how far off its weight may be.
//!
//! Misra and Gries's frequent items in the form of Anderson et al. (2017): a hash table of counts; when it is full, the
//! median count is taken from every count, and what has nothing left goes. Each such purge takes half a table of medians
//! out of the total, so together they took no more than `2 * total / CAPACITY` from any one key. Keys above that share,
//! 0.4 % of everything, are always there. Adding costs a probe; a purge, some microseconds, comes once in 256 new keys.

/// Keys at a time.
pub const CAPACITY: usize = 512;
const SLOTS: usize = 2 * CAPACITY;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: u128,
    hash: u64,
    /// 0: no key.
    weight: u64,
}

#[derive(Debug, Default)]
pub struct Ranking {
    /// Linear probing: half of the slots are empty. Nothing is allocated before the first key.
    slots: Vec<Slot>,
    count: usize,
    total: u64,
    /// The most that purges have taken from one key.
    error: u64,
}

impl Ranking {
    /// `hash` of the key, the same each time, by a seed that keeps clients from choosing where they are put.
    pub fn add(&mut self, key: u128, hash: u64, weight: u64) {
        if weight == 0 {
            return;
        }
        if self.slots.is_empty() {
            self.slots = vec![Slot::default(); SLOTS];
        }
        self.total = self.total.saturating_add(weight);
        let index = self.find(key, hash);
        let slot = &mut self.slots[index];
        if slot.weight != 0 {
            slot.weight = slot.weight.saturating_add(weight);
            return;
        }
        *slot = Slot { key, hash, weight };
        self.count += 1;
        if self.count == CAPACITY {
            self.purge();
        }
    }

    /// Where the key is, or the empty slot where it belongs.
    fn find(&self, key: u128, hash: u64) -> usize {
        let mut index = usize::try_from(hash >> 32).unwrap_or(0) % SLOTS;
        loop {
            let slot = &self.slots[index];
            if slot.weight == 0 || slot.key == key {
                return index;
            }
            index = (index + 1) % SLOTS;
        }
    }

    fn purge(&mut self) {
        let mut weights: Vec<u64> = self.weights().collect();
        let (_, median, _) = weights.select_nth_unstable(CAPACITY / 2);
        let median = *median;
        self.error = self.error.saturating_add(median);
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); SLOTS]);
        self.count = 0;
        for slot in old {
            if slot.weight > median {
                let index = self.find(slot.key, slot.hash);
                self.slots[index] = Slot {
                    weight: slot.weight - median,
                    ..slot
                };
                self.count += 1;
            }
        }
    }

    fn weights(&self) -> impl Iterator<Item = u64> {
        self.slots
            .iter()
            .map(|slot| slot.weight)
            .filter(|weight| *weight > 0)
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// A key's true weight lies between what `top` says and that much more; of a key that is not there it is no more.
    pub fn error(&self) -> u64 {
        self.error
    }

    /// The heaviest, at most `count`, heaviest first.
    pub fn top(&self, count: usize) -> Vec<(u128, u64)> {
        let full = self.slots.iter().filter(|slot| slot.weight > 0);
        let mut ranked: Vec<(u128, u64)> = full.map(|slot| (slot.key, slot.weight)).collect();
        ranked.sort_unstable_by_key(|&(key, weight)| (std::cmp::Reverse(weight), key));
        ranked.truncate(count);
        ranked
    }

    /// Begins anew; the memory stays.
    pub fn clear(&mut self) {
        self.slots.fill(Slot::default());
        (self.count, self.total, self.error) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::gate::mix;

    fn add(ranking: &mut Ranking, key: u128, weight: u64) {
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
        ranking.add(key, mix(half(key) ^ mix(half(key >> 64))), weight);
    }

    /// Every weight within its bounds, every heavy key present, and the bounds as narrow as promised.
    fn check(ranking: &Ranking, exact: &HashMap<u128, u64>) {
        let total: u64 = exact.values().sum();
        let most = 2 * total / CAPACITY as u64;
        assert_eq!(ranking.total(), total);
        assert!(ranking.error() <= most, "{} of {total}", ranking.error());
        let ranked: HashMap<u128, u64> = ranking.top(usize::MAX).into_iter().collect();
        assert!(ranked.len() < CAPACITY);
        for (key, weight) in exact {
            let told = ranked.get(key).copied().unwrap_or(0);
            assert!(
                told <= *weight && *weight <= told + ranking.error(),
                "{key}"
            );
        }
        assert!(ranked.keys().all(|key| exact.contains_key(key)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn weights_lie_within_the_error_of_exact_counts(
            adds in prop::collection::vec((0..3000_u128, 0..2000_u64), 0..6000),
            heavy in 1..50_u64,
        ) {
            let (mut ranking, mut exact) = (Ranking::default(), HashMap::new());
            for (number, (key, weight)) in adds.into_iter().enumerate() {
                // Some keys come again and again, as addresses in both forms.
                let key = if number % 7 == 0 { (key % 5) << 64 } else { key };
                let weight = if number % 7 == 0 { weight * heavy } else { weight };
                add(&mut ranking, key, weight);
                if weight > 0 {
                    *exact.entry(key).or_insert(0) += weight;
                }
            }
            check(&ranking, &exact);
            ranking.clear();
            check(&ranking, &HashMap::new());
        }
    }

    #[test]
    fn a_flood_of_new_keys_hides_no_heavy_one() {
        let (mut ranking, mut exact) = (Ranking::default(), HashMap::new());
        for number in 0..200_000_u128 {
            let key = if number % 100 == 0 { 1 } else { number << 64 };
            add(&mut ranking, key, 1);
            *exact.entry(key).or_insert(0) += 1;
        }
        check(&ranking, &exact);
        let (first, weight) = ranking.top(1)[0];
        assert_eq!(first, 1);
        assert!(weight + ranking.error() >= 2000);
    }

    #[test]
    fn weights_without_bounds_do_not_overflow() {
        let mut ranking = Ranking::default();
        for key in 0..2000 {
            add(&mut ranking, key, u64::MAX);
        }
        assert_eq!(ranking.total(), u64::MAX);
    }
}

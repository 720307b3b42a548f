//! Counters by route, in shared memory: found by the route's name, so that they go on when routes come, go and move.
//!
//! Layout: a table of names for the whole pod (a word each: the name's hash, 0 for a free place), then for each worker
//! slot a line of counters per place. Whoever first meets a name takes a place for it, by one compare-and-swap, and
//! nobody ever gives one back: a route that is configured again goes on where it stopped. A slot's lines are written by
//! its worker alone, so that counting is an addition and no locked one.

use std::sync::atomic::{AtomicU64, Ordering};

/// Names that one pod can count in its life: far more than one configuration has.
pub const PLACES: usize = 1024;
/// Words for each place: as many as there are counters, to a power of two.
const LINE: usize = 4;
pub const SLOT_WORDS: usize = PLACES * LINE;

const REQUESTS: usize = 0;
const DENIED: usize = 1;
const ERRORS: usize = 2;

/// Where a route counts. Without a place nothing is counted: the pod has seen too many names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place(Option<u16>);

/// What one route came to, all slots together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteCounts {
    /// Exchanges that ended, whatever way.
    pub requests: u64,
    pub denied: u64,
    /// Answered 5xx, by the upstream or by us.
    pub errors: u64,
}

/// FNV-1a: the same in every process and release, and names are the operator's, not a stranger's.
fn hash(name: &str) -> u64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        });
    hash.max(1)
}

/// The places that a name may have, the best first.
fn probe(hash: u64) -> impl Iterator<Item = usize> {
    let first = usize::try_from(hash % PLACES as u64).unwrap_or(0);
    (0..PLACES).map(move |step| (first + step) % PLACES)
}

/// The place of a name, taken now when it has none yet.
pub fn claim(names: &[AtomicU64], name: &str) -> Place {
    let wanted = hash(name);
    let place = probe(wanted).find(|&index| {
        names[index]
            .compare_exchange(0, wanted, Ordering::Relaxed, Ordering::Relaxed)
            .map_or_else(|found| found == wanted, |_| true)
    });
    Place(place.and_then(|index| u16::try_from(index).ok()))
}

fn find(names: &[AtomicU64], name: &str) -> Option<usize> {
    let wanted = hash(name);
    probe(wanted)
        .map(|index| (index, names[index].load(Ordering::Relaxed)))
        .take_while(|(_, found)| *found != 0)
        .find_map(|(index, found)| (found == wanted).then_some(index))
}

/// The counters of one worker slot.
#[derive(Clone, Copy)]
pub struct SlotCounters<'s>(pub &'s [AtomicU64]);

impl SlotCounters<'_> {
    #[inline]
    pub fn ended(self, place: Place, status: u16) {
        self.add(place, REQUESTS);
        if status >= 500 {
            self.add(place, ERRORS);
        }
    }

    #[inline]
    pub fn denied(self, place: Place) {
        self.add(place, DENIED);
    }

    #[inline]
    fn add(self, place: Place, counter: usize) {
        if let Place(Some(place)) = place {
            if let Some(word) = self.0.get(usize::from(place) * LINE + counter) {
                word.store(word.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
        }
    }
}

/// What a route came to in all the given slots.
pub fn counts<'s>(
    names: &[AtomicU64],
    slots: impl Iterator<Item = SlotCounters<'s>>,
    name: &str,
) -> RouteCounts {
    let mut total = RouteCounts::default();
    let Some(place) = find(names, name) else {
        return total;
    };
    for SlotCounters(words) in slots {
        let value = |counter: usize| {
            let word = words.get(place * LINE + counter);
            word.map_or(0, |word| word.load(Ordering::Relaxed))
        };
        total.requests += value(REQUESTS);
        total.denied += value(DENIED);
        total.errors += value(ERRORS);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(count: usize) -> Vec<AtomicU64> {
        (0..count).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn a_name_keeps_its_place_and_no_two_share_one() {
        let names = words(PLACES);
        let places: Vec<Place> = (0..PLACES)
            .map(|name| claim(&names, &name.to_string()))
            .collect();
        for (name, place) in places.iter().enumerate() {
            assert_eq!(claim(&names, &name.to_string()), *place);
            assert_eq!(places.iter().filter(|other| *other == place).count(), 1);
        }
        // Full: counting goes nowhere, and harms nothing.
        let one_more = claim(&names, "one more");
        assert_eq!(one_more, Place(None));
        let slot = words(SLOT_WORDS);
        SlotCounters(&slot).ended(one_more, 200);
        assert!(slot.iter().all(|word| word.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn slots_add_up_by_name() {
        let names = words(PLACES);
        let slots = [words(SLOT_WORDS), words(SLOT_WORDS)];
        let (a, b) = (claim(&names, "a"), claim(&names, "b"));
        SlotCounters(&slots[0]).ended(a, 200);
        SlotCounters(&slots[1]).ended(a, 502);
        SlotCounters(&slots[1]).denied(b);
        let of = |name| counts(&names, slots.iter().map(|slot| SlotCounters(slot)), name);
        assert_eq!(
            (of("a").requests, of("a").denied, of("a").errors),
            (2, 0, 1)
        );
        assert_eq!(
            (of("b").requests, of("b").denied, of("b").errors),
            (0, 1, 0)
        );
        assert_eq!(of("never seen"), RouteCounts::default());
    }
}

//! Counters by route, in shared memory: found by the route's name, so that they go on when routes come, go and move.
//!
//! Layout: a table of names for the whole pod (a word each: the name's hash, 0 for a free place), then for each worker
//! slot a line of counters per place. Whoever first meets a name takes a place for it, by one compare-and-swap, and
//! nobody ever gives one back: a route that is configured again goes on where it stopped. A slot's lines are written by
//! its worker alone, so that counting is an addition and no locked one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::histogram;

/// Names that one pod can count in its life: far more than one configuration has.
pub const PLACES: usize = 1024;
/// Words for each place: two cache lines of counters, then the latencies. Pages of places that nobody took are never
/// touched, so they are not there.
const LINE: usize = 128;
pub const SLOT_WORDS: usize = PLACES * LINE;

/// In the order in which they stand.
pub const ROUTE_COUNTERS: [&str; 11] = [
    "requests",
    "denied",
    "errors",
    "limited",
    "responses_1xx",
    "responses_2xx",
    "responses_3xx",
    "responses_4xx",
    "responses_5xx",
    "client_gone",
    "bytes",
];
const REQUESTS: usize = 0;
const DENIED: usize = 1;
const ERRORS: usize = 2;
const LIMITED: usize = 3;
const RESPONSES_1XX: usize = 4;
const CLIENT_GONE: usize = 9;
const BYTES: usize = 10;

const LATENCY_START: usize = 16;
/// Steps per octave: a bucket's upper bound is at most 25 % off.
const STEPS: usize = 4;
const FINE_STEPS: usize = 32 / STEPS;
/// Octaves of the fine histogram that are one bucket here: up to 8 us.
const LOW_OCTAVES: usize = 3;
const LATENCY_BUCKETS: usize = (histogram::BUCKETS - 2) / FINE_STEPS - LOW_OCTAVES * STEPS + 2;
const _: () =
    assert!(LATENCY_START + LATENCY_BUCKETS <= LINE && ROUTE_COUNTERS.len() <= LATENCY_START);

/// Where a route counts. Without a place nothing is counted: the pod has seen too many names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place(Option<u16>);

/// What one route came to, all slots together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteCounts {
    /// As `ROUTE_COUNTERS`: exchanges that ended, whatever way, is the first; errors are answers 5xx, by the upstream or by
    /// us; bytes are those of both directions, tunnels not among them.
    pub counts: [u64; ROUTE_COUNTERS.len()],
    /// (microseconds below which they lie, so many) of the buckets that are not empty, ascending.
    pub latency: Vec<(u64, u64)>,
}

#[inline]
fn latency_bucket(duration: Duration) -> usize {
    let coarse = histogram::bucket_of(duration).div_ceil(FINE_STEPS);
    coarse.saturating_sub(LOW_OCTAVES * STEPS)
}

/// In microseconds. The last bucket has none: what is told of it is where the next one would end.
fn latency_bound(bucket: usize) -> u64 {
    let steps = LOW_OCTAVES * STEPS + bucket - 1;
    let (octave, step) = (steps / STEPS, steps % STEPS);
    let nanoseconds =
        ((STEPS + step + 1) as u64) << octave << (histogram::FIRST_OCTAVE - STEPS.ilog2());
    nanoseconds.div_ceil(1000)
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
    pub fn ended(self, place: Place, status: u16, duration: Duration) {
        self.add(place, REQUESTS, 1);
        let class = match status {
            499 => CLIENT_GONE,
            ..200 => RESPONSES_1XX,
            200..500 => RESPONSES_1XX + usize::from(status / 100) - 1,
            _ => {
                self.add(place, ERRORS, 1);
                RESPONSES_1XX + 4
            }
        };
        self.add(place, class, 1);
        self.add(place, LATENCY_START + latency_bucket(duration), 1);
    }

    #[inline]
    pub fn denied(self, place: Place) {
        self.add(place, DENIED, 1);
    }

    #[inline]
    pub fn limited(self, place: Place) {
        self.add(place, LIMITED, 1);
    }

    #[inline]
    pub fn moved(self, place: Place, bytes: u64) {
        self.add(place, BYTES, bytes);
    }

    #[inline]
    fn add(self, place: Place, counter: usize, amount: u64) {
        if let Place(Some(place)) = place {
            if let Some(word) = self.0.get(usize::from(place) * LINE + counter) {
                let value = word.load(Ordering::Relaxed).wrapping_add(amount);
                word.store(value, Ordering::Relaxed);
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
    let mut latency = [0; LATENCY_BUCKETS];
    for SlotCounters(words) in slots {
        let line = &words[place * LINE..(place + 1) * LINE];
        let buckets = &line[LATENCY_START..];
        for (sum, word) in total.counts.iter_mut().zip(line) {
            *sum = sum.wrapping_add(word.load(Ordering::Relaxed));
        }
        for (sum, word) in latency.iter_mut().zip(buckets) {
            *sum += word.load(Ordering::Relaxed);
        }
    }
    let told = latency.iter().enumerate().filter(|(_, count)| **count > 0);
    total.latency = told
        .map(|(bucket, count)| (latency_bound(bucket), *count))
        .collect();
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
        SlotCounters(&slot).ended(one_more, 200, Duration::ZERO);
        assert!(slot.iter().all(|word| word.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn slots_add_up_by_name() {
        let names = words(PLACES);
        let slots = [words(SLOT_WORDS), words(SLOT_WORDS)];
        let (a, b) = (claim(&names, "a"), claim(&names, "b"));
        let slots_of = slots.each_ref().map(|slot| SlotCounters(slot));
        slots_of[0].ended(a, 200, Duration::from_micros(100));
        slots_of[1].ended(a, 502, Duration::from_micros(110));
        slots_of[1].ended(a, 499, Duration::from_micros(130));
        slots_of[0].moved(a, 7);
        slots_of[1].moved(a, 5);
        slots_of[1].denied(b);
        slots_of[0].limited(b);
        let of = |name| counts(&names, slots_of.into_iter(), name);
        let value = |name, counter| {
            let index = ROUTE_COUNTERS.iter().position(|known| *known == counter);
            of(name).counts[index.expect("a counter")]
        };
        let a = [
            "requests",
            "responses_2xx",
            "responses_5xx",
            "errors",
            "client_gone",
            "bytes",
        ];
        assert_eq!(a.map(|counter| value("a", counter)), [3, 1, 1, 1, 1, 12]);
        assert_eq!(of("a").latency, [(115, 2), (132, 1)]);
        let b = ["requests", "denied", "limited"];
        assert_eq!(b.map(|counter| value("b", counter)), [0, 1, 1]);
        assert_eq!(of("never seen"), RouteCounts::default());
    }

    #[test]
    fn latencies_lie_below_their_bound_and_not_far() {
        let mut micros = 1_u64;
        while micros < 1 << 30 {
            let bound = latency_bound(latency_bucket(Duration::from_micros(micros)));
            assert!(micros < bound, "{micros}");
            assert!(
                micros < 9 || bound <= micros * 5 / 4 + 1,
                "{micros} {bound}"
            );
            micros += micros / 10 + 1;
        }
        assert_eq!(latency_bucket(Duration::MAX), LATENCY_BUCKETS - 1);
        assert_eq!(latency_bound(0), 9);
    }
}

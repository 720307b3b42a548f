//! The table of arrival times against token buckets without bounds, and against threads and processes at once.

use std::collections::HashMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use decide::limits::table::{FIRST_TICK, LimitTable, Quota, Standing, TICKS_PER_SECOND};
use proptest::prelude::*;

const HOUR: u64 = 3600 * TICKS_PER_SECOND;
/// What the table adds to an entry's time before it gives way.
const MARGIN: u64 = TICKS_PER_SECOND / 10;

fn words(entries: usize) -> Vec<AtomicU64> {
    (0..entries + 8).map(|_| AtomicU64::new(0)).collect()
}

fn table(words: &[AtomicU64]) -> LimitTable<'_> {
    LimitTable::new(words).expect("a power of two")
}

/// Spread as the keyed hash spreads: no two of the few thousand share buckets and tag.
fn key(number: u64) -> u64 {
    let value = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn quota(interval: u64, burst: u64) -> Quota {
    Quota {
        interval,
        allowance: interval * burst,
    }
}

/// A bucket of tokens for every key that ever came: each tick gives one, up to the allowance, a pass costs an interval.
#[derive(Default)]
struct Buckets {
    levels: HashMap<u64, (u64, u64)>,
}

impl Buckets {
    fn level(&self, key: u64, now: u64, quota: Quota) -> u64 {
        self.levels
            .get(&key)
            .map_or(quota.allowance, |(level, at)| {
                quota.allowance.min(level + (now - at))
            })
    }

    fn take(&mut self, key: u64, now: u64, quota: Quota) -> Standing {
        let level = self.level(key, now, quota);
        let Some(left) = level.checked_sub(quota.interval) else {
            return Standing::Exceeded {
                wait: quota.interval - level,
            };
        };
        self.levels.insert(key, (left, now));
        Standing::Within {
            spent: quota.allowance - left,
        }
    }

    /// Keys that a table must remember: their bucket is not full, or has been for a moment only.
    fn remembered(&self, now: u64, quota: impl Fn(u64) -> Quota) -> usize {
        let is_remembered = |(key, (level, at)): (&u64, &(u64, u64))| {
            let full_at = at + quota(*key).allowance - level;
            full_at + MARGIN > now
        };
        self.levels
            .iter()
            .filter(|entry| is_remembered(*entry))
            .count()
    }
}

#[derive(Clone, Debug)]
struct Step {
    key: u64,
    pause: u64,
}

fn steps(keys: u64, longest: u64) -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![
        6 => 0..TICKS_PER_SECOND / 50,
        3 => 0..TICKS_PER_SECOND,
        1 => 0..longest,
    ];
    let step = (0..keys, pause).prop_map(|(number, pause)| Step {
        key: key(number),
        pause,
    });
    prop::collection::vec(step, 1..400)
}

/// Each key has one of a few quotas, as keys of different limits do.
fn quota_of(key: u64) -> Quota {
    match key % 4 {
        0 => quota(TICKS_PER_SECOND / 100, 3),
        1 => quota(TICKS_PER_SECOND / 7 + 1, 1),
        2 => quota(TICKS_PER_SECOND, 20),
        _ => quota(600 * TICKS_PER_SECOND, 2),
    }
}

proptest! {
    #[test]
    fn a_table_with_room_answers_like_buckets_without_bounds(steps in steps(40, 11 * HOUR)) {
        let words = words(1024);
        let (table, mut buckets, mut now) = (table(&words), Buckets::default(), FIRST_TICK);
        for Step { key, pause } in steps {
            now += pause;
            if pause > TICKS_PER_SECOND {
                (0..600).for_each(|_| table.sweep(now));
            }
            let quota = quota_of(key);
            let expected = buckets.take(key, now, quota);
            prop_assert_eq!(table.look(key, now, quota), expected);
            prop_assert_eq!(table.take(key, now, quota), expected);
        }
    }

    /// Sixteen places for sixty keys, all of which may use all of them.
    #[test]
    fn a_full_table_forgets_nobody_and_says_when_it_does_not_know(steps in steps(60, HOUR)) {
        let words = words(16);
        let (table, mut buckets, mut now) = (table(&words), Buckets::default(), FIRST_TICK);
        for Step { key, pause } in steps {
            now += pause;
            let quota = quota_of(key);
            match table.take(key, now, quota) {
                Standing::Unknown { wait } => {
                    prop_assert_eq!(buckets.remembered(now, quota_of), 16);
                    prop_assert!(buckets.remembered(now + wait, quota_of) < 16);
                    prop_assert!(wait > 0 && buckets.remembered(now + wait - 1, quota_of) == 16);
                }
                standing => prop_assert_eq!(standing, buckets.take(key, now, quota)),
            }
        }
    }
}

#[test]
fn days_without_a_request_do_not_turn_the_past_into_the_future() {
    let words = words(1024);
    let table = table(&words);
    let quota = quota(HOUR, 3);
    let mut now = FIRST_TICK;
    // Steps of a length that meets every place of the 76 hours after which times wrap; with sweeps and without any.
    for round in 0..200 {
        for number in 0..50 {
            let standing = table.take(key(number), now, quota);
            assert_eq!(standing, Standing::Within { spent: HOUR }, "round {round}");
        }
        now += 3 * HOUR;
        for _ in 0..5 {
            now += 2 * HOUR;
            if round % 2 == 0 {
                (0..600).for_each(|_| table.sweep(now));
            }
        }
        table.sweep(now);
    }
}

#[test]
fn a_smaller_allowance_counts_from_now() {
    let words = words(1024);
    let table = table(&words);
    let (large, small) = (quota(TICKS_PER_SECOND, 100), quota(TICKS_PER_SECOND, 2));
    for _ in 0..50 {
        table.take(key(1), FIRST_TICK, large);
    }
    let wait = TICKS_PER_SECOND;
    assert_eq!(
        table.take(key(1), FIRST_TICK, small),
        Standing::Exceeded { wait }
    );
}

#[test]
fn only_a_power_of_two_of_entries_is_a_table() {
    for entries in [0, 8, 15, 24, 1000] {
        assert!(LimitTable::new(&words(entries)).is_none(), "{entries}");
    }
    assert!(LimitTable::new(&words(16)).is_some());
}

#[test]
fn threads_that_hammer_the_same_keys_pass_exactly_the_burst() {
    const KEYS: u64 = 300;
    const BURST: u64 = 5;
    for round in 0..20 {
        let words = words(1024);
        let table = table(&words);
        // Old entries of others, so that first requests replace words and race for them.
        for number in 0..2000 {
            table.take(key(10_000 + number), FIRST_TICK, quota(TICKS_PER_SECOND, 1));
        }
        let now = FIRST_TICK + HOUR;
        let passed: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
        let barrier = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    for number in (0..KEYS).flat_map(|number| [number; 3]).cycle().take(6000) {
                        let standing = table.take(key(number), now, quota(HOUR, BURST));
                        assert!(
                            !matches!(standing, Standing::Unknown { .. }),
                            "there is room"
                        );
                        if matches!(standing, Standing::Within { .. }) {
                            passed[usize::try_from(number).expect("small")]
                                .fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        for (number, count) in passed.iter().enumerate() {
            assert_eq!(
                count.load(Ordering::Relaxed),
                BURST,
                "key {number} in round {round}"
            );
        }
    }
}

/// Any `count` passes in a row lie within the time that the quota gives them.
fn assert_within(passes: &mut [u64], quota: Quota) {
    passes.sort_unstable();
    for (first, start) in passes.iter().enumerate() {
        for (length, end) in passes[first..].iter().enumerate() {
            let cost = (length as u64 + 1) * quota.interval;
            assert!(
                cost <= quota.allowance + (end - start),
                "{} within {}",
                length + 1,
                end - start
            );
        }
    }
}

/// Times of several threads that never drift further apart than a table allows for.
struct Clocks {
    times: Vec<AtomicU64>,
}

impl Clocks {
    const STEP: u64 = TICKS_PER_SECOND / 2000;

    /// The next time of this thread, once the others have come near.
    fn next(&self, thread: usize) -> u64 {
        let now = self.times[thread].load(Ordering::Relaxed) + Self::STEP;
        let is_far = |other: &AtomicU64| other.load(Ordering::Relaxed) + MARGIN / 4 < now;
        while self.times.iter().any(is_far) {
            thread::yield_now();
        }
        self.times[thread].store(now, Ordering::Relaxed);
        now
    }
}

#[test]
fn no_window_of_time_lets_more_pass_while_entries_come_and_go() {
    const KEYS: u64 = 40;
    const STEPS: u64 = 20_000;
    let quota = quota(TICKS_PER_SECOND / 50, 4);
    // Sixteen places for twelve keys at a time, other ones each tenth of a second: they keep taking each other's.
    let words = words(16);
    let table = table(&words);
    let clocks = Clocks {
        times: (0..3).map(|_| AtomicU64::new(FIRST_TICK)).collect(),
    };
    let run = &|thread: usize| {
        let mut passes = Vec::new();
        for step in 0..STEPS {
            let now = clocks.next(thread);
            let number = (now / MARGIN * 7 + key(step) % 12) % KEYS;
            if let Standing::Within { .. } = table.take(key(number), now, quota) {
                passes.push((number, now));
            }
        }
        clocks.times[thread].store(u64::MAX / 2, Ordering::Relaxed);
        passes
    };
    let passes: Vec<Vec<(u64, u64)>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|thread| scope.spawn(move || run(thread)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    for number in 0..KEYS {
        let mut times: Vec<u64> = passes
            .iter()
            .flatten()
            .filter(|(passed, _)| *passed == number)
            .map(|(_, now)| *now)
            .collect();
        assert!(
            times.len() > 50,
            "key {number} came through {} times",
            times.len()
        );
        assert_within(&mut times, quota);
    }
}

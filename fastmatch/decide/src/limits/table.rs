//! Keys -> when their allowance is whole again: what all workers of a pod know of how often each key came.
//!
//! The generic cell rate algorithm needs one time per key. A key that has not come for a while has a time in the past,
//! which says the same as no entry at all: **such entries and no others give way**, so nobody who is limited is ever
//! forgotten, and nobody who is remembered is treated otherwise than by a table without bounds.
//!
//! An entry is one word: 40 bits of time (ticks of 250 ns since the segment was made), 24 bits of tag. A key has two
//! buckets of eight words, a cache line each. Every change is one compare-and-swap, so a process may die at any point.
//! Two keys with the same buckets and tag share an entry: one in 1,000,000 when all sixteen words are in use. Buckets
//! and tags come from a keyed hash, so nobody can aim at another's.
//!
//! **No key ever has two entries.** The time of a word only grows, and a new key takes the oldest of its sixteen words
//! (the first of equal ones). Say two processes put one key into words a and b, and neither saw what the other did.
//! The first chose a, so the value x that it replaced there is older than the one it read in b, which is not newer than
//! the y that was replaced in b: x <= y. The second chose b: y <= x likewise. So they are equal, and then both chose
//! the first of the two. The order of reads and writes to different words does not matter: relaxed ones will do.
//!
//! The time of a word wraps after 76 hours. `sweep` keeps every entry within an hour of the present.

use std::sync::atomic::{AtomicU64, Ordering};

const SECOND: i64 = 4_000_000;
const HOUR: i64 = 3600 * SECOND;
/// 250 ns: an interval of 10 us, the shortest, is met to 2.5 %.
pub const TICKS_PER_SECOND: u64 = SECOND.unsigned_abs();
/// When the clock starts: words that were never used are then an hour old.
pub const FIRST_TICK: u64 = HOUR.unsigned_abs();
/// No allowance may take longer to be whole again. Together with `SWEEP_PAUSE` less than half of what 40 bits count.
pub const LONGEST_SECONDS: u64 = 86_400;

pub(crate) const BUCKET_WORDS: usize = 8;
/// Before the entries: how far sweeps have come, and when the last one was.
pub(crate) const HEAD_WORDS: usize = 8;
const SWEPT_UP_TO: usize = 0;
const LAST_SWEEP: usize = 1;

const TAG_BITS: u32 = 24;
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;

/// Clocks are read a little before the table is: an entry gives way only when it is older than that may be.
const MARGIN: i64 = SECOND / 10;
/// The age that a swept entry gets.
const MINUTE: u64 = 60 * TICKS_PER_SECOND;
const FURTHEST: i64 = 25 * HOUR;
/// Ticks without a sweep after which ages can no longer be told.
const SWEEP_PAUSE: u64 = 12 * 3600 * TICKS_PER_SECOND;
/// A sweep each second has been everywhere after this many.
const SWEEPS_PER_ROUND: usize = 600;

/// How often: one each `interval` ticks, `allowance` ticks of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub interval: u64,
    /// `interval` times the burst.
    pub allowance: u64,
}

/// Times in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may pass; its allowance is whole again in `spent`.
    Within { spent: u64 },
    /// The next may pass in `wait`.
    Exceeded { wait: u64 },
    /// All places for this key belong to keys whose allowance is not whole; the first of them is in `wait`.
    Unknown { wait: u64 },
}

/// A view of the shared words. Any number of processes and threads use it at a time.
#[derive(Clone, Copy)]
pub struct LimitTable<'s> {
    head: &'s [AtomicU64],
    entries: &'s [AtomicU64],
    bucket_mask: usize,
}

enum Place {
    Own { index: usize, word: u64 },
    Free { index: usize, word: u64 },
    Taken { soonest: i64 },
}

impl<'s> LimitTable<'s> {
    /// None unless there is a head and behind it a power of two of entries, two buckets or more.
    pub fn new(words: &'s [AtomicU64]) -> Option<Self> {
        let (head, entries) = words.split_at_checked(HEAD_WORDS)?;
        let buckets = entries.len() / BUCKET_WORDS;
        (entries.len().is_power_of_two() && buckets >= 2).then(|| Self {
            head,
            entries,
            bucket_mask: buckets - 1,
        })
    }

    /// Counts this key once more, unless it exceeds its quota: what does not pass costs nothing.
    pub fn take(&self, key: u64, now: u64, quota: Quota) -> Standing {
        loop {
            let (index, word, spent) = match self.find(key, now) {
                Place::Own { index, word } => (index, word, spent(word, now, quota)),
                Place::Free { index, word } => (index, word, 0),
                Place::Taken { soonest } => return unknown(soonest),
            };
            let standing = after_one_more(spent, quota);
            let Standing::Within { spent } = standing else {
                return standing;
            };
            let new = pack(now + spent, tag_of(key));
            if self.entries[index]
                .compare_exchange(word, new, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                return standing;
            }
        }
    }

    /// What `take` would answer; nothing is counted.
    pub fn look(&self, key: u64, now: u64, quota: Quota) -> Standing {
        match self.find(key, now) {
            Place::Own { word, .. } => after_one_more(spent(word, now, quota), quota),
            Place::Free { .. } => after_one_more(0, quota),
            Place::Taken { soonest } => unknown(soonest),
        }
    }

    /// Called each second by every worker that limits: a part of the table, so that no entry grows older than the 40
    /// bits can say.
    pub fn sweep(&self, now: u64) {
        let last = self.head[LAST_SWEEP].swap(now, Ordering::Relaxed);
        if now.saturating_sub(last) > SWEEP_PAUSE {
            // Ages may have wrapped. All allowances are whole again, or nobody was there to limit for half a day.
            for entry in self.entries {
                entry.store(pack(now.saturating_sub(MINUTE), 0), Ordering::Relaxed);
            }
            return;
        }
        let count = self.entries.len().div_ceil(SWEEPS_PER_ROUND);
        let start = self.head[SWEPT_UP_TO].fetch_add(count as u64, Ordering::Relaxed);
        let mask = self.entries.len() - 1;
        for offset in 0..count {
            let index = usize::try_from(start).unwrap_or(0).wrapping_add(offset) & mask;
            self.refresh(index, now);
        }
    }

    fn refresh(&self, index: usize, now: u64) {
        let entry = &self.entries[index];
        let word = entry.load(Ordering::Relaxed);
        if !(-HOUR..=FURTHEST).contains(&ahead(word, now)) {
            let fresh = pack(now.saturating_sub(MINUTE), 0);
            // Whoever was faster has put a fresh word there.
            let _ = entry.compare_exchange(word, fresh, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn find(&self, key: u64, now: u64) -> Place {
        let tag = tag_of(key);
        let mut oldest = (0, 0);
        let mut soonest = i64::MAX;
        for start in self.buckets(key) {
            let bucket = &self.entries[start..start + BUCKET_WORDS];
            for (offset, entry) in bucket.iter().enumerate() {
                let word = entry.load(Ordering::Relaxed);
                if word & TAG_MASK == tag {
                    return Place::Own {
                        index: start + offset,
                        word,
                    };
                }
                let ahead = ahead(word, now);
                if ahead < soonest {
                    soonest = ahead;
                    oldest = (start + offset, word);
                }
            }
        }
        if soonest > -MARGIN {
            return Place::Taken { soonest };
        }
        let (index, word) = oldest;
        Place::Free { index, word }
    }

    /// Where the two buckets of a key begin, always in this order.
    fn buckets(&self, key: u64) -> [usize; 2] {
        let bits = usize::try_from(key & u64::from(u32::MAX)).unwrap_or(0);
        let first = bits & self.bucket_mask;
        let second =
            (usize::try_from(key >> 20 & u64::from(u32::MAX)).unwrap_or(0)) & self.bucket_mask;
        let second = if second == first { first ^ 1 } else { second };
        [first * BUCKET_WORDS, second * BUCKET_WORDS]
    }
}

/// Never 0, which no key has: empty words are 0.
fn tag_of(key: u64) -> u64 {
    (key >> (64 - TAG_BITS)).max(1)
}

fn pack(ticks: u64, tag: u64) -> u64 {
    ticks << TAG_BITS | tag
}

/// How far the time of a word lies in the future, within half of what 40 bits count.
fn ahead(word: u64, now: u64) -> i64 {
    let difference = (word & !TAG_MASK).wrapping_sub(now << TAG_BITS);
    i64::from_ne_bytes(difference.to_ne_bytes()) >> TAG_BITS
}

/// More than the allowance is left from a larger one that was configured before.
fn spent(word: u64, now: u64, quota: Quota) -> u64 {
    u64::try_from(ahead(word, now))
        .unwrap_or(0)
        .min(quota.allowance)
}

fn after_one_more(spent: u64, quota: Quota) -> Standing {
    let spent = spent + quota.interval;
    match spent.checked_sub(quota.allowance) {
        None | Some(0) => Standing::Within { spent },
        Some(wait) => Standing::Exceeded { wait },
    }
}

fn unknown(soonest: i64) -> Standing {
    Standing::Unknown {
        wait: u64::try_from(soonest + MARGIN).unwrap_or(0),
    }
}

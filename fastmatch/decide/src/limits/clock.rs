//! `Instant`s of this process -> ticks that all processes of the pod share.

use std::time::{Duration, Instant};

use blocklist::memory::monotonic;

use super::table::{FIRST_TICK, TICKS_PER_SECOND};

const TICK_NANOSECONDS: u32 = 250;
const TRIES: usize = 16;

/// One moment on both clocks, which are the same inside: no request reads a clock of its own.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    at: Instant,
    /// From the start of the pod's clock until then.
    since_start: Duration,
}

impl Clock {
    /// `start`: the monotonic clock when the pod's began.
    pub fn new(start: Duration) -> Self {
        // The narrowest of some readings: the scheduler may come in between.
        let read = |_| {
            let (before, now) = (Instant::now(), monotonic());
            (before.elapsed(), before, now)
        };
        let (_, at, now) = (0..TRIES)
            .map(read)
            .min()
            .expect("invariant: there is one try or more");
        Self {
            at,
            since_start: now.saturating_sub(start),
        }
    }

    #[inline]
    pub fn ticks(&self, moment: Instant) -> u64 {
        let since_start = self.since_start + moment.saturating_duration_since(self.at);
        // In parts: the sum in nanoseconds would be divided as 128 bits, which costs as much as the rest.
        FIRST_TICK
            + since_start.as_secs() * TICKS_PER_SECOND
            + u64::from(since_start.subsec_nanos() / TICK_NANOSECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clocks_of_one_start_tell_the_same_time() {
        let start = monotonic();
        let (one, other) = (Clock::new(start), Clock::new(start));
        let moment = Instant::now() + Duration::from_secs(3);
        let (ticks, same) = (one.ticks(moment), other.ticks(moment));
        assert!(ticks >= FIRST_TICK + 3 * TICKS_PER_SECOND);
        // A hundredth of a second: both readings can only have been torn apart by the scheduler.
        assert!(
            ticks.abs_diff(same) < TICKS_PER_SECOND / 100,
            "{ticks} {same}"
        );
        assert_eq!(
            one.ticks(moment + Duration::from_secs(1)),
            ticks + TICKS_PER_SECOND
        );
    }
}

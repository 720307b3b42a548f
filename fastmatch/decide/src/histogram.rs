//! Durations to log-linear buckets: 32 steps per octave from 1 us to 1100 s, so an upper bound is at most 3.2 % off.

use std::time::Duration;

/// Which durations a histogram counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Histogram {
    /// First byte of the request's head to the last byte of the answer.
    Request,
    /// Request handed to the upstream to its final response head.
    Upstream,
}

pub const HISTOGRAM_COUNT: usize = 2;

/// Durations below 2^10 ns are one bucket.
pub const FIRST_OCTAVE: u32 = 10;
const OCTAVES: u32 = 30;
const STEP_BITS: u32 = 5;
const STEPS: u64 = 1 << STEP_BITS;
const STEPS_PER_OCTAVE: usize = 1 << STEP_BITS;

/// One bucket below, one above.
pub const BUCKETS: usize = (OCTAVES as usize) * STEPS_PER_OCTAVE + 2;

#[inline]
pub fn bucket_of(duration: Duration) -> usize {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let Some(octave) = nanoseconds
        .checked_ilog2()
        .and_then(|bits| bits.checked_sub(FIRST_OCTAVE))
    else {
        return 0;
    };
    if octave >= OCTAVES {
        return BUCKETS - 1;
    }
    let step = (nanoseconds >> (octave + FIRST_OCTAVE - STEP_BITS)) & (STEPS - 1);
    // Below 962, see `BUCKETS`.
    usize::try_from(1 + u64::from(octave) * STEPS + step).unwrap_or(0)
}

/// The smallest duration that no longer belongs to the bucket, in seconds.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
pub fn upper_bound_seconds(bucket: usize) -> f64 {
    if bucket >= BUCKETS - 1 {
        return f64::INFINITY;
    }
    let nanoseconds = match bucket.checked_sub(1) {
        None => 1_u64 << FIRST_OCTAVE,
        Some(index) => {
            let (octave, step) = (index as u64 / STEPS, index as u64 % STEPS);
            (STEPS + step + 1) << (octave + u64::from(FIRST_OCTAVE - STEP_BITS))
        }
    };
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_below_its_bound_and_above_the_one_before() {
        let mut nanoseconds = 1_u64;
        while nanoseconds < 1 << 40 {
            for value in [nanoseconds, nanoseconds + nanoseconds / 3] {
                let bucket = bucket_of(Duration::from_nanos(value));
                let seconds = Duration::from_nanos(value).as_secs_f64();
                assert!(seconds < upper_bound_seconds(bucket), "{value}");
                if bucket > 0 {
                    assert!(seconds >= upper_bound_seconds(bucket - 1), "{value}");
                }
            }
            nanoseconds = nanoseconds * 21 / 20 + 1;
        }
    }

    #[test]
    fn the_ends_are_caught() {
        assert_eq!(bucket_of(Duration::ZERO), 0);
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
        assert_eq!(bucket_of(Duration::from_nanos((1 << 40) - 1)), BUCKETS - 2);
    }
}

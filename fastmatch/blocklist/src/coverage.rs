//! A list's entries to the IPv4 addresses that they cover: the raw material of set algebra (what changed, what overlaps).

use crate::address::Network;
use crate::entry::Entry;
use crate::explain::NoEvidence;
use crate::list::Blocklist;
use crate::target::Target;
use crate::verdict::Disposition;

impl Blocklist {
    /// Sorted, disjoint and not touching (first, last) of what live blocks cover, of all sources or of one, from a score
    /// on. What entries say, not verdicts: allows and vetoes take nothing away.
    pub fn ipv4_ranges(
        &self,
        source: Option<&str>,
        minimum_score_tenths: u8,
    ) -> Result<Vec<(u32, u32)>, NoEvidence> {
        let now = self.clock().now();
        let is_wanted = |entry: &Entry| {
            let statement = &entry.statement;
            statement.disposition == Disposition::Block
                && statement.score_tenths >= minimum_score_tenths
                && statement.is_live(now)
                && source.is_none_or(|source| statement.sources.iter().any(|own| **own == *source))
        };
        let ranges = self.entries()?.filter_map(|entry| match entry.target {
            Target::Network(Network::V4 { start, length }) if is_wanted(&entry) => {
                let rest = u32::MAX.checked_shr(length.into()).unwrap_or(0);
                Some((start, start | rest))
            }
            _ => None,
        });
        Ok(merged(ranges.collect()))
    }
}

fn merged(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    // The base's come in order, an overlay's behind them.
    ranges.sort_unstable();
    ranges.dedup_by(|(first, last), (_, last_before)| {
        let is_one = *first <= last_before.saturating_add(1);
        if is_one {
            *last_before = (*last_before).max(*last);
        }
        is_one
    });
    ranges
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::merged;

    proptest! {
        #[test]
        fn merged_ranges_hold_the_same_numbers_and_never_touch(
            ranges in prop::collection::vec((0_u32..60, 0_u32..8, any::<bool>()), 0..20)
        ) {
            // At both ends of the space, where sums could overflow.
            let at = |place: u32, is_high| if is_high { u32::MAX - 70 + place } else { place };
            let ranges: Vec<(u32, u32)> = ranges
                .into_iter()
                .map(|(place, size, is_high)| (at(place, is_high), at(place + size, is_high)))
                .collect();
            let numbers = |ranges: &[(u32, u32)]| -> BTreeSet<u32> {
                ranges.iter().flat_map(|(first, last)| *first..=*last).collect()
            };
            let merged = merged(ranges.clone());
            prop_assert_eq!(numbers(&merged), numbers(&ranges));
            prop_assert!(merged.windows(2).all(|pair| u64::from(pair[0].1) + 1 < u64::from(pair[1].0)));
        }
    }
}

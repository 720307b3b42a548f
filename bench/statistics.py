"""Values of rounds -> a median and how far it can be trusted."""

import random
from collections.abc import Sequence
from statistics import median

from bench.report import Ratio

_RESAMPLES = 2000
_SEED = 20240229


def median_with_interval(values: Sequence[float]) -> Ratio:
    """The median and its 95 % bootstrap interval; with fewer than six values the interval is the whole range.

    Seeded: the same values give the same interval.
    """
    if len(values) < 6:
        return Ratio(median(values), min(values), max(values))
    chooser = random.Random(_SEED)
    medians = sorted(median(chooser.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    return Ratio(median(values), medians[int(0.025 * _RESAMPLES)], medians[int(0.975 * _RESAMPLES) - 1])


def ratio_of_rounds(subject: Sequence[float], peer: Sequence[float]) -> Ratio:
    """Median of the per-round ratios: what disturbs a round disturbs both of its measurements."""
    return median_with_interval([ours / theirs for ours, theirs in zip(subject, peer, strict=True)])

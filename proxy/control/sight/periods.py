"""Which summaries to put together for a stretch of time, and rolling up the fine ones into the coarse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from proxy.control.sight.traffic import Traffic, together
from proxy.store.protocol import Store
from proxy.store.summaries import Period, Summary

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

# Seconds up to here, minutes up to there, hours beyond.
_MOST_BY_SECOND_MS: Final = 15 * MINUTE_MS
_MOST_BY_MINUTE_MS: Final = DAY_MS
# By then a pod has rolled up what is over, unless its store is in trouble.
_ROLLED_MINUTE_MS: Final = 15 * SECOND_MS
_ROLLED_HOUR_MS: Final = 2 * MINUTE_MS

_Part = tuple[Period, int, int]


def begin_of(window_ms: int, now_ms: int) -> int:
    """Where a window that ends now begins: on a whole minute or hour where only those are kept."""
    since_ms = now_ms - window_ms
    if window_ms <= _MOST_BY_SECOND_MS:
        return since_ms
    grain_ms = MINUTE_MS if window_ms <= _MOST_BY_MINUTE_MS else HOUR_MS
    return since_ms - since_ms % grain_ms


def parts(since_ms: int, now_ms: int) -> tuple[_Part, ...]:
    """(period, since, until) of summaries that cover [since, now] once, oldest first."""
    minutes_end = floor(now_ms - _ROLLED_MINUTE_MS, MINUTE_MS)
    hours_end = floor(now_ms - _ROLLED_HOUR_MS, HOUR_MS)
    # `begin_of` puts the long windows on whole hours.
    is_long = since_ms % HOUR_MS == 0 and now_ms - since_ms > _MOST_BY_MINUTE_MS
    first = (Period.HOUR, hours_end) if is_long else (Period.SECOND, min(_ceiling(since_ms), minutes_end))
    found: list[_Part] = []
    start = since_ms
    for period, end in (first, (Period.MINUTE, minutes_end), (Period.SECOND, now_ms + 1)):
        if end > start:
            found.append((period, start, end))
            start = end
    return tuple(found)


async def read(store: Store, since_ms: int, now_ms: int) -> list[Summary]:
    """Raises StoreError."""
    found: list[Summary] = []
    for period, since, until in parts(since_ms, now_ms):
        found += await store.summaries(period, since, until)
    return found


def rolled(rows: Iterable[Summary], into: Period, length_ms: int) -> list[Summary]:
    """Fine summaries of one pod -> one coarse summary for each minute or hour that has some."""
    by_start: dict[int, list[Traffic]] = {}
    pod = ""
    for row in rows:
        pod = row.pod
        by_start.setdefault(floor(row.start_ms, length_ms), []).append(Traffic.from_wire(row.content))
    return [Summary(into, pod, start, together(found).to_wire()) for start, found in sorted(by_start.items())]


def of_pod(rows: Sequence[Summary], pod: str) -> list[Summary]:
    return [row for row in rows if row.pod == pod]


def floor(moment_ms: int, length_ms: int) -> int:
    return moment_ms - moment_ms % length_ms


def _ceiling(moment_ms: int) -> int:
    return floor(moment_ms + MINUTE_MS - 1, MINUTE_MS)

"""Which summaries cover a window: each moment once."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.sight import periods
from proxy.control.sight.periods import DAY_MS, HOUR_MS, MINUTE_MS, begin_of, parts
from proxy.control.sight.traffic import Traffic
from proxy.store.summaries import KEPT_MS, Period, Summary

GRAIN_MS = {Period.SECOND: 1, Period.MINUTE: MINUTE_MS, Period.HOUR: HOUR_MS}


@given(
    now_ms=st.integers(10**12, 2 * 10**12),
    window_ms=st.one_of(st.integers(1, 20 * MINUTE_MS), st.integers(1, 30 * DAY_MS)),
)
def test_parts_cover_the_window_once_and_are_still_kept(now_ms, window_ms):
    since_ms = begin_of(window_ms, now_ms)
    found = parts(since_ms, now_ms)
    assert found[0][1] == since_ms
    assert found[-1][2] == now_ms + 1
    assert all(first[2] == second[1] for first, second in pairwise(found))
    for period, start, end in found:
        assert start < end
        assert now_ms - start <= KEPT_MS[period]
        assert start % GRAIN_MS[period] == 0
        # A coarse summary that is not whole yet would be a gap.
        assert end % GRAIN_MS[period] == 0 or period is Period.SECOND
    assert window_ms <= now_ms - since_ms < window_ms + HOUR_MS


@pytest.mark.parametrize("window_ms", [1000, 15 * MINUTE_MS])
def test_short_windows_begin_where_they_say(window_ms):
    assert begin_of(window_ms, 10**12 + 123) == 10**12 + 123 - window_ms


def test_rolled_up_seconds_stand_at_the_begin_of_their_minute():
    rows = [
        Summary(Period.SECOND, "a", start, Traffic(1.0).to_wire())
        for start in (MINUTE_MS, 2 * MINUTE_MS - 1, 2 * MINUTE_MS)
    ]
    minutes = periods.rolled(rows, Period.MINUTE, MINUTE_MS)
    assert [(row.period, row.pod, row.start_ms) for row in minutes] == [
        (Period.MINUTE, "a", MINUTE_MS),
        (Period.MINUTE, "a", 2 * MINUTE_MS),
    ]
    assert [Traffic.from_wire(row.content).seconds for row in minutes] == [2.0, 1.0]

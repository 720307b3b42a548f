"""Failures of a target -> whether it is left out for a while. Pure; `Cluster` keeps the state."""

from collections import deque
from typing import Final

# A target that fails again each time it comes back is left out for longer, up to so many times as long.
_MOST_REPEATS: Final = 10


class Streak:
    """Failures in a row, as far as they lie close together."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def add(self, now: float, count: int, window_seconds: float) -> bool:
        """True when this failure is the last of `count` within the window."""
        times = self._times
        times.append(now)
        while len(times) > count or times[0] < now - window_seconds:
            times.popleft()
        return len(times) == count

    def clear(self) -> None:
        self._times.clear()


def may_eject(ejected_count: int, target_count: int, maximum_percent: float) -> bool:
    """Whether one more may be left out: never more than this share, so one of two, and none of one."""
    return (ejected_count + 1) * 100 <= maximum_percent * target_count


def ejection_seconds(seconds: float, repeats: int) -> float:
    """`repeats`: how often in a row it has been left out, this time included."""
    return seconds * min(repeats, _MOST_REPEATS)


def usable(are_well: list[bool]) -> list[bool]:
    """Who may be asked: those that are well. When nobody is, everybody: a check that is wrong about all of
    them must not turn a disturbance into an outage."""
    return are_well if any(are_well) else [True] * len(are_well)

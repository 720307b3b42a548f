"""Weights and loads -> which target is next. Pure; `Cluster` keeps the state."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

# Points of one unit of weight on the ring: shares stray from the weights by about 1 / sqrt(points) = 8 %.
_POINTS_PER_WEIGHT: Final = 160
# Making more would hold the loop for longer than 10 ms.
_MOST_POINTS: Final = 16_384
_POINT_BYTES: Final = 4
_POINTS_PER_DIGEST: Final = 16


def schedule(weights: Sequence[int]) -> list[int]:
    """One round of weighted round robin, as indexes: each as often as its weight, at even distances.

    Made when the targets change, so that a pick is one step in a list. Cost: sorting as many places as the
    weights' sum without their common divisor; 8 ms for 256 targets of any weights to 100.
    """
    count = len(weights)
    divisor = math.gcd(*weights)
    places = [
        ((turn + (index + 1) / (count + 1)) * divisor / weight, index)
        for index, weight in enumerate(weights)
        for turn in range(weight // divisor)
    ]
    return [index for _, index in sorted(places)]


def least_loaded(loads: Sequence[int], weights: Sequence[int], start: int) -> int:
    """The index with the smallest share of load by weight. Among equals the first from `start` on, so that
    idle targets take turns."""
    count = len(loads)
    best = start % count
    for step in range(1, count):
        index = (start + step) % count
        if (loads[index] + 1) * weights[best] < (loads[best] + 1) * weights[index]:
            best = index
    return best


def hash_of(text: str) -> int:
    """The same in every process and at every start, unlike `hash`. 0.7 us."""
    return int.from_bytes(blake2b(text.encode(), digest_size=_POINT_BYTES).digest())


class Ring:
    """Consistent hashing: who comes or goes takes or leaves only its own share of the clients."""

    __slots__ = ("_owners", "_points")

    def __init__(self, members: Sequence[tuple[str, int]]) -> None:
        """`members`: (name, weight). Two points at the same place: the name that sorts first has it, in
        whatever order they were given."""
        per_weight = points_per_weight(sum(weight for _, weight in members))
        found = sorted(
            (point, name, index)
            for index, (name, weight) in enumerate(members)
            for point in _points(name, weight * per_weight)
        )
        self._points = [point for point, _, _ in found]
        self._owners = [index for _, _, index in found]

    def find(self, place: int, allowed: Sequence[bool]) -> int | None:
        """The first allowed member from `place` on; None when none is."""
        points, owners = self._points, self._owners
        count = len(points)
        start = bisect_left(points, place)
        for step in range(count):
            index = owners[(start + step) % count]
            if allowed[index]:
                return index
        return None


def points_per_weight(total_weight: int) -> int:
    """Halved until all fit, and so seldom another one when a member comes or goes: that moves clients of
    everybody."""
    points = _POINTS_PER_WEIGHT
    while points > 1 and points * total_weight > _MOST_POINTS:
        points //= 2
    return points


def _points(name: str, count: int) -> set[int]:
    found: list[int] = []
    for number in range(math.ceil(count / _POINTS_PER_DIGEST)):
        digest = blake2b(f"{name} {number}".encode()).digest()
        found += [
            int.from_bytes(digest[at : at + _POINT_BYTES]) for at in range(0, len(digest), _POINT_BYTES)
        ]
    return set(found[:count])

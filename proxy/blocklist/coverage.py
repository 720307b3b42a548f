"""What lists cover of IPv4, as sets: sizes, what changed, what two sources share. Never on the request path.

Counts are of listed addresses: an allow or a known-good entry takes nothing away here. For people /24s are
counted too, because one network of a cloud provider outnumbers every address that was ever seen to attack.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, collapse_addresses
from typing import Any

from pyroaring import BitMap

from fastmatch._native import Blocklist
from proxy.blocklist.batch import NUMBERS

_MAXIMUM_SOURCES = 64


@dataclass(frozen=True, slots=True)
class Size:
    addresses: int
    networks24: int

    def to_json(self) -> dict[str, int]:
        return {"addresses": self.addresses, "networks24": self.networks24}


@dataclass(frozen=True, slots=True)
class Change:
    before: Size
    after: Size
    added: Size
    removed: Size

    def to_json(self) -> dict[str, dict[str, int]]:
        return {
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "newly_covered": self.added.to_json(),
            "no_longer_covered": self.removed.to_json(),
        }


@dataclass(frozen=True, slots=True)
class SourceCoverage:
    """`alone`: addresses that no other source has."""

    source: str
    covered: Size
    alone: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Addresses that two sources both have; `jaccard` is their share of what either has."""

    first: str
    second: str
    shared: Size
    jaccard: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """Pairs that share anything, the largest first. `left_out`: sources beyond the 64 largest."""

    total: Size
    sources: tuple[SourceCoverage, ...]
    pairs: tuple[Pair, ...]
    left_out: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "total": self.total.to_json(),
            "sources": [
                {"source": item.source, **item.covered.to_json(), "alone": item.alone}
                for item in self.sources
            ],
            "pairs": [
                {
                    "first": pair.first,
                    "second": pair.second,
                    **pair.shared.to_json(),
                    "jaccard": round(pair.jaccard, 4),
                }
                for pair in self.pairs
            ],
            "left_out": self.left_out,
        }


def covered(blocklist: Blocklist, *, source: str | None = None, minimum_score: float = 0.0) -> BitMap:
    """The addresses that live blocks list. Raises LookupError without evidence."""
    return bitmap(pairs(blocklist.ipv4_ranges(source=source, minimum_score=minimum_score)))


def pairs(ranges: bytes) -> array[int]:
    """first, last, first, last... as `ipv4_ranges` gives them."""
    numbers = array(NUMBERS)
    numbers.frombytes(ranges)
    return numbers


def bitmap(numbers: array[int]) -> BitMap:
    """Single addresses go in at once: a million calls for a million of them would take a second."""
    singles = array(NUMBERS)
    made = BitMap()
    for first, last in zip(numbers[0::2], numbers[1::2], strict=True):
        if first == last:
            singles.append(first)
        else:
            made.add_range(first, last + 1)
    made |= BitMap(singles)
    return made


def address_count(numbers: array[int]) -> int:
    return sum(numbers[1::2]) - sum(numbers[0::2]) + len(numbers) // 2


def within(numbers: array[int], networks: Iterable[IPv4Network]) -> int:
    """How many addresses of the networks the ranges cover. The networks may overlap."""
    ranges = range(len(numbers) // 2)
    count = 0
    for network in collapse_addresses(networks):
        low, high = int(network.network_address), int(network.broadcast_address)
        index = bisect_left(ranges, low, key=lambda place: numbers[2 * place + 1])
        while index < len(ranges) and numbers[2 * index] <= high:
            count += min(numbers[2 * index + 1], high) - max(numbers[2 * index], low) + 1
            index += 1
    return count


def size(addresses: BitMap) -> Size:
    return Size(len(addresses), networks24(addresses))


def networks24(addresses: BitMap) -> int:
    """How many /24s have at least one of the addresses: from one to the first beyond its /24."""
    count, start = 0, 0
    while True:
        try:
            found = addresses.next_set_bit(start)
        except ValueError:
            return count
        first24 = found >> 8
        # A whole /16 at once where it is full, or a large network would take a step for each of its /24s.
        if found & 0xFFFF == 0 and addresses.contains_range(found, found + 0x10000):
            count += 256
            start = found + 0x10000
        else:
            count += 1
            start = (first24 + 1) << 8
        if start > 0xFFFFFFFF:
            return count


def change(before: BitMap, after: BitMap) -> Change:
    return Change(size(before), size(after), size(after - before), size(before - after))


def sources_of(blocklist: Blocklist) -> tuple[str, ...]:
    """Of its blocks, sorted."""
    named = (verdict for verdict in blocklist.verdicts if verdict.disposition == "block")
    return tuple(sorted({source for verdict in named for source in verdict.sources}))


def overlap(blocklist: Blocklist, minimum_score: float = 0.0) -> Overlap:
    """Of every source's own statements. Raises LookupError without evidence."""
    by_source = {
        source: covered(blocklist, source=source, minimum_score=minimum_score)
        for source in sources_of(blocklist)
    }
    largest = sorted((name for name in by_source if by_source[name]), key=lambda name: -len(by_source[name]))
    names, left_out = largest[:_MAXIMUM_SOURCES], largest[_MAXIMUM_SOURCES:]
    total, repeated = BitMap(), BitMap()
    for found in by_source.values():
        repeated |= total & found
        total |= found
    alone = total - repeated
    shared = [
        _pair(first, second, by_source[first], by_source[second])
        for index, first in enumerate(names)
        for second in names[index + 1 :]
        if by_source[first].intersect(by_source[second])
    ]
    return Overlap(
        total=size(total),
        sources=tuple(
            SourceCoverage(name, size(by_source[name]), alone.intersection_cardinality(by_source[name]))
            for name in names
        ),
        pairs=tuple(sorted(shared, key=lambda pair: -pair.shared.addresses)),
        left_out=tuple(left_out),
    )


def _pair(first: str, second: str, one: BitMap, other: BitMap) -> Pair:
    common = one & other
    return Pair(first, second, size(common), len(common) / (len(one) + len(other) - len(common)))

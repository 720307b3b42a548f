"""Many subjects in one call -> (position, verdict) of those that a list knows."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from fastmatch._native import Blocklist, Verdict

# The width of array("I") is the machine's; the lookups take 4 bytes.
NUMBERS = next(code for code in "IL" if array(code).itemsize == 4)


def of_ipv4(blocklist: Blocklist, numbers: array[int]) -> Iterator[tuple[int, Verdict]]:
    out = _places(len(numbers))
    blocklist.lookup_ipv4_batch(numbers, out)
    return _known(blocklist, out)


def of_ipv6(blocklist: Blocklist, addresses: bytearray) -> Iterator[tuple[int, Verdict]]:
    """16 bytes each, in network order."""
    out = _places(len(addresses) // 16)
    blocklist.lookup_ipv6_batch(addresses, out)
    return _known(blocklist, out)


def of_names(blocklist: Blocklist, names: Sequence[str]) -> Iterator[tuple[int, Verdict]]:
    out = _places(len(names))
    blocklist.lookup_domain_batch(names, out)
    return _known(blocklist, out)


def _places(count: int) -> array[int]:
    return array(NUMBERS, bytes(4 * count))


def _known(blocklist: Blocklist, out: array[int]) -> Iterator[tuple[int, Verdict]]:
    """What is no domain has a position beyond the last: no list of names can hold it."""
    verdicts = blocklist.verdicts
    last = len(verdicts)
    return ((index, verdicts[found - 1]) for index, found in enumerate(out) if 0 < found <= last)

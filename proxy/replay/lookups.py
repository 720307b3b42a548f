"""Many subjects -> (position, verdict) of those that a list knows."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

from fastmatch._native import Blocklist, Verdict

# The width of array("I") is the machine's; the lookups take 4 bytes.
NUMBERS = next(code for code in "IL" if array(code).itemsize == 4)


def of_ipv4(blocklist: Blocklist, numbers: array[int]) -> Iterator[tuple[int, Verdict]]:
    return _known(blocklist.lookup(number) for number in numbers)


def of_ipv6(blocklist: Blocklist, addresses: bytearray) -> Iterator[tuple[int, Verdict]]:
    """16 bytes each, in network order."""
    each = (bytes(addresses[start : start + 16]) for start in range(0, len(addresses), 16))
    return _known(blocklist.lookup(address) for address in each)


def of_names(blocklist: Blocklist, names: Sequence[str]) -> Iterator[tuple[int, Verdict]]:
    """A list of names cannot hold what is no domain."""
    return _known(_name(blocklist, name) for name in names)


def _name(blocklist: Blocklist, name: str) -> Verdict | None:
    try:
        return blocklist.lookup_domain(name)
    except ValueError:
        return None


def _known(verdicts: Iterable[Verdict | None]) -> Iterator[tuple[int, Verdict]]:
    return ((index, verdict) for index, verdict in enumerate(verdicts) if verdict is not None)

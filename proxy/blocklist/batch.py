"""Clients and hosts of many requests -> what the lists say, in one call for each kind of subject."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fastmatch._native import Blocklist, Verdict
from proxy.blocklist.addresses import packed, shown, without_port

# The width of array("I") is the machine's; the lookups take 4 bytes.
NUMBERS = next(code for code in "IL" if array(code).itemsize == 4)


@dataclass(frozen=True, slots=True)
class Known:
    """A subject that a list knows. `subject`: client or host; `name` is what was judged."""

    request: int
    subject: str
    name: str
    verdict: Verdict


@dataclass(slots=True)
class Batch:
    """Requests are numbered in the order in which they were added. May be judged several times."""

    requests: int = 0
    _ipv4: list[tuple[int, str]] = field(default_factory=list)
    _ipv4_numbers: array[int] = field(default_factory=lambda: array(NUMBERS))
    _ipv6: list[tuple[int, str]] = field(default_factory=list)
    _ipv6_bytes: bytearray = field(default_factory=bytearray)
    _names: list[str] = field(default_factory=list)
    _named_requests: list[int] = field(default_factory=list)

    def add(self, client: bytes | None, *hosts: str) -> None:
        """One request; what it does not have is not judged."""
        if client is not None:
            self._add_address(client, "client")
        for host in hosts:
            name = without_port(host)
            # Only a name that ends in a number, or has a colon, can be an address.
            address = packed(name) if name[-1:].isdigit() or ":" in name else None
            if address is not None:
                self._add_address(address, "host")
            elif name:
                self._names.append(name)
                self._named_requests.append(self.requests)
        self.requests += 1

    def judge(self, blocklist: Blocklist) -> list[Known]:
        known: list[Known] = []
        for index, verdict in _of_ipv4(blocklist, self._ipv4_numbers):
            name = shown(self._ipv4_numbers[index].to_bytes(4, "big"))
            known.append(Known(*self._ipv4[index], name, verdict))
        for index, verdict in _of_ipv6(blocklist, self._ipv6_bytes):
            name = shown(bytes(self._ipv6_bytes[16 * index : 16 * index + 16]))
            known.append(Known(*self._ipv6[index], name, verdict))
        for index, verdict in _of_names(blocklist, self._names):
            known.append(Known(self._named_requests[index], "host", self._names[index], verdict))
        return known

    def _add_address(self, address: bytes, subject: str) -> None:
        if len(address) == 4:
            self._ipv4.append((self.requests, subject))
            self._ipv4_numbers.append(int.from_bytes(address, "big"))
        else:
            self._ipv6.append((self.requests, subject))
            self._ipv6_bytes += address


def strongest_blocks(known: Sequence[Known]) -> dict[int, Known]:
    """Per request the strongest block that remains: an allow cancels blocks on its own subject only.

    A subject has one verdict, which is an allow or a block; so an allow just does not count.
    """
    strongest: dict[int, Known] = {}
    for item in known:
        if item.verdict.disposition != "block":
            continue
        before = strongest.get(item.request)
        if before is None or item.verdict.score > before.verdict.score:
            strongest[item.request] = item
    return strongest


def denied(known: Sequence[Known], block_score: float) -> dict[int, Known]:
    """The requests that would be denied. Scores are tenths."""
    return {
        request: item
        for request, item in strongest_blocks(known).items()
        if round(item.verdict.score, 1) >= block_score
    }


def _of_ipv4(blocklist: Blocklist, numbers: array[int]) -> Iterator[tuple[int, Verdict]]:
    out = _places(len(numbers))
    blocklist.lookup_ipv4_batch(numbers, out)
    return _found(blocklist, out)


def _of_ipv6(blocklist: Blocklist, addresses: bytearray) -> Iterator[tuple[int, Verdict]]:
    """16 bytes each, in network order."""
    out = _places(len(addresses) // 16)
    blocklist.lookup_ipv6_batch(addresses, out)
    return _found(blocklist, out)


def _of_names(blocklist: Blocklist, names: Sequence[str]) -> Iterator[tuple[int, Verdict]]:
    out = _places(len(names))
    blocklist.lookup_domain_batch(names, out)
    return _found(blocklist, out)


def _places(count: int) -> array[int]:
    return array(NUMBERS, bytes(4 * count))


def _found(blocklist: Blocklist, out: array[int]) -> Iterator[tuple[int, Verdict]]:
    """What is no domain has a position beyond the last: no list of names can hold it."""
    verdicts = blocklist.verdicts
    last = len(verdicts)
    return ((index, verdicts[place - 1]) for index, place in enumerate(out) if 0 < place <= last)

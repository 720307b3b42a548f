"""Requests of an access log, some thousands at a time -> which of them the lists would have denied."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from fastmatch._native import Blocklist, Verdict
from proxy.replay import lookups
from proxy.replay.subjects import packed, shown, without_port

BATCH_COUNT = 8192


@dataclass(frozen=True, slots=True)
class Denial:
    """`subject`: client or host; `name` is what was judged."""

    request: int
    subject: str
    name: str
    verdict: Verdict


@dataclass(slots=True)
class Batch:
    """Clients and hosts of requests, in the form that the lookups take."""

    requests: int = 0
    _ipv4: list[tuple[int, str]] = field(default_factory=list)
    _ipv4_numbers: array[int] = field(default_factory=lambda: array(lookups.NUMBERS))
    _ipv6: list[tuple[int, str]] = field(default_factory=list)
    _ipv6_bytes: bytearray = field(default_factory=bytearray)
    _names: list[str] = field(default_factory=list)
    _named_requests: list[int] = field(default_factory=list)

    def add(self, client: bytes | None, host: str) -> None:
        """One request; what it does not have is not judged."""
        if client is not None:
            self._add_address(client, "client")
        if host:
            name = without_port(host)
            # Only a name that ends in a number, or has a colon, can be an address.
            address = packed(name) if name[-1:].isdigit() or ":" in name else None
            if address is not None:
                self._add_address(address, "host")
            else:
                self._names.append(name)
                self._named_requests.append(self.requests)
        self.requests += 1

    def judge(self, blocklist: Blocklist) -> list[tuple[int, str, str, Verdict]]:
        """(request, subject, name, verdict) of each subject that a list knows."""
        known: list[tuple[int, str, str, Verdict]] = []
        for index, verdict in lookups.of_ipv4(blocklist, self._ipv4_numbers):
            name = shown(self._ipv4_numbers[index].to_bytes(4, "big"))
            known.append((*self._ipv4[index], name, verdict))
        for index, verdict in lookups.of_ipv6(blocklist, self._ipv6_bytes):
            name = shown(bytes(self._ipv6_bytes[16 * index : 16 * index + 16]))
            known.append((*self._ipv6[index], name, verdict))
        for index, verdict in lookups.of_names(blocklist, self._names):
            known.append((self._named_requests[index], "host", self._names[index], verdict))
        return known

    def _add_address(self, address: bytes, subject: str) -> None:
        if len(address) == 4:
            self._ipv4.append((self.requests, subject))
            self._ipv4_numbers.append(int.from_bytes(address, "big"))
        else:
            self._ipv6.append((self.requests, subject))
            self._ipv6_bytes += address


def decide(known: Sequence[tuple[int, str, str, Verdict]]) -> dict[int, Denial]:
    """Per request the strongest block that remains: an allow cancels blocks on its own subject only.

    A subject has one verdict, which is an allow or a block; so an allow just does not count.
    """
    strongest: dict[int, Denial] = {}
    for request, subject, name, verdict in known:
        if verdict.disposition != "block":
            continue
        before = strongest.get(request)
        if before is None or verdict.score > before.verdict.score:
            strongest[request] = Denial(request, subject, name, verdict)
    return strongest

"""An access log, read once from end to end -> a report, in memory that does not grow with it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fastmatch._native import Blocklist
from proxy.blocklist.addresses import shown, without_port
from proxy.blocklist.batch import Batch, denied
from proxy.replay import moments
from proxy.replay.counts import TopCounts
from proxy.replay.formats import Reader
from proxy.replay.subjects import Clients

BATCH_COUNT = 8192
# No name or address is longer, with its port; a log may hold 64 KB of it in each of a batch's lines.
_HOST_CHARACTERS = 300
_UNREADABLE_KEPT = 5
_UNREADABLE_CHARACTERS = 200
_NOT_READ = "not a line of this format"
_TOO_LONG = "longer than 65,536 bytes"


@dataclass(slots=True)
class Report:
    """`known_count`: requests that a list knows, but not with a block of `block_score` or more."""

    block_score: float
    request_count: int = 0
    denied_count: int = 0
    known_count: int = 0
    without_client_count: int = 0
    unreadable_count: int = 0
    unreadable: list[tuple[int, str, str]] = field(default_factory=list)
    first: float | None = None
    last: float | None = None
    by_source: Counter[str] = field(default_factory=Counter)
    by_category: Counter[str] = field(default_factory=Counter)
    by_score: Counter[float] = field(default_factory=Counter)
    by_subject: Counter[str] = field(default_factory=Counter)
    addresses: TopCounts = field(default_factory=TopCounts)
    hosts: TopCounts = field(default_factory=TopCounts)

    def to_json(self, top_count: int) -> dict[str, Any]:
        return {
            "block_score": self.block_score,
            "requests": self.request_count,
            "would_deny": self.denied_count,
            "known_below": self.known_count,
            "without_client": self.without_client_count,
            "first": self.first,
            "last": self.last,
            "by_source": dict(self.by_source.most_common()),
            "by_category": dict(self.by_category.most_common()),
            "by_score": {f"{score:g}": count for score, count in sorted(self.by_score.items(), reverse=True)},
            "by_subject": dict(self.by_subject.most_common()),
            "top_addresses": _top_json(self.addresses, top_count),
            "top_hosts": _top_json(self.hosts, top_count),
            "unreadable": {
                "count": self.unreadable_count,
                "first": [
                    {"line": line, "text": text, "reason": reason} for line, text, reason in self.unreadable
                ],
            },
        }


class Replay:
    """Feeds lines to the lists. `report` is right whenever `run` is not inside."""

    def __init__(self, blocklist: Blocklist, reader: Reader, clients: Clients, block_score: float) -> None:
        self.report = Report(block_score)
        self._blocklist = blocklist
        self._reader = reader
        self._clients = clients
        self._batch = Batch()
        # Of each request in the batch: client, or what it wrote instead, and host.
        self._asked: list[tuple[str, str]] = []
        self._last_time: str | float = ""

    def run(self, lines: Iterable[bytes | None]) -> None:
        try:
            for number, line in enumerate(lines, 1):
                if line is None:
                    self._unreadable(number, "", _TOO_LONG)
                elif line:
                    self._take(number, line)
        finally:
            self._judge()

    def _take(self, number: int, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        asked = self._reader(text)
        if asked is None:
            self._unreadable(number, text, _NOT_READ)
            return
        client = self._clients.of(asked)
        if client is None:
            self.report.without_client_count += 1
        host = asked.host[:_HOST_CHARACTERS]
        self._batch.add(client, host)
        self._asked.append(("" if client is None else shown(client), host))
        # A log has many lines in one second.
        if asked.time != self._last_time:
            self._last_time = asked.time
            self._note_time(moments.seconds(asked.time))
        if self._batch.requests >= BATCH_COUNT:
            self._judge()

    def _judge(self) -> None:
        report, batch, asked = self.report, self._batch, self._asked
        self._batch, self._asked = Batch(), []
        known = batch.judge(self._blocklist)
        denials = denied(known, report.block_score)
        for request, denial in denials.items():
            report.by_source.update(denial.verdict.sources)
            report.by_category.update(denial.verdict.categories)
            report.by_score[round(denial.verdict.score, 1)] += 1
            report.by_subject[denial.subject] += 1
            client, host = asked[request]
            if client:
                report.addresses.add(client)
            if host:
                report.hosts.add(without_port(host).lower())
        report.request_count += batch.requests
        report.denied_count += len(denials)
        report.known_count += len({item.request for item in known}) - len(denials)

    def _note_time(self, moment: float | None) -> None:
        report = self.report
        if moment is None:
            return
        report.first = moment if report.first is None else min(report.first, moment)
        report.last = moment if report.last is None else max(report.last, moment)

    def _unreadable(self, number: int, text: str, reason: str) -> None:
        self.report.unreadable_count += 1
        if len(self.report.unreadable) < _UNREADABLE_KEPT:
            self.report.unreadable.append((number, text[:_UNREADABLE_CHARACTERS], reason))


def _top_json(counts: TopCounts, top_count: int) -> dict[str, Any]:
    return {
        "differ": len(counts),
        "exact": counts.is_exact,
        "top": [{"name": name, "requests": count} for name, count in counts.top(top_count)],
    }

"""Packed entries and list texts -> files; files -> a list; an overlay above a list; both folded into one."""

import gc
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from bench import entries, lists
from bench.lists import MILLION, TEN_MILLION
from bench.peers import matchers, mmdb
from bench.report import Report, Row
from bench.statistics import median_with_interval, ratio_of_rounds
from bench.timing import pin_to_subject_core
from fastmatch import Blocklist, Builder, Entry, pack_entries

_FACTORS = {"seconds": (1.0, "s"), "milliseconds": (1e3, "ms"), "microseconds": (1e6, "us")}
_OVERLAY_COUNTS = (1, 100, 4096)
# The median of these, as they are short enough for an interruption to fill them.
_REPEATS = 9
_SLOW_WRITER_COUNT = 20_000


@dataclass(slots=True)
class Case:
    """What `work` returns is dropped after the clock has stopped; a value is the median of `repeats`."""

    subject: str
    name: str
    metric: str
    work: Callable[[], object]
    repeats: int = 1
    values: list[float] = field(default_factory=list)
    cpu_values: list[float] = field(default_factory=list)

    def measure(self) -> None:
        found = sorted(self._once() for _ in range(self.repeats))
        wall, cpu = found[len(found) // 2]
        self.values.append(wall * _FACTORS[self.metric][0])
        self.cpu_values.append(cpu)

    def _once(self) -> tuple[float, float]:
        started, used = perf_counter(), process_time()
        result = self.work()
        taken = perf_counter() - started, process_time() - used
        del result
        return taken


def run(*, is_quick: bool) -> Report:
    rounds = 3 if is_quick else 10
    report = Report(
        "build",
        {
            "rounds": rounds,
            "mixed": "six in ten IPv4 hosts, one IPv4 networks, one IPv6, two domains; five sources",
            "to files": "decision and evidence, synced and renamed",
            "peers": "given texts that are already lines; those without rounds ran once",
        },
    )
    pin_to_subject_core()
    with tempfile.TemporaryDirectory(prefix="sentra-bench-") as name:
        folder = Path(name)
        once, again = cases_of(folder)
        # What the cases hold is not garbage: collections over it would be measured as building.
        gc.collect()
        gc.freeze()
        for case in once:
            case.measure()
        for _ in range(rounds):
            for case in again:
                case.measure()
    add_rows(report, (*again, *once))
    return report


def cases_of(folder: Path) -> tuple[list[Case], list[Case]]:
    """(cases of one run, cases of all rounds)."""
    mixed = entries.mixed_lists(MILLION)
    addresses = entries.seeded_addresses(TEN_MILLION)
    open_cases = _open_cases(folder, addresses)
    del addresses[MILLION:]
    texts = [entries.dotted(address) for address in addresses]
    text = "\n".join(texts).encode("ascii")
    hosts = [entries.ListText("bench", text, 8.0)]
    again = [
        Case("sentra", "packed_1e6", "seconds", partial(from_packed, packed(mixed), folder)),
        Case("sentra", "text_1e6", "seconds", partial(from_texts, mixed, folder)),
        Case("sentra", "ipv4_hosts_1e6", "seconds", partial(from_texts, hosts, folder)),
        Case("pytricia", "ipv4_hosts_1e6", "seconds", partial(matchers.pytricia, texts)),
        Case("py-radix", "ipv4_hosts_1e6", "seconds", partial(matchers.radix, texts)),
        Case("set", "ipv4_hosts_1e6", "seconds", partial(matchers.address_set, texts)),
        Case("pyroaring", "ipv4_hosts_1e6", "seconds", partial(matchers.roaring, addresses)),
        *open_cases,
        *_overlay_cases(folder, mixed),
    ]
    few = texts[:_SLOW_WRITER_COUNT]
    once = [
        Case("mmdb-writer", "ipv4_hosts_2e4", "seconds", partial(mmdb_writer, few, folder / "few.mmdb")),
        Case(
            "bench-mmdb",
            "ipv4_hosts_1e6",
            "seconds",
            partial(mmdb.write, folder / "own.mmdb", addresses, {"score": 8}),
        ),
    ]
    return once, again


def _open_cases(folder: Path, addresses: Sequence[int]) -> list[Case]:
    lists.open_list(folder, "ten-million", lists.address_texts(addresses))
    decision = str(lists.decision_file(folder, "ten-million"))
    return [
        Case("sentra", name, "milliseconds", work, _REPEATS)
        for name, work in (
            ("open_1e7", partial(Blocklist.open, decision)),
            ("open_verified_1e7", partial(Blocklist.open, decision, verify=True)),
            ("open_unread_1e7", partial(Blocklist.open, decision, prefault=False)),
        )
    ]


def _overlay_cases(folder: Path, mixed: Sequence[entries.ListText]) -> list[Case]:
    """Operators' entries above a million; and both made into one base again."""
    builder = builder_of(mixed)
    decision, evidence = lists.decision_file(folder, "base"), lists.evidence_file(folder, "base")
    builder.write(str(decision), str(evidence), epoch=1, sequence=1)
    base = Blocklist.open(str(decision), str(evidence))
    overlays = {count: pack_entries(_operators_entries(count)) for count in _OVERLAY_COUNTS}
    cases = [
        Case(
            "sentra",
            f"overlay_{count}",
            "microseconds",
            partial(base.with_overlay, content, sequence=2),
            _REPEATS,
        )
        for count, content in overlays.items()
    ]
    above = base.with_overlay(overlays[max(overlays)], sequence=2)
    return [*cases, Case("sentra", "fold_1e6", "seconds", partial(folded, above, folder))]


def _operators_entries(count: int) -> list[Entry]:
    """Half addresses, half names, with sources and reasons."""
    targets = (
        *map(entries.dotted, entries.seeded_addresses(count - count // 2, seed=31)),
        *islice(entries.seeded_domains(max(1, count // 2), seed=32), count // 2),
    )
    return [
        Entry(target, score=9.0, origin="operator", sources=("bench",), reason="seen in the logs")
        for target in targets
    ]


# ---------------------------------------------------------------- what is measured


def builder_of(parts: Sequence[entries.ListText]) -> Builder:
    builder = Builder()
    for part in parts:
        lists.add_text(builder, part.text, source=part.source, score=part.score)
    return builder


def packed(parts: Sequence[entries.ListText]) -> bytes:
    return builder_of(parts).pack()


def from_packed(content: bytes, folder: Path) -> None:
    builder = Builder()
    builder.add_packed(content, limit_entries=2 * MILLION)
    _write(builder, folder)


def from_texts(parts: Sequence[entries.ListText], folder: Path) -> None:
    _write(builder_of(parts), folder)


def folded(blocklist: Blocklist, folder: Path) -> None:
    builder = Builder()
    builder.add_list(blocklist)
    _write(builder, folder)


def _write(builder: Builder, folder: Path) -> None:
    decision, evidence = lists.decision_file(folder, "built"), lists.evidence_file(folder, "built")
    builder.write(str(decision), str(evidence), epoch=1, sequence=1)


def mmdb_writer(texts: Sequence[str], path: Path) -> None:
    """As its documentation shows it: networks as an IPSet."""
    writer: Any = matchers.package("mmdb_writer").MMDBWriter(4, "bench", languages=["en"])
    writer.insert_network(matchers.package("netaddr").IPSet(texts), {"score": matchers.SCORE})
    writer.to_db_file(str(path))


# ---------------------------------------------------------------- report


def add_rows(report: Report, cases: Sequence[Case]) -> None:
    ours = {case.name: case.values for case in cases if case.subject == "sentra"}
    for case in cases:
        middle = median_with_interval(case.values)
        low, high = (middle.low, middle.high) if len(case.values) > 1 else (None, None)
        unit = _FACTORS[case.metric][1]
        report.rows.append(Row(case.subject, case.metric, middle.value, unit, case.name, low, high))
        if case.metric == "seconds" and len(case.values) > 1:
            middle = median_with_interval(case.cpu_values)
            row = Row(case.subject, "cpu_seconds", middle.value, "s", case.name, middle.low, middle.high)
            report.rows.append(row)
        if case.subject != "sentra" and len(case.values) == len(ours.get(case.name, ())):
            ratio = ratio_of_rounds(ours[case.name], case.values)
            report.ratios[f"build.{case.metric}.{case.name}.vs_{case.subject}"] = ratio

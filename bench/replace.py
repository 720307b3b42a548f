"""A million entries replaced by a million others while a worker serves: what its loop and clients notice."""

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bench import entries
from bench.harness import Subject
from bench.load import Load, run_wrk
from bench.peers.sentra import BLOCKED_HOST
from bench.probe import Probe, Waits
from bench.processes import NotReadyError, cores
from bench.report import Report, Row
from bench.stage import ENTRY_COUNT, Stage, stage
from bench.statistics import median_with_interval, ratio_of_rounds

CONNECTIONS = 8
_SETTINGS = "[blocklist]\nreload_seconds = 0.1\n"
_INSTALLED = b'"event":"list_installed"'
_WATCHED = re.compile(rb'"event":"list_swap_watched".*?"longest_turn_ms":([\d.]+)')
_LOOK_SECONDS = 0.05
_SETTLE_SECONDS = 60.0
_OTHER_SEED = 41


@dataclass(slots=True)
class Phase:
    """What one kind of round has given."""

    name: str
    loads: list[Load] = field(default_factory=list)
    waits: list[Waits] = field(default_factory=list)
    replacement_count: int = 0
    watched_ms: list[float] = field(default_factory=list)


def run(*, is_quick: bool) -> Report:
    rounds, seconds = (3, 4) if is_quick else (10, 8)
    report = Report(
        "replace",
        {
            "rounds": rounds,
            "seconds": seconds,
            "connections": CONNECTIONS,
            "entries": ENTRY_COUNT,
            "replaced": "all of them, by as many others, again as soon as the worker has them",
        },
    )
    undisturbed, replacing = Phase("undisturbed"), Phase("replacing")
    with stage(report) as here:
        here.start_upstream()
        here.add_sentra(_work, settings=_SETTINGS)
        if not here.subjects:
            raise NotReadyError("; ".join(report.notes))
        subject, port = here.subjects[0], here.ports["sentra"]
        swapper = Swapper(here)
        with Probe(port, BLOCKED_HOST, worker_of(subject)) as probe, ThreadPoolExecutor(1) as background:
            # The thread of the load is there before this one goes first: it would inherit that.
            background.submit(subject.work, 1).result()
            _go_first()
            for _ in range(rounds):
                for phase, between in ((undisturbed, _nothing), (replacing, swapper.look)):
                    load = background.submit(subject.work, seconds)
                    phase.waits.append(_probe_until(probe, load.done, between))
                    phase.loads.append(load.result())
                    swapper.settle()
        replacing.replacement_count = swapper.installed_count()
        replacing.watched_ms = swapper.watched_ms()
    add_rows(report, undisturbed, replacing)
    return report


def _go_first() -> None:
    """This thread is on the load's core; while it waits, other work of the worker adds to its figures."""
    os.sched_setaffinity(0, {cores()[1]})
    with contextlib.suppress(PermissionError):  # root's only; without it the bound is wider
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -10)


def _work(port: int, seconds: int) -> Load:
    return run_wrk(f"http://127.0.0.1:{port}/", core=cores()[1], seconds=seconds, connections=CONNECTIONS)


def _nothing() -> None:
    pass


def _probe_until(probe: Probe, is_done: Callable[[], bool], between: Callable[[], None]) -> Waits:
    waits = Waits()
    next_look = 0.0
    while not is_done():
        probe.run(waits)
        if time.monotonic() >= next_look:
            between()
            next_look = time.monotonic() + _LOOK_SECONDS
    return waits


def worker_of(subject: Subject) -> int:
    """The only edge worker among the subject's processes, found by its command."""
    found = [
        number
        for number in subject.process.family()
        if b"proxy.edge" in Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    ]
    if len(found) != 1:
        raise NotReadyError(f"one worker was expected, found {found}")
    return found[0]


class Swapper:
    """Puts one list file in the place of the other, as soon as the worker has said that it has the last."""

    def __init__(self, here: Stage) -> None:
        self._place = here.addresses
        self._log = here.folder / "sentra.log"
        self._files = (here.folder / "first.txt", here.folder / "second.txt")
        self._files[0].write_bytes(self._place.read_bytes())
        self._files[1].write_bytes(
            entries.address_text(entries.seeded_addresses(ENTRY_COUNT, seed=_OTHER_SEED))
        )
        self._swap_count = 0
        self._installed_before = self._lines()

    def installed_count(self) -> int:
        return self._lines() - self._installed_before

    def look(self) -> None:
        if self.installed_count() < self._swap_count:
            return
        self._swap_count += 1
        aside = self._place.with_suffix(".aside")
        # A link with a new time: copying 14 MB would keep the probe from asking for longer than a turn lasts.
        aside.hardlink_to(self._files[self._swap_count % 2])
        os.utime(aside)
        aside.replace(self._place)

    def settle(self) -> None:
        """Until the worker has the last one."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while self.installed_count() < self._swap_count:
            if time.monotonic() > deadline:
                raise NotReadyError(f"a replaced list is not in force after {_SETTLE_SECONDS:g} s")
            time.sleep(_LOOK_SECONDS)

    def watched_ms(self) -> list[float]:
        """The longest turn of each watch that the worker keeps around its swaps; waits for the last."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            before, _, after = self._log.read_bytes().rpartition(_INSTALLED)
            if _WATCHED.search(after):
                return [float(number) for number in _WATCHED.findall(before + after)]
            if time.monotonic() > deadline:
                raise NotReadyError(f"no watch of a swap has ended after {_SETTLE_SECONDS:g} s")
            time.sleep(_LOOK_SECONDS)

    def _lines(self) -> int:
        return self._log.read_bytes().count(_INSTALLED)


def add_rows(report: Report, undisturbed: Phase, replacing: Phase) -> None:
    for phase in (undisturbed, replacing):
        columns: list[tuple[str, list[float]]] = [
            ("turn_cpu_ms_longest", [waits.longest_turn_ms() for waits in phase.waits]),
            ("probe_ms_longest", [max(waits.wall_ms) for waits in phase.waits]),
            ("probe_p99_ms", [_p99(waits.wall_ms) for waits in phase.waits]),
            ("p50_ms", [load.p50_ms for load in phase.loads]),
            ("p99_ms", [load.p99_ms for load in phase.loads]),
        ]
        for metric, values in columns:
            middle = median_with_interval(values)
            report.rows.append(Row("sentra", metric, middle.value, "ms", phase.name, middle.low, middle.high))
        report.rows.append(Row("sentra", "turn_cpu_ms_longest_of_all", max(columns[0][1]), "ms", phase.name))
        rates = median_with_interval([load.requests_per_second for load in phase.loads])
        report.rows.append(
            Row("sentra", "requests_per_second", rates.value, "1/s", phase.name, rates.low, rates.high)
        )
    watched = max(replacing.watched_ms)
    report.rows.append(Row("sentra", "turn_cpu_ms_longest_by_worker", watched, "ms", replacing.name))
    report.rows.append(Row("sentra", "replacements", replacing.replacement_count, "", replacing.name))
    report.ratios["replace.p99_ms.vs_undisturbed"] = ratio_of_rounds(
        [load.p99_ms for load in replacing.loads], [load.p99_ms for load in undisturbed.loads]
    )


def _p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))]

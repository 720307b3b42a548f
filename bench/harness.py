"""Subjects under the same load, interleaved over rounds -> rows and ratios.

A subject runs alone on one core, load and upstream on the other. A round measures each subject once, in an
order that rotates; what disturbs the machine for a while disturbs all of them. Cost is the CPU time of all of
a subject's processes over the requests it answered.
"""

import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.load import Load
from bench.processes import CpuTime, Process
from bench.report import Report, Row
from bench.statistics import median_with_interval, ratio_of_rounds

_CALL_COUNT = re.compile(r"^100\.00\s+[\d.]+\s+(?:[\d.]+\s+)?(\d+)", re.MULTILINE)
_WAITS = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+[\d.]+\s+(\d+)\s+(?:\d+\s+)?(epoll_\w*wait\w*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a bench takes."""

    rounds: int
    seconds: int
    warm_up_seconds: int = 1

    @classmethod
    def of(cls, *, is_quick: bool) -> "Pace":
        return cls(3, 1) if is_quick else cls(10, 3)


@dataclass(slots=True)
class Subject:
    """`work` runs the load once, with seconds, against this subject."""

    name: str
    process: Process
    work: Callable[[int], Load]
    loads: list[Load] = field(default_factory=list)
    costs: list[CpuTime] = field(default_factory=list)

    def measure(self, seconds: int) -> None:
        before = self.process.cpu_time()
        load = self.work(seconds)
        self.costs.append(self.process.cpu_time() - before)
        self.loads.append(load)

    def microseconds_per_request(self) -> list[float]:
        return [
            cost.total / load.request_count * 1e6 for cost, load in zip(self.costs, self.loads, strict=True)
        ]

    def user_microseconds_per_request(self) -> list[float]:
        return [
            cost.user / load.request_count * 1e6 for cost, load in zip(self.costs, self.loads, strict=True)
        ]


def run_rounds(subjects: Sequence[Subject], pace: Pace) -> None:
    """Warm every subject up, then measure in rotating order."""
    for subject in subjects:
        subject.work(pace.warm_up_seconds)
    for number in range(pace.rounds):
        first = number % len(subjects)
        for subject in (*subjects[first:], *subjects[:first]):
            subject.measure(pace.seconds)


def add_request_rows(report: Report, subjects: Sequence[Subject], case: str = "") -> None:
    for subject in subjects:
        columns: list[tuple[str, str, list[float]]] = [
            ("cpu_us_per_request", "us", subject.microseconds_per_request()),
            ("user_cpu_us_per_request", "us", subject.user_microseconds_per_request()),
            ("requests_per_second", "1/s", [load.requests_per_second for load in subject.loads]),
            ("p50_ms", "ms", [load.p50_ms for load in subject.loads]),
            ("p90_ms", "ms", [load.p90_ms for load in subject.loads]),
            ("p99_ms", "ms", [load.p99_ms for load in subject.loads]),
        ]
        for metric, unit, values in columns:
            middle = median_with_interval(values)
            report.rows.append(Row(subject.name, metric, middle.value, unit, case, middle.low, middle.high))


def add_system_calls(report: Report, subjects: Sequence[Subject], case: str = "") -> None:
    """A short run of its own: tracing changes every other figure."""
    for subject in subjects:
        counts = count_system_calls(subject)
        if counts is None:
            report.notes.append(f"{subject.name}: system calls could not be counted (strace)")
            continue
        total, waits = counts
        report.rows.append(Row(subject.name, "system_calls_per_request", total - waits, "", case))
        report.rows.append(Row(subject.name, "waits_per_request", waits, "", case))


def count_system_calls(subject: Subject) -> tuple[float, float] | None:
    """(all system calls, those that wait for events) per request; None when strace is missing or may not
    trace.
    """
    targets = [part for number in subject.process.family() for part in ("-p", str(number))]
    try:
        tracer = subprocess.Popen(
            ["strace", "-f", "-c", "-qq", *targets],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
    except OSError:
        return None
    try:
        # strace prints nothing when it has attached; give it the moment it needs.
        time.sleep(0.3)
        load = subject.work(1)
    finally:
        tracer.terminate()
        _, table = tracer.communicate(timeout=10)
    total = _CALL_COUNT.search(table)
    if total is None:
        return None
    waits = sum(int(count) for count, _ in _WAITS.findall(table))
    return int(total[1]) / load.request_count, waits / load.request_count


def add_ratios(
    report: Report,
    subjects: Sequence[Subject],
    ours: str,
    names: dict[str, str],
    values: Callable[[Subject], list[float]] = Subject.microseconds_per_request,
    metric: str = "cpu_us_per_request",
) -> None:
    """`names`: subject -> the ratio's fixed name behind `BENCH.METRIC.`."""
    by_name = {subject.name: subject for subject in subjects}
    if ours not in by_name:
        return
    for peer, name in names.items():
        if peer in by_name:
            ratio = ratio_of_rounds(values(by_name[ours]), values(by_name[peer]))
            report.ratios[f"{report.bench}.{metric}.{name}"] = ratio

"""Small requests at a fixed rate, far below what any of them can: the time that a proxy adds."""

from collections.abc import Callable

from bench import fixed_rate
from bench.harness import Pace, Subject, add_ratios, run_rounds
from bench.load import Load
from bench.processes import cores
from bench.report import Report, Row
from bench.stage import ENTRY_COUNT, stage
from bench.statistics import median_with_interval

PER_SECOND = 5000
CONNECTIONS = 32
_PEERS = {"nginx": "vs_nginx", "haproxy": "vs_haproxy"}
_METRICS: dict[str, Callable[[Load], float]] = {
    "p50_ms": lambda load: load.p50_ms,
    "p90_ms": lambda load: load.p90_ms,
    "p99_ms": lambda load: load.p99_ms,
}


def work(port: int, seconds: int) -> Load:
    return fixed_rate.run(
        port, core=cores()[1], per_second=PER_SECOND, seconds=seconds, connections=CONNECTIONS
    )


def run(*, is_quick: bool) -> Report:
    pace = Pace.of(is_quick=is_quick)
    report = Report(
        "latency",
        {
            "rounds": pace.rounds,
            "seconds": pace.seconds,
            "connections": CONNECTIONS,
            "requests_per_second": PER_SECOND,
            "entries": ENTRY_COUNT,
        },
    )
    with stage(report) as here:
        here.start_upstream()
        here.add_upstream(work)
        here.add_sentra(work)
        here.add_nginx(work)
        here.add_haproxy(work)
        run_rounds(here.subjects, pace)
        add_rows(report, here.subjects)
    return report


def add_rows(report: Report, subjects: list[Subject]) -> None:
    """p99 is a row and no ratio: on a machine that does anything else it speaks of that."""
    for subject in subjects:
        for metric, value in _METRICS.items():
            middle = median_with_interval([value(load) for load in subject.loads])
            report.rows.append(Row(subject.name, metric, middle.value, "ms", "", middle.low, middle.high))
    add_ratios(
        report, subjects, "sentra", _PEERS, lambda subject: [load.p50_ms for load in subject.loads], "p50_ms"
    )
    add_ratios(
        report, subjects, "sentra", _PEERS, lambda subject: [load.p90_ms for load in subject.loads], "p90_ms"
    )

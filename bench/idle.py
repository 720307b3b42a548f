"""Ten thousand idle keep-alive connections to one worker: the memory that each of them holds."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from bench.crowd import allow_descriptors, idle_connections
from bench.harness import Subject
from bench.load import Load, run_wrk
from bench.processes import Process, cores
from bench.report import Report, Row
from bench.stage import ENTRY_COUNT, Stage, stage
from bench.statistics import median_with_interval

COUNT = 10_000
# Beside the connections themselves: listening sockets, upstream connections, logs.
_DESCRIPTORS = COUNT + 1000
_LONG_KEEPALIVE = "[edge.timeouts]\nkeepalive_seconds = 600\n"


@dataclass(slots=True)
class Sizes:
    """KiB of all of a subject's processes, per connection: while they are open, and what is left
    afterwards.
    """

    open: list[float] = field(default_factory=list)
    closed: list[float] = field(default_factory=list)


def work(port: int, seconds: int) -> Load:
    return run_wrk(f"http://127.0.0.1:{port}/", core=cores()[1], seconds=seconds, connections=32)


def work_over_tls(port: int, seconds: int) -> Load:
    return run_wrk(f"https://127.0.0.1:{port}/", core=cores()[1], seconds=seconds, connections=32)


def run(*, is_quick: bool) -> Report:
    rounds = 1 if is_quick else 3
    report = Report("idle", {"rounds": rounds, "connections": COUNT, "entries": ENTRY_COUNT})
    allow_descriptors(_DESCRIPTORS)
    with stage(report) as here:
        here.start_upstream()
        here.add_sentra(work, settings=_LONG_KEEPALIVE)
        here.add_nginx(work)
        here.add_haproxy(work)
        here.add_plain_aiohttp(work)
        add_case(report, here, rounds)
    with stage(report) as here:
        here.start_upstream()
        here.add_sentra(work_over_tls, settings=_LONG_KEEPALIVE, is_tls=True)
        here.add_nginx(work_over_tls, is_tls=True)
        here.add_haproxy(work_over_tls, is_tls=True)
        add_case(report, here, rounds, client_context())
    return report


def client_context() -> ssl.SSLContext:
    """Whom it talks to is known: the certificate signs itself."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def add_case(report: Report, here: Stage, rounds: int, context: ssl.SSLContext | None = None) -> None:
    for subject in here.subjects:
        sizes = measure(subject, here.ports[subject.name], rounds, context)
        add_rows(report, subject.name, sizes, "plain" if context is None else "tls")


def measure(subject: Subject, port: int, rounds: int, context: ssl.SSLContext | None = None) -> Sizes:
    """The base is what a subject holds after some work, so that what it keeps for later counts for nobody."""
    sizes = Sizes()
    subject.work(1)
    base = proportional_kib(subject.process)
    for _ in range(rounds):
        with idle_connections(port, COUNT, context):
            sizes.open.append((proportional_kib(subject.process) - base) / COUNT)
        # Who has thousands of closed connections to clean up answers later.
        with idle_connections(port, 1, context):
            subject.work(1)
        sizes.closed.append((proportional_kib(subject.process) - base) / COUNT)
    return sizes


def proportional_kib(process: Process) -> int:
    """Proportional set sizes: what several processes share counts once."""
    return sum(_proportional_kib_of(number) for number in process.family())


def _proportional_kib_of(process_id: int) -> int:
    for line in Path(f"/proc/{process_id}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise ValueError(f"process {process_id} states no proportional set size")


def add_rows(report: Report, name: str, sizes: Sizes, case: str) -> None:
    for metric, values in (("kib_per_connection", sizes.open), ("kib_left_per_connection", sizes.closed)):
        middle = median_with_interval(values)
        report.rows.append(Row(name, metric, middle.value, "KiB", case, middle.low, middle.high))

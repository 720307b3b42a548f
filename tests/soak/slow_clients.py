"""Thousands of slow connections to one worker: a fast client hardly notices, each slow one ends at its
deadline.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import fixed_rate
from bench.load import Load
from bench.processes import cores
from tests.e2e.processes import Edge
from tests.soak.figures import Figures
from tests.soak.program import (
    descriptor_count,
    edge_before,
    memory_left_mib,
    memory_mib,
    origin_port,
    result_of,
    running,
    start_load,
    until_calm,
)

HEAD_SECONDS = 20.0
BODY_SECONDS = 20.0
SEND_SECONDS = 10.0
# An attacker's rate: faster than this it would be a flood of connections, which is another question.
OPENED_PER_SECOND = 400.0
_FAST_PER_SECOND = 200
_FAST_CONNECTIONS = 8
_UNDISTURBED_SECONDS = 10.0
_LARGEST_P99 = 3.0
_LATEST_SECONDS = 1.0
_MEMORY_MIB = 32.0
# `buffer_bytes`, its default, and what a worker is without buffers. Readers beyond it are closed early.
_LARGEST_MIB = 256 + 160

_TIMEOUTS = f"""head_seconds = {HEAD_SECONDS}
body_idle_seconds = {BODY_SECONDS}
send_idle_seconds = {SEND_SECONDS}
"""


def run(figures: Figures, folder: Path, seconds: float, count: int) -> None:
    figures.heading(f"slow clients: {count} at a time for {seconds:g} s")
    port = origin_port()
    with (
        running("origin", port, folder=folder, ready_port=port),
        edge_before(
            port, folder / "slow", workers=1, timeouts=_TIMEOUTS, upstream="idle_seconds = 2"
        ) as edge,
    ):
        # Once in small: what a worker keeps of its first crowd counts for nobody.
        result_of(attackers(edge, 1.0, max(30, count // 20)), 120)
        undisturbed = fast_client(edge, _UNDISTURBED_SECONDS)
        until_calm(edge)
        before = (descriptor_count(edge), memory_mib(edge))
        with ThreadPoolExecutor(1) as background:
            crowd = attackers(edge, seconds, count)
            fast = background.submit(fast_client, edge, seconds)
            most_open, most_mib = watch(edge, fast.done)
            ends = result_of(crowd, seconds + 180)
        disturbed = fast.result()
        figures.known("fast client p99 undisturbed, ms", undisturbed.p99_ms)
        figures.known("fast client p50 undisturbed / disturbed", disturbed.p50_ms / undisturbed.p50_ms)
        figures.at_most(
            "fast client p99 disturbed / undisturbed", disturbed.p99_ms / undisturbed.p99_ms, _LARGEST_P99
        )
        figures.at_least("connections open at a time", most_open, 0.9 * count)
        add_ends(figures, ends)
        open_gauges = until_calm(edge)
        figures.at_most("gauges left open", sum(open_gauges.values()), 0)
        figures.at_most("descriptors left", descriptor_count(edge) - before[0], 0)
        figures.at_most("memory at the most, MiB", most_mib, _LARGEST_MIB)
        figures.at_most("memory left, MiB", memory_left_mib(edge, before[1], _MEMORY_MIB), _MEMORY_MIB)


def attackers(edge: Edge, seconds: float, count: int):
    deadlines = (HEAD_SECONDS, BODY_SECONDS, SEND_SECONDS)
    return start_load("attackers", edge.port, seconds, count, OPENED_PER_SECOND, *deadlines)


def fast_client(edge: Edge, seconds: float) -> Load:
    return fixed_rate.run(
        edge.port,
        core=cores()[1],
        per_second=_FAST_PER_SECOND,
        seconds=seconds,
        connections=_FAST_CONNECTIONS,
    )


def watch(edge: Edge, is_over) -> tuple[float, float]:
    """The largest number of open connections and the largest memory, looked at each second."""
    most_open = most_mib = 0.0
    while not is_over():
        most_open = max(most_open, edge.metric("sentra_connections_open"))
        most_mib = max(most_mib, memory_mib(edge))
        time.sleep(1.0)
    return most_open, most_mib


def add_ends(figures: Figures, ends: dict[str, dict[str, float]]) -> None:
    for kind, found in ends.items():
        figures.at_least(f"slow {kind}: closed", found["count"], 1)
        figures.at_most(
            f"slow {kind}: latest end after its deadline, s", found["late_seconds_most"], _LATEST_SECONDS
        )
        early = f"slow {kind}: ended before its deadline"
        if kind == "read":
            figures.known(f"{early}, for the budget", found["early_count"])
        else:
            figures.at_most(early, found["early_count"], 0)
        figures.at_most(f"slow {kind}: never ended", found["never_count"], 0)

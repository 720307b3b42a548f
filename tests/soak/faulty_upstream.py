"""Hours of bad luck in minutes: faults between edge and origin at 70 % of what the chain carries."""

from pathlib import Path
from typing import Any

from tests.soak.checking_load import DOCUMENTED_STATUSES, HANG_SECONDS
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

LOAD_SHARE = 0.7
_CONNECTIONS = 64
_CAPACITY_SECONDS = 5.0
# All of them: a pool keeps to the connections that have none.
_FAULTY_SHARE = 1.0
_SEED = 4
_MEMORY_MIB = 32.0
_UPSTREAM = """idle_seconds = 2
connect_seconds = 1
head_seconds = 1.5
read_idle_seconds = 1.5
write_idle_seconds = 2
"""


def run(figures: Figures, folder: Path, seconds: float) -> None:
    figures.heading(f"faults between edge and origin, {seconds:g} s")
    origin, faults = origin_port(), origin_port()
    with (
        running("origin", origin, folder=folder, ready_port=origin),
        edge_before(faults, folder / "faults", workers=1, upstream=_UPSTREAM) as edge,
    ):
        with running("faults", faults, origin, 0, _SEED, folder=folder, ready_port=faults):
            load = start_load("checking_load", edge.port, _CAPACITY_SECONDS, 0, _CONNECTIONS, _SEED)
            came = result_of(load, _CAPACITY_SECONDS + 60)["came"]
        capacity = came["right"] / _CAPACITY_SECONDS
        figures.known("capacity without faults, requests/s", capacity)
        figures.at_most("without faults: answers that were not right", sum(came.values()) - came["right"], 0)
        until_calm(edge)
        before = (descriptor_count(edge), memory_mib(edge))
        with running("faults", faults, origin, _FAULTY_SHARE, _SEED, folder=folder, ready_port=faults):
            rate = LOAD_SHARE * capacity
            load = start_load("checking_load", edge.port, seconds, rate, _CONNECTIONS, _SEED + 1)
            found = result_of(load, seconds + 3 * HANG_SECONDS)
            add_counts(figures, found, seconds, rate)
            open_gauges = until_calm(edge)
        figures.at_most("gauges left open", sum(open_gauges.values()), 0)
        figures.at_most("descriptors left", descriptor_count(edge) - before[0], 0)
        figures.at_most("memory left, MiB", memory_left_mib(edge, before[1], _MEMORY_MIB), _MEMORY_MIB)


def add_counts(figures: Figures, found: dict[str, Any], seconds: float, rate: float) -> None:
    came = found["came"]
    total = sum(came.values())
    figures.known("requests", total)
    figures.known("requests/s", total / seconds)
    figures.known("of the rate that was meant", total / seconds / rate)
    figures.at_least("right to the last byte", came.get("right", 0), 1)
    for status in DOCUMENTED_STATUSES:
        figures.known(f"status {status}", came.get(f"status {status}", 0))
    # A fault behind the head can only be shown by a cut.
    figures.known("cut within an answer", came.get("cut within an answer", 0))
    # Without faults this part would prove nothing.
    seen = sum(came.get(what, 0) for what in ("status 502", "status 504", "cut within an answer"))
    figures.at_least("faults that a client saw, a second", seen / seconds, 1)
    for fault in ("wrong body", "undocumented status", "no answer", "hang"):
        figures.at_most(fault, came.get(fault, 0), 0)
        if came.get(fault):
            print(f"    such as: {found['examples'][fault]}", flush=True)

"""Targets that come, go and die under load, with the whole program: no request notices."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import EdgeMaker
from tests.e2e.load import Load
from tests.e2e.processes import Edge, Process, clean_environment, free_ports, is_running, wait_until


class Gateways:
    """Two demo gateways, each of which can be killed and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ports = free_ports(2)
        self.processes = [self.start(index) for index in range(2)]

    def start(self, index: int) -> Process:
        command = [sys.executable, "-m", "proxy.demo_gateway", "--port", str(self.ports[index])]
        log_path = self._folder / f"gateway{index}.log"
        log_path.unlink(missing_ok=True)
        process = Process(command, log_path, clean_environment(), self._folder)
        process.wait_for_line("ready gateway")
        return process

    def kill(self, index: int) -> None:
        self.processes[index].stop(signal.SIGKILL)

    def name(self, index: int) -> str:
        return f"127.0.0.1:{self.ports[index]}"


@pytest.fixture
def gateways(tmp_path: Path) -> Iterator[Gateways]:
    made = Gateways(tmp_path)
    yield made
    for process in made.processes:
        process.end()


def sections(gateways: Gateways, *indexes: int, more: str = "") -> str:
    targets = ", ".join(f'{{ url = "http://{gateways.name(index)}" }}' for index in indexes)
    return f"""
[blocklist]
on_missing = "open"
[[routes]]
name = "all"
upstream = "pool"
[[upstreams]]
name = "pool"
targets = [{targets}]
{more}
"""


def targets_of(edge: Edge) -> dict[str, dict[str, object]]:
    """What all workers together say of the pool's targets, by name."""
    (pool,) = [item for item in edge.admin("/v1/status").json()["upstreams"] if item["name"] == "pool"]
    return {row["target"]: row for row in pool["targets"]}


async def test_targets_that_change_at_each_sighup_cost_no_request(make_edge: EdgeMaker, gateways: Gateways):
    """What leaves finishes what it has, what comes is used, and what stays keeps its connections."""
    edge = make_edge(gateways.ports[0], more=sections(gateways, 0))
    edge.start()
    async with Load(edge.port, clients=16) as load:
        for indexes in ((0, 1), (1,), (1, 0), (0,), (0, 1)):
            edge.reconfigure(sections(gateways, *indexes))
            os.kill(edge.supervisor_pid, signal.SIGHUP)
            wanted = {gateways.name(index) for index in indexes}
            while not has_everywhere(edge, wanted):
                await load.progress(50)
            await load.progress(1000)
    assert load.faults == []


def has_everywhere(edge: Edge, wanted: set[str]) -> bool:
    rows = targets_of(edge)
    return set(rows) == wanted and all(row["workers"] == 2 for row in rows.values())


async def test_target_that_dies_costs_no_request_and_comes_back(make_edge: EdgeMaker, gateways: Gateways):
    """Also while the control process is away: the workers keep its last word. Only an answer that had begun
    when the target was killed is cut, and visibly."""
    checks = (
        'health = { path = "/bytes/1", interval_seconds = 0.1, healthy_count = 1, unhealthy_count = 2 }\n'
    )
    more = checks + "retries = { count = 1, budget_percent = 100 }\n"
    edge = make_edge(gateways.ports[0], more=sections(gateways, 0, 1, more=more))
    edge.start()
    dead, alive = gateways.name(1), gateways.name(0)
    wait_until(lambda: ups(edge) == {dead: True, alive: True}, "both are up")
    async with Load(edge.port, clients=16) as load:
        await load.progress(500)
        gateways.kill(1)
        while ups(edge) != {dead: False, alive: True}:
            await load.progress(50)
        cut = tuple(load.faults)
        assert all("ConnectionResetError" in fault for fault in cut)
        await load.progress(500)
        refused = edge.metric("sentra_upstream_connect_errors_total")
        control = edge.control()
        os.kill(control, signal.SIGKILL)
        while is_running(control):
            await load.progress(50)
        await load.progress(500)
        wait_until(lambda: is_asked_again(edge, control), "control is back")
        while ups(edge) != {dead: False, alive: True}:
            await load.progress(50)
        assert edge.metric("sentra_upstream_connect_errors_total") == refused
        gateways.processes[1] = gateways.start(1)
        while ups(edge) != {dead: True, alive: True}:
            await load.progress(50)
        await load.progress(1000)
    assert tuple(load.faults) == cut


def ups(edge: Edge) -> dict[str, object]:
    return {name: row["up"] for name, row in targets_of(edge).items()}


def is_asked_again(edge: Edge, before: int) -> bool:
    """Another control process answers on the admin port."""
    try:
        return edge.control() != before and edge.admin("/v1/status").status == 200
    except (OSError, ValueError):
        return False

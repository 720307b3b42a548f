"""Both engines behind one set of sockets, lists and commands."""

import os
import signal

import pytest

from tests.e2e.conftest import EdgeMaker
from tests.e2e.load import Load
from tests.e2e.processes import Edge, wait_until

_LISTS = """
[blocklist]
reload_seconds = 0.1

[[lists]]
path = "lists/first.txt"
source = "first"
score = 9
"""


@pytest.fixture(params=["native", "aiohttp"])
def engine_edge(request: pytest.FixtureRequest, make_edge: EdgeMaker, gateway_port: int) -> Edge:
    edge = make_edge(gateway_port, more=_LISTS)
    (edge.lists / "first.txt").write_text("198.51.100.0/24\nphish.test\n")
    edge.configure(edge=f'engine = "{request.param}"\n')
    edge.start()
    return edge


def is_denied(edge: Edge, address: str) -> bool:
    """An answer that is under way when a list begins to deny its client may be cut off."""
    try:
        return edge.get_as(address).status == 403
    except ConnectionError:
        return False


def test_engine_judges_forwards_and_takes_changes(engine_edge: Edge):
    """The same verdicts, the same files, the same operator's commands."""
    edge = engine_edge
    assert edge.get("/bytes/100000").body == bytes(range(256)) * 390 + bytes(range(160))
    assert edge.get_as("198.51.100.7").status == 403
    assert edge.get(Host="login.phish.test").status == 403
    assert edge.get_as("203.0.113.9").status == 200
    assert edge.command("block", "203.0.113.9").returncode == 0
    assert [edge.get_as("203.0.113.9").status for _ in range(20)] == [403] * 20
    (edge.lists / "first.txt").write_text("192.0.2.0/24\n")
    wait_until(lambda: is_denied(edge, "192.0.2.1"), "the new list is in force")
    assert edge.get_as("198.51.100.7").status == 200


async def test_engine_outlives_a_killed_worker_and_stops_clean(engine_edge: Edge):
    """The supervisor knows no difference."""
    edge = engine_edge
    killed = edge.workers()[0]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: edge.workers().get(0) not in (None, killed), "a replacement is there")
    async with Load(edge.port) as load:
        await load.progress(500)
    assert load.faults == []
    assert edge.stop() == 0

"""The demo gateway as an upstream, and edges before it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import Edge, Process, clean_environment, free_ports


@pytest.fixture
def gateway_port(tmp_path: Path) -> Iterator[int]:
    """A demo gateway of this test's own."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "proxy.demo_gateway", "--port", str(port)]
    gateway = Process(command, tmp_path / "gateway.log", clean_environment(), tmp_path)
    gateway.wait_for_line("ready gateway")
    yield port
    gateway.end()


EdgeMaker = Callable[..., Edge]


@pytest.fixture
def make_edge(tmp_path: Path) -> Iterator[EdgeMaker]:
    """Make an edge in a folder of its own; it still has to be started."""
    made: list[Edge] = []

    def make(upstream_port: int, **options: object) -> Edge:
        edge = Edge(tmp_path / f"edge{len(made)}", upstream_port, **options)  # type: ignore[arg-type]  # passed on
        made.append(edge)
        return edge

    yield make
    for edge in made:
        edge.end()


@pytest.fixture
def edge(make_edge: EdgeMaker, gateway_port: int) -> Edge:
    """Two workers before a demo gateway, one list with one network, reloaded often."""
    made = make_edge(
        gateway_port,
        more="""
[blocklist]
reload_seconds = 0.1

[[lists]]
path = "lists/first.txt"
source = "first"
score = 9
""",
    )
    (made.lists / "first.txt").write_text("198.51.100.0/24\n")
    made.start()
    return made

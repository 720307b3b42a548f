"""A worker of the real kind in this process: uvloop, Gate and Segment are the real ones, only `fork` is
missing."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from fastmatch._native import Blocklist, Entry, Segment, pack_entries
from proxy.edge.config import EdgeConfig
from proxy.edge.config_listeners import ListenerConfig, TlsConfig
from proxy.edge.listener import Endpoint
from proxy.edge.worker import Worker
from tests.support.authority import Authority, Pair
from tests.support.client import Client
from tests.support.origin import Origin
from tests.support.tls_client import TlsClient, client_context


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], uvloop.Loop]]:
    """The loop that production runs on."""
    return {"uvloop": uvloop.new_event_loop}


class Edge:
    """One running worker and what a test needs to reach it."""

    def __init__(self, worker: Worker, segment: Segment, port: int, runtime_directory: Path) -> None:
        self.worker = worker
        self.tls: TlsConfig | None = None
        self.other_port = 0
        self.segment = segment
        self.port = port
        self.runtime_directory = runtime_directory
        self.clients: list[Client] = []

    async def connect(self, *, source: str = "127.0.0.1", receive_buffer_bytes: int = 0) -> Client:
        kind = Client if self.tls is None else TlsClient
        client = await kind.connect(self.port, source=source, receive_buffer_bytes=receive_buffer_bytes)
        self.clients.append(client)
        if isinstance(client, TlsClient):
            await client.begin_tls(client_context())
        return client

    def counter(self, name: str) -> int:
        return self.segment.counters()[name]

    async def block(self, *entries: Entry, sequence: int = 2) -> None:
        """As an OVERLAY frame does."""
        await self.worker.lists.overlay(1, sequence, pack_entries(entries))

    def configure(self, **changes: Any) -> None:
        context = self.worker.context
        context.apply(replace(context.config, **changes))


async def until(condition: Callable[[], bool], patience_seconds: float = 10.0) -> None:
    """Wait for a condition; the test fails when it does not come."""
    async with asyncio.timeout(patience_seconds):
        while not condition():  # noqa: ASYNC110 - most conditions belong to objects without an event
            await asyncio.sleep(0.005)


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    await origin.start()
    yield origin
    await origin.close()


StartEdge = Callable[..., Awaitable[Edge]]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def pair(authority: Authority) -> Pair:
    return authority.issue("a", "a.example", "*.w.example")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What a module that says `OVER_TLS = True` claims holds in clear text and over TLS."""
    if "start_edge" in metafunc.fixturenames and getattr(metafunc.module, "OVER_TLS", False):
        metafunc.parametrize("listening", ["clear", "tls"], indirect=True)


@pytest.fixture
def listening(request: pytest.FixtureRequest) -> TlsConfig | None:
    """What the edge of a test speaks."""
    if getattr(request, "param", "clear") == "clear":
        return None
    pair: Pair = request.getfixturevalue("pair")
    return TlsConfig((pair.files,))


@pytest.fixture
async def start_edge(origin: Origin, tmp_path: Path, listening: TlsConfig | None) -> AsyncIterator[StartEdge]:
    """Starts an edge in front of the origin; keyword arguments are configuration."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*entries: Entry, **settings: Any) -> Edge:
            running = _running_edge(origin, tmp_path, entries, settings, listening)
            return await stack.enter_async_context(running)

        yield start


@pytest.fixture
async def edge(start_edge: StartEdge) -> Edge:
    return await start_edge()


@contextlib.asynccontextmanager
async def _running_edge(
    origin: Origin,
    directory: Path,
    entries: tuple[Entry, ...],
    settings: dict[str, Any],
    tls: TlsConfig | None,
) -> AsyncIterator[Edge]:
    config = EdgeConfig(upstream_port=origin.port, drain_seconds=0.0, linger_seconds=0.5)
    config = replace(config, **settings)
    name = ""
    if tls is not None:
        name = "tls"
        listener = ListenerConfig(name, drop_score=config.drop_score, half_close=config.half_close, tls=tls)
        config = replace(config, listeners=(listener,))
    with socket.create_server(("127.0.0.1", 0)) as endpoint:
        async with serving(config, [Endpoint(name, endpoint)], directory, entries) as edge:
            edge.tls = tls
            yield edge


@contextlib.asynccontextmanager
async def serving(
    config: EdgeConfig, endpoints: Sequence[Endpoint], directory: Path, entries: Sequence[Entry] = ()
) -> AsyncIterator[Edge]:
    """A worker on these sockets; `port` is the first one's."""
    segment = Segment.create(1)
    worker = Worker(asyncio.get_running_loop(), segment, 0, directory, config)
    worker.context.gate.install(Blocklist.from_entries(entries, epoch=1, sequence=1))
    async with asyncio.TaskGroup() as group:
        await worker.context.configure(config)  # as control's first frame does
        await worker.start(group, endpoints)
        faults: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, facts: faults.append(facts))
        edge = Edge(worker, segment, port_of(endpoints[0].socket), directory)
        try:
            yield edge
        finally:
            for client in edge.clients:
                client.close()
            await worker.drain()
    assert faults == []


def port_of(endpoint: socket.socket) -> int:
    """0 for a unix socket."""
    name = endpoint.getsockname()
    return name[1] if isinstance(name, tuple) else 0
